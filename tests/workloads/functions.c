// Every allocation function of the C library, each from a site of its own, with sizes from nothing to several MiB.
#include "truth.h"

#include <malloc.h>

static const size_t sizes[] = {0,     1,     7,      24,     64,      100,     1000,   1032,
                               4096,  10000, 65536,  131072, 200000,  1048576, 5000000};
enum { SIZES = sizeof sizes / sizeof *sizes, ROUNDS = 20 };

SITE static void *by_malloc(size_t size) {
    void *block = malloc(size);
    truth_block(HERE(HEAP), block, size);
    return block;
}

SITE static void *by_calloc(size_t size) {
    void *block = calloc(3, size);
    truth_block(HERE(HEAP), block, 3 * size);
    return block;
}

SITE static void *by_realloc(size_t size) {
    void *block = realloc(NULL, size);
    truth_block(HERE(HEAP), block, size);
    return block;
}

SITE static void *by_reallocarray(size_t size) {
    void *block = reallocarray(NULL, 2, size);
    truth_block(HERE(HEAP), block, 2 * size);
    return block;
}

SITE static void *by_memalign(size_t size) {
    void *block = memalign(256, size);
    truth_block(HERE(HEAP), block, size);
    return block;
}

SITE static void *by_aligned_alloc(size_t size) {
    void *block = aligned_alloc(64, size);
    truth_block(HERE(HEAP), block, size);
    return block;
}

SITE static void *by_posix_memalign(size_t size) {
    void *block = NULL;
    truth_require(posix_memalign(&block, 4096, size) == 0, "posix_memalign failed");
    truth_block(HERE(HEAP), block, size);
    return block;
}

SITE static void *by_valloc(size_t size) {
    void *block = valloc(size);
    truth_block(HERE(HEAP), block, size);
    return block;
}

SITE static void *by_pvalloc(size_t size) {
    void *block = pvalloc(size);
    truth_block(HERE(HEAP), block, size);
    return block;
}

SITE static void release(void *block) {
    truth_release(block);
    free(block);
}

static void *(*const functions[])(size_t) = {by_malloc,         by_calloc, by_realloc, by_reallocarray, by_memalign,
                                             by_aligned_alloc, by_posix_memalign, by_valloc, by_pvalloc};
enum { FUNCTIONS = sizeof functions / sizeof *functions };

int main(int argc, char **argv) {
    truth_begin(argc, argv);
    static void *blocks[FUNCTIONS][SIZES];
    for (int round = 0; round < ROUNDS; round++) {
        for (int f = 0; f < FUNCTIONS; f++)
            for (int s = 0; s < SIZES; s++) blocks[f][s] = functions[f](sizes[s]);
        // The large ones would add up to more memory than a test should use: only the last round keeps any of them.
        for (int f = 0; f < FUNCTIONS; f++)
            for (int s = 0; s < SIZES; s++)
                if ((f + s) % 3 != 0 || (sizes[s] > 100000 && round + 1 < ROUNDS)) release(blocks[f][s]);
    }
    release(NULL);
    truth_end();
    return 0;
}
