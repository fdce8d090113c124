// Allocates as many blocks of 16 bytes as the first argument says, and keeps as many.
//
// At the first line of its input it makes as many pairs of malloc and free as the second argument says, and says `warm`:
// what a tracer needs for events in general is then in use. At the second line it allocates the blocks, says
// `blocks N at T` (T is CLOCK_MONOTONIC in nanoseconds) fifty times on the way, and `live` at the end. At the third line it
// frees as many blocks as the second argument says, chosen at random, allocates another for each at once, and says
// `turned`. Then it waits for the end of its input.
#include "truth.h"

#include <sys/mman.h>
#include <time.h>

enum { STEPS = 50 };

static void **kept;

static void warm_up(long pairs) {
    for (long i = 0; i < pairs; i++) {
        void *volatile block = malloc(16);
        free(block);
    }
    truth_say("warm\n");
}

SITE static void allocate(long blocks) {
    for (long step = 1, done = 0; step <= STEPS; step++) {
        for (; done < blocks * step / STEPS; done++) {
            kept[done] = malloc(16);
            if (kept[done] == NULL) truth_fail("bench_live: no memory");
        }
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        truth_say("blocks %ld at %llu\n", done,
                  (unsigned long long)now.tv_sec * 1000000000u + (unsigned long long)now.tv_nsec);
    }
    truth_say("live\n");
}

SITE static void turn_over(long blocks, long pairs) {
    unsigned long long state = 42;
    for (long i = 0; i < pairs; i++) {
        // Knuth's MMIX generator: its upper bits are random enough.
        state = state * 6364136223846793005u + 1442695040888963407u;
        void **one = &kept[(state >> 33) % (unsigned long long)blocks];
        free(*one);
        *one = malloc(16);
    }
    truth_say("turned\n");
}

int main(int argc, char **argv) {
    if (argc != 3) truth_fail("usage: bench_live BLOCKS WARM-UP-PAIRS");
    // Not by malloc: it is no block of the ones that are counted.
    size_t bytes = (size_t)atol(argv[1]) * sizeof *kept;
    kept = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (kept == MAP_FAILED) truth_fail("bench_live: no memory");
    truth_say("ready %d\n", (int)getpid());
    truth_listen();
    warm_up(atol(argv[2]));
    truth_listen();
    allocate(atol(argv[1]));
    truth_listen();
    turn_over(atol(argv[1]), atol(argv[2]));
    truth_listen();
    return 0;
}
