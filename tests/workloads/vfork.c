// Children that share their parent's memory until their exec: what they allocate is the parent's.
#include "truth.h"

#include <sys/wait.h>

enum { CHILDREN = 20 };

static void *volatile left_behind;

SITE static void *by_child(size_t size) { return malloc(size); }

SITE static void by_parent(size_t size) { truth_block(HERE(HEAP), malloc(size), size); }

int main(int argc, char **argv) {
    truth_begin(argc, argv);
    for (size_t i = 0; i < CHILDREN; i++) {
        size_t size = 300 + i;
        pid_t pid = vfork();
        truth_require(pid >= 0, "vfork failed");
        if (pid == 0) {
            left_behind = by_child(size);
            if (i % 2) _exit(0);
            execl("/bin/true", "true", NULL);
            _exit(1);
        }
        int status;
        truth_require(waitpid(pid, &status, 0) == pid && status == 0, "a child failed");
        truth_block(truth_site("by_child", HEAP), left_behind, size);
        if (i % 3 == 0) {
            truth_release(left_behind);
            free(left_behind);
        }
        by_parent(100 + i);
    }
    truth_end();
    return 0;
}
