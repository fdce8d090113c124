// Calls that fail, between calls that succeed: a failure must leave no trace.
#include "truth.h"

#include <errno.h>
#include <malloc.h>
#include <sys/mman.h>

enum { ROUNDS = 300, PAGE = 4096 };

// volatile: the compiler must not know that the calls fail.
static volatile size_t huge = PTRDIFF_MAX;
static volatile size_t half = SIZE_MAX / 2 + 1;

SITE static void *succeeds(size_t size) {
    void *block = malloc(size);
    truth_block(HERE(HEAP), block, size);
    return block;
}

SITE static void *map_succeeds(void) {
    void *pages = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    truth_require(pages != MAP_FAILED, "mmap failed");
    truth_allocated(HERE(ANONYMOUS), PAGE, 1);
    return pages;
}

SITE static void malloc_fails(void) {
    (void)HERE(HEAP);
    truth_require(malloc(huge) == NULL, "a huge malloc succeeded");
    truth_require(valloc(huge) == NULL, "a huge valloc succeeded");
    truth_require(pvalloc(huge) == NULL, "a huge pvalloc succeeded");
    truth_require(memalign(64, huge) == NULL, "a huge memalign succeeded");
    truth_require(aligned_alloc(64, huge) == NULL, "a huge aligned_alloc succeeded");
}

SITE static void calloc_fails(void) {
    (void)HERE(HEAP);
    truth_require(calloc(1, huge) == NULL, "a huge calloc succeeded");
    // The product is 2^64 times two: 0 when it is not checked.
    truth_require(calloc(half, 4) == NULL, "an overflowing calloc succeeded");
    truth_require(reallocarray(NULL, half, 2) == NULL, "an overflowing reallocarray succeeded");
}

// The result of a failed posix_memalign must not be read: a live block's address is lying there.
SITE static void posix_memalign_fails(void *live) {
    (void)HERE(HEAP);
    void *out = live;
    truth_require(posix_memalign(&out, 64, huge) == ENOMEM, "a huge posix_memalign succeeded");
    truth_require(posix_memalign(&out, 24, 100) == EINVAL, "a misaligned posix_memalign succeeded");
    truth_require(out == live, "a failed posix_memalign stored a result");
}

SITE static void realloc_fails(void *live) {
    (void)HERE(HEAP);
    truth_require(realloc(live, huge) == NULL, "a huge realloc succeeded");
}

SITE static void mmap_fails(void) {
    (void)HERE(ANONYMOUS);
    int flags = MAP_PRIVATE | MAP_ANONYMOUS;
    truth_require(mmap(NULL, huge, PROT_READ, flags, -1, 0) == MAP_FAILED, "a huge mmap succeeded");
    truth_require(mmap(NULL, 0, PROT_READ, flags, -1, 0) == MAP_FAILED, "an empty mmap succeeded");
    truth_require(mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, -1, 0) == MAP_FAILED, "an mmap of no file succeeded");
}

SITE static void mremap_fails(void *pages) {
    (void)HERE(ANONYMOUS);
    truth_require(mremap(pages, PAGE, huge, MREMAP_MAYMOVE) == MAP_FAILED, "a huge mremap succeeded");
    truth_require(mremap(pages, PAGE, 0, MREMAP_MAYMOVE) == MAP_FAILED, "an mremap to nothing succeeded");
    truth_require(munmap((char *)pages + 1, PAGE) != 0, "a misaligned munmap succeeded");
}

int main(int argc, char **argv) {
    truth_begin(argc, argv);
    for (size_t round = 0; round < ROUNDS; round++) {
        void *block = succeeds(round * 5);
        malloc_fails();
        calloc_fails();
        posix_memalign_fails(block);
        realloc_fails(block);
        void *pages = map_succeeds();
        mmap_fails();
        mremap_fails(pages);
        if (round % 3 != 0) {
            truth_release(block);
            free(block);
        }
        // One mapping is kept: neighbouring ones of one site may be counted as one range or as two.
        if (round + 1 < ROUNDS) {
            truth_require(munmap(pages, PAGE) == 0, "munmap failed");
            truth_freed(truth_site("map_succeeds", ANONYMOUS), PAGE, 1);
        }
    }
    truth_end();
    return 0;
}
