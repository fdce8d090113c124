// Does what it is told, a line at a time, and keeps its account meanwhile:
//
//   hold SITE BLOCKS BYTES   takes so many blocks in the function SITE (alpha, beta or gamma_)
//   drop SITE                gives back all that SITE holds
//   leak BYTES MS            from now on takes a block every so many milliseconds, and never gives it back
//   churn BYTES MS           the same, and gives it back at once; one of the two at a time, until:
//   rest                     does nothing any more
//   workers COUNT            forks so many children, which wait to be told: says `worker PID` of each
//   work                     each worker takes blocks, one worker after the other, and says its account
//   tell                     says the account
//   leave CODE               exits with this code
//
// Each but the last is answered by `done`. It exits with 0 when its standard input ends.
#include "truth.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <time.h>

enum { HELD = 40000, WORKERS = 8, WORKER_BLOCKS = 50, WORKER_BYTES = 3000, SHARED_BYTES = 4 << 20 };

// What is held, and by which of the sites.
static void *held[HELD];
static const char *held_by[HELD];
static size_t held_count;
static int orders[2], answers[2];
static int worker_count;
static int period;
static size_t tick_bytes;
static int is_leak;

// A block that was just handed out is written to, so that it takes memory, and counted.
static void *kept(struct truth_site *site, void *block, size_t size) {
    truth_require(block != NULL, "malloc failed");
    memset(block, 1, size);
    truth_block(site, block, size);
    return block;
}

// The places that heaptide is to name: each calls malloc itself.
#define TAKES(name) \
    SITE static void *name(size_t size) { return kept(HERE(HEAP), malloc(size), size); }

TAKES(alpha)
TAKES(beta)
TAKES(gamma_)
TAKES(keep_for_ever)
TAKES(keep_for_a_moment)
TAKES(by_worker)

static void hold(const char *site, size_t blocks, size_t bytes) {
    for (size_t i = 0; i < blocks; i++) {
        truth_require(held_count < HELD, "too much is held");
        const char *by = strcmp(site, "alpha") == 0 ? "alpha" : strcmp(site, "beta") == 0 ? "beta" : "gamma_";
        held[held_count] = *by == 'a' ? alpha(bytes) : *by == 'b' ? beta(bytes) : gamma_(bytes);
        held_by[held_count++] = by;
    }
}

static void drop(const char *site) {
    size_t left = 0;
    for (size_t i = 0; i < held_count; i++) {
        if (strcmp(held_by[i], site) != 0) {
            held[left] = held[i];
            held_by[left++] = held_by[i];
            continue;
        }
        truth_release(held[i]);
        free(held[i]);
    }
    held_count = left;
}

SITE static void tick(void) {
    if (is_leak) {
        keep_for_ever(tick_bytes);
    } else {
        void *block = keep_for_a_moment(tick_bytes);
        truth_release(block);
        free(block);
    }
}

// Lives until its parent ends.
static void worker(void) {
    char byte;
    truth_require(prctl(PR_SET_PDEATHSIG, SIGKILL) == 0, "prctl failed");
    truth_forked("child ");
    truth_require(read(orders[0], &byte, 1) == 1, "a worker was not told to work");
    for (size_t i = 0; i < WORKER_BLOCKS; i++) by_worker(WORKER_BYTES + i);
    truth_tell();
    truth_require(write(answers[1], &byte, 1) == 1, "a worker cannot answer");
    for (;;) pause();
}

// They share what the parent has touched before.
static void workers(int count) {
    truth_require(count > 0 && count <= WORKERS && worker_count == 0, "too many workers");
    truth_require(pipe(orders) == 0 && pipe(answers) == 0, "pipe failed");
    hold("gamma_", 1, SHARED_BYTES);
    for (; worker_count < count; worker_count++) {
        pid_t pid = fork();
        truth_require(pid >= 0, "fork failed");
        if (pid == 0) worker();
        truth_say("worker %d\n", (int)pid);
    }
}

static void work(void) {
    char byte = 1;
    for (int i = 0; i < worker_count; i++) {
        truth_require(write(orders[1], &byte, 1) == 1, "cannot tell a worker to work");
        truth_require(read(answers[0], &byte, 1) == 1, "a worker did not answer");
    }
}

static void repeat(int leaks, size_t bytes, int milliseconds) {
    is_leak = leaks;
    tick_bytes = bytes;
    period = milliseconds;
}

static void obey(const char *line) {
    char site[16];
    size_t blocks, bytes;
    int number;
    if (sscanf(line, "hold %15s %zu %zu", site, &blocks, &bytes) == 3) hold(site, blocks, bytes);
    else if (sscanf(line, "drop %15s", site) == 1) drop(site);
    else if (sscanf(line, "leak %zu %d", &bytes, &number) == 2) repeat(1, bytes, number);
    else if (sscanf(line, "churn %zu %d", &bytes, &number) == 2) repeat(0, bytes, number);
    else if (strcmp(line, "rest") == 0) period = 0;
    else if (sscanf(line, "workers %d", &number) == 1) workers(number);
    else if (strcmp(line, "work") == 0) work();
    else if (strcmp(line, "tell") == 0) truth_tell();
    else if (sscanf(line, "leave %d", &number) == 1) exit(number);
    else truth_fail("obeys: told something that it does not know");
    truth_say("done\n");
}

// Reads what there is to read; 0 at the end of the input.
static int listen_and_obey(void) {
    static char line[128];
    static size_t length;
    char byte;
    while (read(STDIN_FILENO, &byte, 1) == 1) {
        if (byte != '\n') {
            truth_require(length < sizeof line - 1, "obeys: a line is too long");
            line[length++] = byte;
            continue;
        }
        line[length] = 0;
        length = 0;
        obey(line);
        return 1;
    }
    return 0;
}

static int64_t milliseconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int main(int argc, char **argv) {
    truth_begin(argc, argv);
    // Orders may be arguments, too: a command that is watched from its begin.
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], "wait") != 0) obey(argv[i]);
    struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN, .revents = 0};
    int64_t next = milliseconds();
    for (;;) {
        int64_t now = milliseconds();
        if (period == 0 || next < now - 1000) next = now;
        int ready = poll(&input, 1, period == 0 ? -1 : next > now ? (int)(next - now) : 0);
        truth_require(ready >= 0 || errno == EINTR, "poll failed");
        if (ready > 0 && !listen_and_obey()) return 0;
        if (ready == 0 && period > 0) {
            tick();
            next += period;
        }
    }
}
