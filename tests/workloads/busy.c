// Allocates and frees on every thread, again and again, until its input ends or a line comes. The first argument is the
// number of threads (1 to 1024), the second what else it does: `forks` has it fork children that do the same for a moment.
#include "truth.h"

#include <sys/wait.h>

enum { MOST = 1024, HELD = 16 };

static volatile int ended;
static int count;

SITE static void *churned(size_t size) { return malloc(size); }

static void *churn(void *unused) {
    void *held[HELD] = {0};
    for (unsigned i = 0; !ended; i++) {
        free(held[i % HELD]);
        held[i % HELD] = churned(16 + i % 200);
        // Many threads share few processors: however many there are, they leave some time to others.
        if (i % HELD == 0) usleep(250 * (useconds_t)count);
    }
    for (int i = 0; i < HELD; i++) free(held[i]);
    return unused;
}

static void *fork_children(void *unused) {
    while (!ended) {
        pid_t pid = fork();
        truth_require(pid >= 0, "fork failed");
        if (pid == 0) {
            for (size_t i = 0; i < 50; i++) free(churned(i + 1));
            _exit(0);
        }
        int status;
        truth_require(waitpid(pid, &status, 0) == pid && status == 0, "a child failed");
    }
    return unused;
}

int main(int argc, char **argv) {
    static pthread_t threads[MOST];
    count = argc > 1 ? atoi(argv[1]) : 1;
    truth_require(count >= 1 && count <= MOST, "a number of threads is wanted");
    int forks = truth_told(argc, argv, "forks");
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, 256 << 10);
    for (int i = 0; i < count; i++)
        truth_require(pthread_create(&threads[i], &attributes, forks ? fork_children : churn, NULL) == 0, "no thread");
    truth_say("ready %d\n", (int)getpid());
    truth_listen();
    ended = 1;
    for (int i = 0; i < count; i++) pthread_join(threads[i], NULL);
    truth_say("done\n");
    return 0;
}
