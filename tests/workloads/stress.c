// Every allocation function at random, in four threads that free each other's blocks, with contents that are checked: what
// it prints depends on what the functions did, and on no address. So it must be the same with any allocator, traced or not.
#define _GNU_SOURCE
#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { THREADS = 4, SLOTS = 256, ROUNDS = 6, CALLS = 3000 };

struct block {
    unsigned char *at;
    size_t size;
    unsigned char first;
};

static struct block blocks[THREADS][SLOTS];
static uint64_t sums[THREADS];
static pthread_barrier_t barrier;

static _Noreturn void fail(const char *what) {
    fprintf(stderr, "stress: %s\n", what);
    exit(1);
}

static uint64_t next(uint64_t *state) {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static void fill(struct block *block, unsigned char first) {
    block->first = first;
    for (size_t i = 0; i < block->size; i++) block->at[i] = (unsigned char)(first + i * 7);
}

// Adds what a block holds, as far as it was kept, and complains about any byte that was not.
static void check(const struct block *block, size_t kept, uint64_t *sum) {
    for (size_t i = 0; i < kept; i++) {
        if (block->at[i] != (unsigned char)(block->first + i * 7)) fail("a block has lost what was in it");
        *sum = *sum * 31 + block->at[i];
    }
}

// Alignments up to a cache line: beyond, mimalloc 2.0.9 gives blocks that are not aligned, whoever looks on.
static void take(struct block *block, uint64_t choice, size_t size) {
    size_t alignment = (size_t)16 << (choice >> 8) % 3;
    void *at = NULL;
    switch (choice % 6) {
    case 0: at = malloc(size); break;
    case 1:
        at = calloc(size, 3);
        size *= 3;
        for (size_t i = 0; at && i < size; i++) if (((unsigned char *)at)[i]) fail("calloc gave a block that is not empty");
        break;
    case 2: at = realloc(NULL, size); break;
    case 3: at = memalign(alignment, size); break;
    case 4: at = aligned_alloc(alignment, size); break;
    default: if (posix_memalign(&at, alignment, size) != 0) fail("posix_memalign failed");
    }
    if (!at) fail("an allocation failed");
    if (choice % 6 >= 3 && (uintptr_t)at % alignment != 0) fail("a block is not aligned");
    block->at = at;
    block->size = size;
}

static void *work(void *argument) {
    const size_t self = (size_t)(uintptr_t)argument;
    uint64_t state = 0x9e3779b97f4a7c15u * (self + 1), sum = 0;
    for (int round = 0; round < ROUNDS; round++) {
        // In each round the blocks of another thread.
        struct block *mine = blocks[(self + (size_t)round) % THREADS];
        for (int call = 0; call < CALLS; call++) {
            struct block *block = &mine[next(&state) % SLOTS];
            uint64_t choice = next(&state);
            size_t size = 1 + next(&state) % (choice % 64 == 0 ? 200000 : 600);
            if (!block->at) {
                take(block, choice, size);
                fill(block, (unsigned char)choice);
            } else if (choice % 4 == 0) {
                size_t kept = size < block->size ? size : block->size;
                block->at = realloc(block->at, size);
                if (!block->at) fail("realloc failed");
                check(block, kept, &sum);
                block->size = size;
                fill(block, (unsigned char)choice);
            } else {
                check(block, block->size, &sum);
                free(block->at);
                block->at = NULL;
            }
            if (call % 100 == 0) free(NULL);
            if (call % 500 == 0) {
                volatile size_t most = SIZE_MAX / 2;
                errno = 0;
                if (malloc(most) || errno != ENOMEM) fail("what cannot be had was given, or refused without a reason");
            }
        }
        pthread_barrier_wait(&barrier);
    }
    sums[self] = sum;
    return NULL;
}

int main(void) {
    pthread_t threads[THREADS];
    if (pthread_barrier_init(&barrier, NULL, THREADS) != 0) fail("no barrier");
    for (size_t i = 0; i < THREADS; i++)
        if (pthread_create(&threads[i], NULL, work, (void *)(uintptr_t)i) != 0) fail("no thread");
    for (size_t i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
    for (size_t i = 0; i < THREADS; i++) printf("sum %016llx\n", (unsigned long long)sums[i]);
    return 0;
}
