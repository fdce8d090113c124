// Allocates as many blocks of 16 bytes as the first argument says, and keeps them all.
//
// At the first line of its input it makes as many pairs of malloc and free as the second argument says, and says `warm`:
// what a tracer needs for events in general is then in use. At the second line it allocates the blocks, says
// `blocks N at T` (T is CLOCK_MONOTONIC in nanoseconds) fifty times on the way, and `live` at the end. Then it waits for
// the end of its input.
#include "truth.h"

#include <time.h>

enum { STEPS = 50 };

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
            void *volatile block = malloc(16);
            if (block == NULL) truth_fail("bench_live: no memory");
        }
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        truth_say("blocks %ld at %llu\n", done,
                  (unsigned long long)now.tv_sec * 1000000000u + (unsigned long long)now.tv_nsec);
    }
    truth_say("live\n");
}

int main(int argc, char **argv) {
    if (argc != 3) truth_fail("usage: bench_live BLOCKS WARM-UP-PAIRS");
    truth_say("ready %d\n", (int)getpid());
    truth_listen();
    warm_up(atol(argv[2]));
    truth_listen();
    allocate(atol(argv[1]));
    truth_listen();
    return 0;
}
