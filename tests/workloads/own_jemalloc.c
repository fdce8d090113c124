// jemalloc's own interface, next to the C library's. (Debian's library has no header beside it.)
#include "truth.h"

void *mallocx(size_t size, int flags);
void *rallocx(void *block, size_t size, int flags);
void dallocx(void *block, int flags);
void sdallocx(void *block, size_t size, int flags);

// MALLOCX_LG_ALIGN(8) and MALLOCX_ZERO
enum { ALIGNED = 8, ZEROED = 0x40 };

SITE static void *given(size_t size, int flags) {
    void *block = mallocx(size, flags);
    truth_block(HERE(HEAP), block, size);
    return block;
}

SITE static void *resized(void *block, size_t size, int flags) {
    struct truth_taken was = truth_take(block);
    void *now = rallocx(block, size, flags);
    truth_resized(HERE(HEAP), was, now, size);
    return now;
}

SITE static void *by_malloc(size_t size) {
    void *block = malloc(size);
    truth_block(HERE(HEAP), block, size);
    return block;
}

// The last way is to keep it.
static void release(void *block, size_t size, int flags, int way) {
    if (way == 3) return;
    truth_release(block);
    if (way == 0) dallocx(block, flags);
    if (way == 1) sdallocx(block, size, flags);
    if (way == 2) free(block);
}

int main(int argc, char **argv) {
    truth_begin(argc, argv);
    for (size_t size = 1; size < 2000000; size = size * 5 / 4 + 1) {
        int flags = size % 2 ? ALIGNED : ZEROED;
        for (int way = 0; way < 4; way++) {
            void *block = resized(given(size, flags), 3 * size, flags);
            block = resized(block, size / 2 + 1, flags);
            release(block, size / 2 + 1, flags, way);
            release(by_malloc(size), size, 0, way);
        }
    }
    truth_end();
    return 0;
}
