// A process, its child and its grandchild, each a program of its own: forked with what the parent held, and replaced by the
// next program. One after the other, each with an account of its own.
#include "truth.h"

#include <sys/wait.h>

SITE static void first(size_t size) { truth_block(HERE(HEAP), malloc(size), size); }

SITE static void second(size_t size) { truth_block(HERE(HEAP), malloc(size), size); }

SITE static void third(size_t size) { truth_block(HERE(HEAP), malloc(size), size); }

SITE static void before_exec(size_t size) { truth_block(HERE(HEAP), malloc(size), size); }

static void (*const generations[])(size_t) = {first, second, third};
enum { GENERATIONS = 3 };

int main(int argc, char **argv) {
    int generation = argc > 1 ? atoi(argv[1]) : 0;
    truth_require(generation >= 0 && generation < GENERATIONS, "no such generation");
    // A child has run the forked copy of its parent first.
    truth_generation = generation > 0;
    for (size_t i = 0; i < 40; i++) generations[generation](100 * (size_t)(generation + 1) + i);
    if (generation + 1 < GENERATIONS) {
        pid_t pid = fork();
        truth_require(pid >= 0, "fork failed");
        if (pid == 0) {
            char next[] = {(char)('1' + generation), 0};
            truth_forked("");
            truth_generation = 0;
            for (size_t i = 0; i < 7; i++) before_exec(500 + i);
            truth_tell();
            execl("/proc/self/exe", "generations", next, NULL);
            truth_fail("exec failed");
        }
        int status;
        truth_require(waitpid(pid, &status, 0) == pid && status == 0, "a child failed");
    }
    truth_tell();
    return 0;
}
