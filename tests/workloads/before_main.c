// Blocks that are allocated before main: by a constructor, as C++ programs and many libraries do.
#include "truth.h"

static void *early[100];

SITE static void *constructed(size_t size) {
    void *block = malloc(size);
    truth_block(HERE(HEAP), block, size);
    return block;
}

SITE static void *in_main(size_t size) {
    void *block = malloc(size);
    truth_block(HERE(HEAP), block, size);
    return block;
}

__attribute__((constructor)) static void construct(void) {
    for (size_t i = 0; i < 100; i++) early[i] = constructed(64 + i);
}

int main(int argc, char **argv) {
    truth_begin(argc, argv);
    for (size_t i = 0; i < 40; i++) {
        truth_release(early[i]);
        free(early[i]);
    }
    for (size_t i = 0; i < 80; i++) in_main(32 + i);
    truth_end();
    return 0;
}
