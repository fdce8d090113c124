// Blocks from 100,000 distinct stacks at full speed, each of which holds one that comes and goes: the ways through a tree of
// calls. Ends with its input.
#include "truth.h"

#include <stdatomic.h>

static atomic_int is_over;

enum { DEPTH = 17, STACKS = 100000 };

static void *held[STACKS];

SITE static void keep(unsigned way) {
    free(held[way]);
    // Each has a size of its own, and another each time.
    static unsigned round;
    held[way] = malloc(32 + (way + round++) % 97);
}

static void walk(unsigned way, unsigned rest, int depth);

SITE static void left(unsigned way, unsigned rest, int depth) {
    walk(way, rest, depth - 1);
    __asm__ volatile("");
}

SITE static void right(unsigned way, unsigned rest, int depth) {
    walk(way, rest, depth - 1);
    __asm__ volatile("");
}

SITE static void walk(unsigned way, unsigned rest, int depth) {
    if (depth == 0) keep(way);
    else if (rest & 1) right(way, rest >> 1, depth);
    else left(way, rest >> 1, depth);
    __asm__ volatile("");
}

static void *work(void *unused) {
    // The same ways in every run: a linear congruence.
    unsigned state = 1;
    while (!atomic_load_explicit(&is_over, memory_order_relaxed)) {
        state = state * 1664525u + 1013904223u;
        unsigned way = (state >> 8) % STACKS;
        walk(way, way, DEPTH);
    }
    return unused;
}

int main(void) {
    pthread_t thread;
    if (pthread_create(&thread, NULL, work, NULL) != 0) truth_fail("bench_many_stacks: no thread");
    truth_say("ready %d\n", (int)getpid());
    char byte;
    while (read(STDIN_FILENO, &byte, 1) == 1) {}
    atomic_store(&is_over, 1);
    pthread_join(thread, NULL);
    return 0;
}
