// A process that replaces itself by another program: its memory is gone, what it had allocated is still reported.
#include "truth.h"

SITE static void *before_exec(size_t size) {
    void *block = malloc(size);
    truth_block(HERE(HEAP), block, size);
    return block;
}

SITE static void in_both(size_t size) { truth_block(HERE(HEAP), malloc(size), size); }

SITE static void after_exec(size_t size) { truth_block(HERE(HEAP), malloc(size), size); }

static void replace(char *program) {
    for (size_t i = 0; i < 200; i++) {
        void *block = before_exec(100 + i);
        if (i % 4 == 0) {
            truth_release(block);
            free(block);
        }
    }
    for (size_t i = 0; i < 30; i++) in_both(1000);
    truth_tell();
    char *waiting[] = {program, (char *)"after", (char *)"waits", NULL};
    if (!truth_waits) waiting[2] = NULL;
    execv(program, waiting);
    truth_fail("exec failed");
}

int main(int argc, char **argv) {
    if (!truth_told(argc, argv, "after")) {
        truth_begin(argc, argv);
        replace(argv[0]);
    }
    // Told to go before the exec already.
    truth_waits = truth_told(argc, argv, "waits");
    truth_generation = 1;
    for (size_t i = 0; i < 120; i++) after_exec(50 + i);
    for (size_t i = 0; i < 10; i++) in_both(3000);
    truth_end();
    return 0;
}
