// Pairs of malloc(64) and free at full speed, in as many threads as the first argument says. Every block passes through
// a ring of 1,024 before it is freed, so a tracer always holds that many live blocks of each thread; and every call is
// made 16 calls deep, as in a program that does something.
//
// Answers each line of its input with `pairs N at T cpu C`: pairs made so far, CLOCK_MONOTONIC, and the CPU time of the
// threads that make them, both in nanoseconds. Ends with the input.
#include "truth.h"

#include <stdatomic.h>
#include <time.h>

enum { MOST_THREADS = 64, BLOCKS = 1024, DEPTH = 16, BATCH = 64 };

// On a cache line of its own: the threads must not wait for each other.
struct worker {
    _Alignas(64) atomic_ullong pairs;
    pthread_t thread;
};

static struct worker workers[MOST_THREADS];
static atomic_int is_over;

SITE static void churn(struct worker *worker) {
    void *blocks[BLOCKS] = {0};
    unsigned next = 0;
    for (uint64_t pairs = BATCH; !atomic_load_explicit(&is_over, memory_order_relaxed); pairs += BATCH) {
        for (int i = 0; i < BATCH; i++) {
            free(blocks[next]);
            blocks[next] = malloc(64);
            next = (next + 1) % BLOCKS;
        }
        atomic_store_explicit(&worker->pairs, pairs, memory_order_relaxed);
    }
}

SITE static void descend(struct worker *worker, int depth) {
    if (depth < DEPTH) descend(worker, depth + 1);
    else churn(worker);
}

static void *work(void *worker) {
    descend(worker, 0);
    return NULL;
}

static unsigned long long nanoseconds(clockid_t clock) {
    struct timespec time;
    if (clock_gettime(clock, &time) != 0) truth_fail("bench_churn: cannot read a clock");
    return (unsigned long long)time.tv_sec * 1000000000u + (unsigned long long)time.tv_nsec;
}

static void answer(int threads) {
    unsigned long long at = nanoseconds(CLOCK_MONOTONIC), pairs = 0, cpu = 0;
    for (int i = 0; i < threads; i++) {
        clockid_t clock;
        if (pthread_getcpuclockid(workers[i].thread, &clock) != 0) truth_fail("bench_churn: a thread has no clock");
        pairs += atomic_load_explicit(&workers[i].pairs, memory_order_relaxed);
        cpu += nanoseconds(clock);
    }
    truth_say("pairs %llu at %llu cpu %llu\n", pairs, at, cpu);
}

int main(int argc, char **argv) {
    int threads = argc > 1 ? atoi(argv[1]) : 1;
    if (threads < 1 || threads > MOST_THREADS) truth_fail("bench_churn: 1 to 64 threads");
    for (int i = 0; i < threads; i++) {
        if (pthread_create(&workers[i].thread, NULL, work, &workers[i]) != 0) truth_fail("bench_churn: no thread");
    }
    truth_say("ready %d\n", (int)getpid());
    char byte;
    while (read(STDIN_FILENO, &byte, 1) == 1) {
        if (byte == '\n') answer(threads);
    }
    atomic_store(&is_over, 1);
    for (int i = 0; i < threads; i++) pthread_join(workers[i].thread, NULL);
    return 0;
}
