// What a program asks of any allocator: blocks of all sizes by every common function, resized in all ways, asked for in
// vain, and freed by other threads. Nothing here depends on which allocator it is.
#include "truth.h"

#include <errno.h>
#include <malloc.h>
#include <sys/mman.h>

static const size_t sizes[] = {0,    1,    8,     16,    24,     100,    1000,    1024,
                               4096, 9000, 30000, 65536, 131072, 300000, 1048576, 5000000};
enum { SIZES = sizeof sizes / sizeof *sizes, ROUNDS = 10, THREADS = 4, TURNS = 5000, SLOTS = 256, PAGE = 4096 };

// volatile: the compiler must not know that the calls fail.
static volatile size_t huge = PTRDIFF_MAX;
static volatile size_t half = SIZE_MAX / 2 + 1;

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

SITE static void *resized(void *block, size_t size) {
    struct truth_taken was = truth_take(block);
    void *now = realloc(block, size);
    truth_resized(HERE(HEAP), was, now, size);
    return now;
}

SITE static void *resized_array(void *block, size_t count, size_t size) {
    struct truth_taken was = truth_take(block);
    void *now = reallocarray(block, count, size);
    truth_resized(HERE(HEAP), was, now, count * size);
    return now;
}

SITE static void fails(void *live) {
    (void)HERE(HEAP);
    void *out = live;
    truth_require(malloc(huge) == NULL, "a huge malloc succeeded");
    truth_require(calloc(half, 4) == NULL, "an overflowing calloc succeeded");
    truth_require(realloc(live, huge) == NULL, "a huge realloc succeeded");
    truth_require(posix_memalign(&out, 24, 100) == EINVAL, "a misaligned posix_memalign succeeded");
    truth_require(out == live, "a failed posix_memalign stored a result");
}

SITE static void *mapping(size_t pages) {
    void *start = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    truth_require(start != MAP_FAILED, "mmap failed");
    truth_allocated(HERE(ANONYMOUS), pages * PAGE, 1);
    return start;
}

static void release(void *block) {
    truth_release(block);
    free(block);
}

static void *(*const functions[])(size_t) = {by_malloc,   by_calloc,        by_realloc,
                                             by_memalign, by_aligned_alloc, by_posix_memalign};
enum { FUNCTIONS = sizeof functions / sizeof *functions };

static void all_functions(void) {
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
}

static void all_resizes(void) {
    for (size_t size = 3; size < 20000; size = size * 3 / 2 + 1) {
        void *block = resized(by_malloc(size), 2 * size);
        block = resized(block, size / 2);
        block = resized(block, 200 * size);
        fails(block);
        block = resized_array(block, 3, size);
        // Some allocators free it, some give another one.
        block = resized(block, 0);
        block = resized(block, size);
        if (size % 2) release(block);
    }
    void *array = NULL;
    for (size_t count = 1; count <= 500; count += 3) array = resized_array(array, count, 24);
}

static void *slots[SLOTS];

static void *turns(void *seed) {
    uint32_t random = (uint32_t)(uintptr_t)seed;
    for (int i = 0; i < TURNS; i++) {
        random = random * 1664525u + 1013904223u;
        size_t size = 1 + (random >> 8) % 3000;
        void *block = random % 3 ? by_malloc(size) : by_calloc(size);
        void *other = __atomic_exchange_n(&slots[(random >> 16) % SLOTS], block, __ATOMIC_ACQ_REL);
        release(other);
    }
    return NULL;
}

int main(int argc, char **argv) {
    truth_begin(argc, argv);
    all_functions();
    all_resizes();
    pthread_t threads[THREADS];
    for (uintptr_t i = 0; i < THREADS; i++)
        truth_require(pthread_create(&threads[i], NULL, turns, (void *)(i * 7919 + 1)) == 0, "pthread_create failed");
    for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
    mapping(7);
    void *gone = mapping(3);
    truth_require(munmap(gone, 3 * PAGE) == 0, "munmap failed");
    truth_freed(truth_site("mapping", ANONYMOUS), 3 * PAGE, 1);
    truth_end();
    return 0;
}
