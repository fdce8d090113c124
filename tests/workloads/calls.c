// A program that knows how often it has called the allocator, and says so: `calls NUMBER`. With an argument `children N`
// that many children, one after the other, do the same for a while each, and the program itself does not.
#include "truth.h"

#include <errno.h>
#include <malloc.h>
#include <sys/wait.h>
#include <time.h>

enum { ROUNDS = 100, CHILD_MILLISECONDS = 20 };

// volatile: the compiler must not know that the calls fail.
static volatile size_t huge = PTRDIFF_MAX;

static uint64_t calls;

static void *called(void *block) {
    calls++;
    truth_require(block != NULL, "no memory");
    return block;
}

static void released(void *block) {
    calls++;
    free(block);
}

static void round_of_calls(size_t size) {
    void *first = called(malloc(size));
    void *second = called(calloc(3, size));
    // Not of NULL: the C library's calls its malloc then.
    first = called(realloc(first, 2 * size));
    void *third = NULL;
    calls++;
    truth_require(posix_memalign(&third, 64, size) == 0, "posix_memalign failed");
    calls++;
    truth_require(malloc(huge) == NULL && errno == ENOMEM, "a huge malloc succeeded");
    released(first);
    released(second);
    released(third);
}

static uint64_t milliseconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void child(void) {
    pid_t pid = fork();
    truth_require(pid >= 0, "fork failed");
    if (pid == 0) {
        uint64_t begin = milliseconds();
        while (milliseconds() - begin < CHILD_MILLISECONDS) round_of_calls(100);
        _exit(0);
    }
    truth_require(waitpid(pid, NULL, 0) == pid, "waitpid failed");
}

int main(int argc, char **argv) {
    truth_begin(argc, argv);
    int children = 0;
    for (int i = 1; i + 1 < argc; i++)
        if (strcmp(argv[i], "children") == 0) children = atoi(argv[i + 1]);
    for (int i = 0; i < children; i++) child();
    for (int i = 0; children == 0 && i < ROUNDS; i++) round_of_calls((size_t)(10 + i * 7));
    truth_say("calls %llu\n", (unsigned long long)calls);
    truth_end();
    return 0;
}
