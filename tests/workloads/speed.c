// How long a pair of malloc and free takes. For each line of input: says `started`, runs, says `picoseconds N` a pair
// (the best of several rounds). Ends with the input.
#include "truth.h"

#include <time.h>

enum { PAIRS = 20000, ROUNDS = 20 };

static uint64_t now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static uint64_t one_round(void) {
    uint64_t begin = now();
    for (int i = 0; i < PAIRS; i++) {
        void *volatile block = malloc(64);
        free(block);
    }
    return (now() - begin) * 1000 / PAIRS;
}

int main(void) {
    truth_say("ready %d\n", (int)getpid());
    char byte;
    while (read(STDIN_FILENO, &byte, 1) == 1) {
        if (byte != '\n') continue;
        truth_say("started\n");
        uint64_t best = UINT64_MAX;
        for (int i = 0; i < ROUNDS; i++) {
            uint64_t took = one_round();
            if (took < best) best = took;
        }
        truth_say("picoseconds %llu\n", (unsigned long long)best);
    }
    return 0;
}
