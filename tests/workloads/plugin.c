// A library that is loaded by a workload while heaptide is attached.
#include <stdlib.h>

void *plugin_block(size_t size);

__attribute__((noinline, noclone)) void *plugin_block(size_t size) {
    void *block = malloc(size);
    // Not a tail call.
    __asm__ volatile("" : : "r"(block) : "memory");
    return block;
}
