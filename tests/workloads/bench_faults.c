// Page faults at full speed: a thread writes to the pages of a mapping, gives them back, and begins again. Every page is
// a page fault; madvise, once in 256 pages, is the rest. 16 calls deep, as in a program that does something.
//
// Answers each line of its input with `pairs N at T cpu C`: pages touched so far, CLOCK_MONOTONIC, and the CPU time of the
// thread, both in nanoseconds. Ends with the input.
#include "truth.h"

#include <stdatomic.h>
#include <sys/mman.h>
#include <time.h>

enum { PAGE = 4096, PAGES = 256, DEPTH = 16 };

static atomic_ullong touched;
static atomic_int is_over;

SITE static void touch(volatile char *start) {
    while (!atomic_load_explicit(&is_over, memory_order_relaxed)) {
        for (int i = 0; i < PAGES; i++) start[i * PAGE] = 1;
        truth_require(madvise((void *)start, PAGES * PAGE, MADV_DONTNEED) == 0, "madvise failed");
        atomic_fetch_add_explicit(&touched, PAGES, memory_order_relaxed);
    }
}

SITE static void descend(char *start, int depth) {
    if (depth < DEPTH) descend(start, depth + 1);
    else touch(start);
}

static void *work(void *start) {
    descend(start, 0);
    return NULL;
}

static unsigned long long nanoseconds(clockid_t clock) {
    struct timespec time;
    if (clock_gettime(clock, &time) != 0) truth_fail("bench_faults: cannot read a clock");
    return (unsigned long long)time.tv_sec * 1000000000u + (unsigned long long)time.tv_nsec;
}

int main(void) {
    char *start = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    truth_require(start != MAP_FAILED, "mmap failed");
    (void)madvise(start, PAGES * PAGE, MADV_NOHUGEPAGE);
    pthread_t thread;
    clockid_t clock;
    if (pthread_create(&thread, NULL, work, start) != 0) truth_fail("bench_faults: no thread");
    if (pthread_getcpuclockid(thread, &clock) != 0) truth_fail("bench_faults: the thread has no clock");
    truth_say("ready %d\n", (int)getpid());
    char byte;
    while (read(STDIN_FILENO, &byte, 1) == 1) {
        if (byte != '\n') continue;
        unsigned long long at = nanoseconds(CLOCK_MONOTONIC), cpu = nanoseconds(clock);
        truth_say("pairs %llu at %llu cpu %llu\n", (unsigned long long)atomic_load(&touched), at, cpu);
    }
    atomic_store(&is_over, 1);
    pthread_join(thread, NULL);
    return 0;
}
