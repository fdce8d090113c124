// A thread whose first call of the allocator is a free: the C library sets itself up for the thread in it, and maps an
// arena, which is nobody's allocation.
#include "truth.h"

SITE static void *block(size_t size) {
    void *block = malloc(size);
    truth_block(HERE(HEAP), block, size);
    return block;
}

SITE static void *free_first(void *block) {
    truth_release(block);
    free(block);
    return NULL;
}

int main(int argc, char **argv) {
    truth_begin(argc, argv);
    for (size_t i = 0; i < 8; i++) {
        pthread_t thread;
        truth_require(pthread_create(&thread, NULL, free_first, block(100 + i)) == 0, "pthread_create failed");
        pthread_join(thread, NULL);
    }
    block(50);
    truth_end();
    return 0;
}
