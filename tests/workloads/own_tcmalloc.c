// tcmalloc's own interface, next to the C library's. (Debian's library has no header beside it.)
#include "truth.h"

void *tc_malloc(size_t size);
void *tc_calloc(size_t count, size_t size);
void *tc_realloc(void *block, size_t size);
void *tc_memalign(size_t alignment, size_t size);
int tc_posix_memalign(void **block, size_t alignment, size_t size);
void *tc_new(size_t size);
void tc_free(void *block);
void tc_cfree(void *block);
void tc_free_sized(void *block, size_t size);
void tc_delete(void *block);
void tc_delete_sized(void *block, size_t size);

SITE static void *given(size_t size) {
    void *block = tc_malloc(size);
    truth_block(HERE(HEAP), block, size);
    return block;
}

SITE static void *cleared(size_t size) {
    void *block = tc_calloc(2, size);
    truth_block(HERE(HEAP), block, 2 * size);
    return block;
}

SITE static void *aligned(size_t size) {
    void *block = tc_memalign(128, size);
    truth_block(HERE(HEAP), block, size);
    return block;
}

SITE static void *stored(size_t size) {
    void *block = NULL;
    truth_require(tc_posix_memalign(&block, 64, size) == 0, "tc_posix_memalign failed");
    truth_block(HERE(HEAP), block, size);
    return block;
}

SITE static void *made(size_t size) {
    void *block = tc_new(size);
    truth_block(HERE(HEAP), block, size);
    return block;
}

SITE static void *by_malloc(size_t size) {
    void *block = malloc(size);
    truth_block(HERE(HEAP), block, size);
    return block;
}

SITE static void *resized(void *block, size_t size) {
    struct truth_taken was = truth_take(block);
    void *now = tc_realloc(block, size);
    truth_resized(HERE(HEAP), was, now, size);
    return now;
}

// The last way is to keep it.
static void release(void *block, size_t size, int way) {
    if (way == 4) return;
    truth_release(block);
    if (way == 0) tc_free(block);
    if (way == 1) tc_cfree(block);
    if (way == 2) tc_free_sized(block, size);
    if (way == 3) free(block);
}

int main(int argc, char **argv) {
    truth_begin(argc, argv);
    for (size_t size = 1; size < 1000000; size = size * 5 / 4 + 1) {
        for (int way = 0; way < 5; way++) {
            release(given(size), size, way);
            release(cleared(size), 2 * size, way);
            release(by_malloc(size), size, way);
            release(resized(given(size), 3 * size), 3 * size, way);
            // These two must not be freed by another size.
            release(aligned(size), size, way == 2 ? 0 : way);
            release(stored(size), size, way == 2 ? 0 : way);
        }
        void *block = made(size);
        truth_release(block);
        tc_delete(block);
        block = made(size);
        truth_release(block);
        tc_delete_sized(block, size);
        made(size);
    }
    truth_end();
    return 0;
}
