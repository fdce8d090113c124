// The ways in which a process ends, right after its last allocation: by returning 7 from main, or by the arguments
// `exit` (7), `_exit` (8), `abort` and `kill`.
#include "truth.h"

#include <signal.h>
#include <sys/resource.h>

SITE static void last_block(size_t size) { truth_block(HERE(HEAP), malloc(size), size); }

int main(int argc, char **argv) {
    struct rlimit no_core = {0, 0};
    setrlimit(RLIMIT_CORE, &no_core);
    truth_begin(argc, argv);
    // Said beforehand: nothing may come between the last allocation and the end.
    struct truth_site *site = truth_site("last_block", HEAP);
    enum { BLOCKS = 5000 };
    uint64_t bytes = 0;
    for (size_t i = 0; i < BLOCKS; i++) bytes += 20 + i % 50;
    truth_allocated(site, bytes, BLOCKS);
    truth_tell();
    for (size_t i = 0; i < BLOCKS; i++) last_block(20 + i % 50);
    if (truth_told(argc, argv, "exit")) exit(7);
    if (truth_told(argc, argv, "_exit")) _exit(8);
    if (truth_told(argc, argv, "abort")) abort();
    if (truth_told(argc, argv, "kill")) kill(getpid(), SIGKILL);
    return 7;
}
