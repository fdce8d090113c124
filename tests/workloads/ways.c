// All ways through the C library's malloc: blocks from the thread's cache, from the arena (the main one, and others with
// their locks), blocks that are mapped, calls that fail; and a realloc that jumps to malloc. Alone, and in several threads.
#include "truth.h"

enum { ROUNDS = 300, KEEP_EVERY = 10, DEPTH = 12, THREADS = 3 };

// volatile: the compiler must not know that the calls fail.
static volatile size_t huge = PTRDIFF_MAX;
static volatile size_t negative = SIZE_MAX / 2 + 1;

SITE static void *cached(size_t size) {
    void *block = malloc(size);
    truth_block(HERE(HEAP), block, size);
    return block;
}

SITE static void *from_arena(size_t size) {
    void *block = malloc(size);
    truth_block(HERE(HEAP), block, size);
    return block;
}

SITE static void *mapped(size_t size) {
    void *block = malloc(size);
    truth_block(HERE(HEAP), block, size);
    return block;
}

SITE static void *resized_from_nothing(size_t size) {
    void *block = realloc(NULL, size);
    truth_block(HERE(HEAP), block, size);
    return block;
}

SITE static void fails(void) {
    (void)HERE(HEAP);
    truth_require(malloc(huge) == NULL, "a huge malloc succeeded");
    truth_require(malloc(negative) == NULL, "a malloc of more than half of all addresses succeeded");
}

static void release(void *block) {
    truth_release(block);
    free(block);
}

SITE static void one_round(int number) {
    void *blocks[] = {cached(24 + (size_t)number % 900), from_arena(2000 + (size_t)number * 16),
                      resized_from_nothing(100 + (size_t)number % 5)};
    fails();
    void *large = number % 16 == 0 ? mapped(400000 + (size_t)number) : NULL;
    for (int i = 0; i < 3; i++)
        if ((number + i) % KEEP_EVERY) release(blocks[i]);
    if (large) release(large);
}

SITE static void deeper(int depth, int number) {
    if (depth > 0)
        deeper(depth - 1, number);
    else
        one_round(number);
    __asm__ volatile("");
}

static void *rounds(void *argument) {
    for (int i = 0; i < ROUNDS; i++) deeper(i % DEPTH, i);
    return argument;
}

int main(int argc, char **argv) {
    truth_begin(argc, argv);
    rounds(NULL);
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        truth_require(pthread_create(&threads[i], NULL, rounds, NULL) == 0, "pthread_create failed");
    for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
    truth_end();
    return 0;
}
