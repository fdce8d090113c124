// realloc in all its ways: grown, shrunk, moved, in place, failing, from NULL and to nothing.
#include "truth.h"

SITE static void *first(size_t size) {
    void *block = malloc(size);
    truth_require(block != NULL, "malloc failed");
    memset(block, 1, size);
    truth_block(HERE(HEAP), block, size);
    return block;
}

SITE static void *grown(void *block, size_t size) {
    struct truth_taken was = truth_take(block);
    void *now = realloc(block, size);
    truth_resized(HERE(HEAP), was, now, size);
    return now;
}

SITE static void *shrunk(void *block, size_t size) {
    struct truth_taken was = truth_take(block);
    void *now = realloc(block, size);
    truth_resized(HERE(HEAP), was, now, size);
    return now;
}

SITE static void *in_place(void *block, size_t size) {
    struct truth_taken was = truth_take(block);
    void *now = realloc(block, size);
    truth_require(now == block, "realloc moved a block that had room");
    truth_resized(HERE(HEAP), was, now, size);
    return now;
}

SITE static void *moved(void *block, size_t size) {
    struct truth_taken was = truth_take(block);
    uintptr_t before = (uintptr_t)block;
    void *now = realloc(block, size);
    truth_require((uintptr_t)now != before, "realloc did not move a block without room");
    truth_resized(HERE(HEAP), was, now, size);
    return now;
}

SITE static void failing(void *block) {
    volatile size_t huge = PTRDIFF_MAX;
    struct truth_taken was = truth_take(block);
    void *now = realloc(block, huge);
    truth_require(now == NULL, "a huge realloc succeeded");
    truth_resized(HERE(HEAP), was, now, huge);
}

SITE static void *from_null(size_t size) {
    struct truth_taken nothing = {NULL, NULL, 0};
    void *now = realloc(NULL, size);
    truth_resized(HERE(HEAP), nothing, now, size);
    return now;
}

SITE static void to_nothing(void *block) {
    struct truth_taken was = truth_take(block);
    void *now = realloc(block, 0);
    truth_require(now == NULL, "realloc(p, 0) returned a block");
    truth_resized(HERE(HEAP), was, now, 0);
}

SITE static void *by_array(void *block, size_t count, size_t size) {
    struct truth_taken was = truth_take(block);
    void *now = reallocarray(block, count, size);
    truth_resized(HERE(HEAP), was, now, count * size);
    return now;
}

SITE static void array_overflow(void *block) {
    volatile size_t many = SIZE_MAX / 2;
    struct truth_taken was = truth_take(block);
    void *now = reallocarray(block, many, 16);
    truth_require(now == NULL, "an overflowing reallocarray succeeded");
    truth_resized(HERE(HEAP), was, now, SIZE_MAX);
}

static void release(void *block) {
    truth_release(block);
    free(block);
}

static void round_of_all(size_t size) {
    void *block = grown(first(size), 2 * size);
    block = shrunk(block, size / 2);
    failing(block);
    array_overflow(block);
    block = by_array(block, 3, size);
    failing(block);
    // Every other size keeps its last block.
    if (size % 2 == 0) release(block);

    block = from_null(size);
    to_nothing(block);
    block = from_null(0);
    to_nothing(block);
}

// A chunk of 1,024 bytes has room for 1,016; the block after it keeps the first from growing further where it is.
static void neighbours(void) {
    void *block = first(1001);
    void *fence = first(1001);
    block = in_place(block, 1016);
    block = in_place(block, 1005);
    block = moved(block, 60000);
    release(fence);
    release(block);
    in_place(first(1001), 1010);
}

int main(int argc, char **argv) {
    truth_begin(argc, argv);
    for (size_t round = 0; round < 200; round++) round_of_all(17 + 31 * round);
    // Beyond the mmap threshold the allocator remaps: its own affair, not a mapping of the program.
    void *large = grown(first(1 << 20), 8 << 20);
    large = shrunk(large, 3 << 20);
    failing(large);
    for (int i = 0; i < 20; i++) neighbours();
    void *array = NULL;
    for (size_t count = 1; count <= 1000; count += 3) array = by_array(array, count, 24);
    truth_end();
    return 0;
}
