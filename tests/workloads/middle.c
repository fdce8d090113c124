// A program that is met in the middle of its life: many of its blocks are older than the trace.
#include "truth.h"

enum { OLD = 3000, NEW = 1000 };

static void *old[OLD], *fresh[NEW];

SITE static void *older(size_t size) {
    void *block = malloc(size);
    truth_block(HERE(HEAP), block, size);
    return block;
}

SITE static void *resized(void *block, size_t size) {
    struct truth_taken was = truth_take(block);
    void *now = realloc(block, size);
    truth_resized(HERE(HEAP), was, now, size);
    return now;
}

SITE static void resize_failed(void *block) {
    volatile size_t huge = PTRDIFF_MAX;
    struct truth_taken was = truth_take(block);
    truth_require(realloc(block, huge) == NULL, "a huge realloc succeeded");
    truth_resized(HERE(HEAP), was, NULL, huge);
}

SITE static void *newer(size_t size) {
    void *block = malloc(size);
    truth_block(HERE(HEAP), block, size);
    return block;
}

static void release(void *block) {
    truth_release(block);
    free(block);
}

int main(int argc, char **argv) {
    for (size_t i = 0; i < OLD; i++) old[i] = older(8 + i % 700);
    truth_begin(argc, argv);
    for (size_t i = 0; i < 1000; i++) release(old[i]);
    for (size_t i = 0; i < NEW; i++) fresh[i] = newer(8 + i % 700);
    for (size_t i = 1000; i < 1500; i++) old[i] = resized(old[i], 16 + i);
    for (size_t i = 1500; i < 1600; i++) resize_failed(old[i]);
    // Some old blocks that became new ones by realloc are freed, some resized once more.
    for (size_t i = 1000; i < 1100; i++) release(old[i]);
    for (size_t i = 1100; i < 1200; i++) old[i] = resized(old[i], 10);
    for (size_t i = 0; i < NEW; i += 3) release(fresh[i]);
    truth_end();
    return 0;
}
