// Allocates and frees now and then for three seconds, and sleeps most of the time; keeps every tenth block.
#include "truth.h"

enum { TURNS = 300, PAUSE_MICROSECONDS = 10000 };

SITE static void *passing(size_t size) {
    void *block = malloc(size);
    truth_block(HERE(HEAP), block, size);
    return block;
}

SITE static void *kept(size_t size) {
    void *block = malloc(size);
    truth_block(HERE(HEAP), block, size);
    return block;
}

int main(int argc, char **argv) {
    truth_begin(argc, argv);
    for (size_t i = 0; i < TURNS; i++) {
        void *block = i % 10 == 0 ? kept(100 + i) : passing(1000 + i);
        usleep(PAUSE_MICROSECONDS);
        if (i % 10 == 0) continue;
        truth_release(block);
        free(block);
    }
    truth_end();
    return 0;
}
