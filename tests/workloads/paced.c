// Pairs of malloc and free, and some work of its own between them: the first argument is how many steps. With a second
// one, a block is kept for good after every so many pairs.
//
// Answers each line of its input with `pairs N at T cpu C`, as bench_churn does. Ends with the input.
#include "truth.h"

#include <stdatomic.h>
#include <time.h>

static atomic_ullong pairs;
static atomic_int is_over;
static int steps, keep_every;

SITE static void keep(void) {
    void *volatile block = malloc(100);
    (void)block;
}

// All in a register: a counter in memory is slower for a while after a trap on some processors, which no tracer can help.
static void compute(void) {
    unsigned long long number = 1;
    for (int step = 0; step < steps; step++) {
        number *= 0x9e3779b97f4a7c15u;
        __asm__ volatile("" : "+r"(number));
    }
}

static void *work(void *unused) {
    for (unsigned long long done = 1; !atomic_load(&is_over); done++) {
        void *volatile block = malloc(64);
        compute();
        free(block);
        if (keep_every > 0 && done % (unsigned long long)keep_every == 0) keep();
        atomic_fetch_add(&pairs, 1);
    }
    return unused;
}

static unsigned long long nanoseconds(clockid_t clock) {
    struct timespec time;
    truth_require(clock_gettime(clock, &time) == 0, "cannot read a clock");
    return (unsigned long long)time.tv_sec * 1000000000u + (unsigned long long)time.tv_nsec;
}

int main(int argc, char **argv) {
    steps = argc > 1 ? atoi(argv[1]) : 1000;
    keep_every = argc > 2 ? atoi(argv[2]) : 0;
    pthread_t thread;
    truth_require(pthread_create(&thread, NULL, work, NULL) == 0, "no thread");
    clockid_t clock;
    truth_require(pthread_getcpuclockid(thread, &clock) == 0, "a thread has no clock");
    truth_say("ready %d\n", (int)getpid());
    char byte;
    while (read(STDIN_FILENO, &byte, 1) == 1) {
        if (byte != '\n') continue;
        unsigned long long done = atomic_load(&pairs);
        truth_say("pairs %llu at %llu cpu %llu\n", done, nanoseconds(CLOCK_MONOTONIC), nanoseconds(clock));
    }
    atomic_store(&is_over, 1);
    pthread_join(thread, NULL);
    return 0;
}
