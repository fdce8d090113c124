// Eight threads that free each other's blocks: every block is swapped into a shared slot, and whoever swaps it out
// again frees it.
#include "truth.h"

enum { THREADS = 8, TURNS = 25000, SLOTS = 512 };

static void *slots[SLOTS];

SITE static void *small_block(size_t size) {
    void *block = malloc(size);
    truth_block(HERE(HEAP), block, size);
    return block;
}

SITE static void *zeroed_block(size_t size) {
    void *block = calloc(1, size);
    truth_block(HERE(HEAP), block, size);
    return block;
}

SITE static void *large_block(size_t size) {
    void *block = malloc(size);
    truth_block(HERE(HEAP), block, size);
    return block;
}

static void *some_block(uint32_t random) {
    size_t size = 16 + random % 3000;
    if (random % 499 == 0) return large_block(150000 + size);
    return random % 3 == 0 ? zeroed_block(size) : small_block(size);
}

static void *turns(void *seed) {
    uint32_t random = (uint32_t)(uintptr_t)seed;
    for (int i = 0; i < TURNS; i++) {
        random = random * 1664525u + 1013904223u;
        void *block = some_block(random >> 8);
        void *other = __atomic_exchange_n(&slots[(random >> 16) % SLOTS], block, __ATOMIC_ACQ_REL);
        truth_release(other);
        free(other);
    }
    return NULL;
}

int main(int argc, char **argv) {
    truth_begin(argc, argv);
    pthread_t threads[THREADS];
    for (uintptr_t i = 0; i < THREADS; i++)
        truth_require(pthread_create(&threads[i], NULL, turns, (void *)(i * 7919 + 1)) == 0, "pthread_create failed");
    for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
    truth_end();
    return 0;
}
