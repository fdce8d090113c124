// mimalloc's own interface, next to the C library's. (Debian's library has no header beside it.)
#include "truth.h"

typedef struct mi_heap_s mi_heap_t;
mi_heap_t *mi_heap_get_default(void);
void *mi_malloc(size_t size);
void *mi_zalloc(size_t size);
void *mi_calloc(size_t count, size_t size);
void *mi_mallocn(size_t count, size_t size);
void *mi_malloc_aligned(size_t size, size_t alignment);
void *mi_realloc(void *block, size_t size);
void *mi_rezalloc(void *block, size_t size);
void *mi_recalloc(void *block, size_t count, size_t size);
void *mi_realloc_aligned(void *block, size_t size, size_t alignment);
void *mi_reallocf(void *block, size_t size);
void *mi_expand(void *block, size_t size);
void *mi_heap_malloc(mi_heap_t *heap, size_t size);
void *mi_heap_calloc(mi_heap_t *heap, size_t count, size_t size);
void *mi_heap_realloc(mi_heap_t *heap, void *block, size_t size);
void mi_free(void *block);
void mi_free_size(void *block, size_t size);
void mi_free_size_aligned(void *block, size_t size, size_t alignment);
void mi_cfree(void *block);

static volatile size_t huge = PTRDIFF_MAX;

SITE static void *given(size_t size, int way) {
    mi_heap_t *heap = mi_heap_get_default();
    void *block = NULL;
    if (way == 0) block = mi_malloc(size);
    if (way == 1) block = mi_zalloc(size);
    if (way == 2) block = mi_malloc_aligned(size, 64);
    if (way == 3) block = mi_heap_malloc(heap, size);
    if (way == 4) block = malloc(size);
    truth_block(HERE(HEAP), block, size);
    return block;
}

SITE static void *given_many(size_t size, int way) {
    mi_heap_t *heap = mi_heap_get_default();
    void *block = NULL;
    if (way == 0) block = mi_calloc(3, size);
    if (way == 1) block = mi_mallocn(3, size);
    if (way >= 2) block = mi_heap_calloc(heap, 3, size);
    truth_block(HERE(HEAP), block, 3 * size);
    return block;
}

SITE static void *resized(void *block, size_t size, int way) {
    mi_heap_t *heap = mi_heap_get_default();
    struct truth_taken was = truth_take(block);
    void *now = block;
    if (way == 0) now = mi_realloc(block, size);
    if (way == 1) now = mi_rezalloc(block, size);
    if (way == 2) now = mi_recalloc(block, 1, size);
    if (way == 3) now = mi_realloc_aligned(block, size, 64);
    if (way == 4) now = mi_heap_realloc(heap, block, size);
    truth_resized(HERE(HEAP), was, now, size);
    return now;
}

SITE static void grown_in_place(void *block, size_t size) {
    struct truth_taken was = truth_take(block);
    void *now = mi_expand(block, size);
    truth_require(now == block, "a block did not shrink where it is");
    truth_resized(HERE(HEAP), was, now, size);
    was = truth_take(block);
    now = mi_expand(block, huge);
    truth_require(now == NULL, "a block grew without end");
    truth_resized(HERE(HEAP), was, now, huge);
}

// Unlike realloc, it frees the block when it fails.
static void lost_in_vain(void *block) {
    truth_release(block);
    truth_require(mi_reallocf(block, huge) == NULL, "a huge reallocf succeeded");
}

static void release(void *block, size_t size, int way) {
    truth_release(block);
    if (way == 0) mi_free(block);
    if (way == 1) mi_free_size(block, size);
    if (way == 2) mi_free_size_aligned(block, size, 8);
    if (way == 3) mi_cfree(block);
    if (way == 4) free(block);
}

int main(int argc, char **argv) {
    truth_begin(argc, argv);
    for (size_t size = 1; size < 1000000; size = size * 5 / 4 + 1) {
        for (int way = 0; way < 5; way++) {
            release(given(size, way), size, way);
            release(given_many(size, way), 3 * size, way);
            release(resized(given(size, way), 3 * size, way), 3 * size, way);
        }
        given(size, (int)(size % 5));
        grown_in_place(given(size, 0), size);
        lost_in_vain(given(size, 0));
    }
    truth_end();
    return 0;
}
