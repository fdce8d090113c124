// Programs whose memory behaves in a known way, compressed into some seconds: what they share.
//
// Each is a service: requests come by chance, each allocates a block of some size, which lives for a while. On top of that
// comes what the kind is about. All chance is of a seed. They work by the clock, a little in each slot, and sleep nearly
// always, so that many of them run at once on a small machine. Arguments: KIND SEED SECONDS, and what truth.h takes.
//
// Says `process PID ROLE` for each process that a verdict is made of, at the end `held PID BYTES BLOCKS` (all that is in use)
// and `leaked PID FUNCTION BYTES BLOCKS`, then `done`. With the argument `trace` each process also says what it holds, every
// 200 ms: `sample PID MILLISECONDS HEAP MAPPED FILES STACKS RESIDENT`.
#ifndef GROWS_H
#define GROWS_H

#include "truth.h"

#include <fcntl.h>
#include <math.h>
#include <time.h>

enum { SLOTS_A_SECOND = 200, USUAL_STEP = 2, WHEEL = 4096, TRACE_SLOTS = SLOTS_A_SECOND / 5 };

// ---- chance ----

// SplitMix64 (G. L. Steele, D. Lea, C. H. Flood, OOPSLA 2014).
struct chance {
    uint64_t state;
};

static inline struct chance chance_of(const char *kind, uint64_t seed) {
    // FNV-1a: each kind has its own chance.
    uint64_t hash = 0xcbf29ce484222325u;
    for (; *kind; kind++) hash = (hash ^ (uint64_t)(unsigned char)*kind) * 0x100000001b3u;
    struct chance chance = {hash ^ seed * 0x9e3779b97f4a7c15u};
    return chance;
}

static inline uint64_t bits(struct chance *chance) {
    uint64_t mixed = chance->state += 0x9e3779b97f4a7c15u;
    mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9u;
    mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111ebu;
    return mixed ^ (mixed >> 31);
}

// Between 0 and 1, without 0.
static inline double unit(struct chance *chance) { return ((double)(bits(chance) >> 32) + 1.0) / 4294967296.0; }

static inline double between(struct chance *chance, double low, double high) { return low + (high - low) * unit(chance); }

// The same on a logarithmic scale.
static inline double scale(struct chance *chance, double low, double high) {
    return low * exp(unit(chance) * log(high / low));
}

static inline int happens(struct chance *chance, double share) { return unit(chance) <= share; }

static inline double exponential(struct chance *chance, double mean) { return -mean * log(unit(chance)); }

// How many of those come that come `mean` times on average.
static inline long poisson(struct chance *chance, double mean) {
    if (mean > 100) {
        // Nearly normal; the product below would be too small for a number. By G. E. P. Box and M. E. Muller (1958).
        double normal = sqrt(-2 * log(unit(chance))) * cos(2 * M_PI * unit(chance));
        return lround(fmax(mean + sqrt(mean) * normal, 0));
    }
    double end = exp(-mean), product = unit(chance);
    long count = 0;
    for (; product >= end; count++) product *= unit(chance);
    return count;
}

// ---- the account ----

static uint64_t held_bytes, held_blocks, mapped_bytes, file_bytes, stack_bytes;
static const char *leak_site = "nothing";
static uint64_t leaked_bytes, leaked_blocks;

// A block begins with this.
struct block {
    struct block *next;
    size_t size;
};

// Makes the compiler believe that a pointer is used.
static inline void escape(void *pointer) { __asm__ volatile("" : : "r"(pointer) : "memory"); }

static inline void held_more(size_t size) {
    truth_add(&held_bytes, size);
    truth_add(&held_blocks, 1);
}

static inline void held_less(size_t size) {
    truth_add(&held_bytes, -(uint64_t)size);
    truth_add(&held_blocks, -(uint64_t)1);
}

// A block of its caller, who writes all of it.
__attribute__((always_inline)) static inline struct block *allocate(size_t size) {
    if (size < sizeof(struct block)) size = sizeof(struct block);
    struct block *block = (struct block *)malloc(size);
    truth_require(block != NULL, "malloc failed");
    memset(block, 0x5a, size);
    escape(block);
    block->next = NULL;
    block->size = size;
    held_more(size);
    return block;
}

// A block of its caller that nobody will ever free.
__attribute__((always_inline)) static inline struct block *leak(const char *site, size_t size) {
    struct block *block = allocate(size);
    leak_site = site;
    truth_add(&leaked_bytes, block->size);
    truth_add(&leaked_blocks, 1);
    return block;
}

static inline void release(struct block *block) {
    held_less(block->size);
    free(block);
}

static inline void release_all(struct block *list) {
    while (list) {
        struct block *next = list->next;
        release(list);
        list = next;
    }
}

// ---- a life by the clock ----

struct life {
    struct chance chance;
    double seconds;
    struct timespec begin;
    // How many slots pass at once: more where many threads or processes share the work, fewer where blocks live for less.
    long step, slot, slots;
    struct block *due[WHEEL];
};

static int traces;
static struct timespec trace_begin;

static inline long milliseconds_since(const struct timespec *begin) {
    struct timespec now;
    truth_require(clock_gettime(CLOCK_MONOTONIC, &now) == 0, "cannot read the clock");
    return (now.tv_sec - begin->tv_sec) * 1000 + (now.tv_nsec - begin->tv_nsec) / 1000000;
}

static inline void trace(void) {
    char text[128] = "";
    int statm = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    truth_require(statm >= 0 && read(statm, text, sizeof text - 1) > 0, "cannot read statm");
    close(statm);
    unsigned long long pages = strtoull(strchr(text, ' '), NULL, 10);
    truth_say("sample %d %ld %llu %llu %llu %llu %llu\n", (int)getpid(), milliseconds_since(&trace_begin),
              (unsigned long long)held_bytes, (unsigned long long)mapped_bytes, (unsigned long long)file_bytes,
              (unsigned long long)stack_bytes, pages * 4096);
}

// Begins a life of so many seconds.
static inline void live(struct life *life, struct chance chance, double seconds, long step) {
    memset(life, 0, sizeof *life);
    life->chance = chance;
    life->seconds = seconds;
    life->step = step;
    life->slots = (long)(seconds * SLOTS_A_SECOND);
    truth_require(clock_gettime(CLOCK_MONOTONIC, &life->begin) == 0, "cannot read the clock");
    // Programs that are started together do not wake together.
    life->begin.tv_nsec += (long)(bits(&life->chance) % (1000000000 / SLOTS_A_SECOND));
}

// How much of the life is over, 0 to 1.
static inline double over(const struct life *life) { return (double)life->slot / (double)life->slots; }

// What comes in a step of the clock of what comes `rate` times a second.
static inline double in_step(const struct life *life, double rate) { return rate * (double)life->step / SLOTS_A_SECOND; }

static inline long arrivals(struct life *life, double rate) { return poisson(&life->chance, in_step(life, rate)); }

// The block will be freed after so many seconds.
static inline void free_after(struct life *life, struct block *block, double seconds) {
    long slots = (long)ceil(seconds * SLOTS_A_SECOND / (double)life->step) * life->step;
    if (slots < life->step) slots = life->step;
    if (slots > WHEEL - life->step) slots = (WHEEL / life->step - 1) * life->step;
    struct block **due = &life->due[(life->slot + slots) / life->step % (WHEEL / life->step)];
    block->next = *due;
    *due = block;
}

// Waits for the next step and frees what is due. 0 when the life is over. `is_main`: this thread tells of the process.
static inline int step_of(struct life *life, int is_main) {
    if (is_main && traces && life->slot % TRACE_SLOTS == 0) trace();
    life->slot += life->step;
    if (life->slot >= life->slots) return 0;
    struct timespec wake = life->begin;
    wake.tv_sec += life->slot / SLOTS_A_SECOND;
    wake.tv_nsec += life->slot % SLOTS_A_SECOND * (1000000000 / SLOTS_A_SECOND);
    for (; wake.tv_nsec >= 1000000000; wake.tv_nsec -= 1000000000) wake.tv_sec++;
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &wake, NULL) != 0) {}
    struct block **due = &life->due[life->slot / life->step % (WHEEL / life->step)];
    struct block *list = *due;
    *due = NULL;
    release_all(list);
    return 1;
}

static inline int step(struct life *life) { return step_of(life, 1); }

// ---- requests ----

struct churn {
    // Requests a second; bytes of a block, from a quarter of it to four times as much; mean life in seconds.
    double rate, size, life;
};

// The mean of a size as a multiple of `size`: it is even on a logarithmic scale from 1/4 to 4.
static const double MEAN_SIZE = 1.3525;

// Some ordinary service.
static inline struct churn some_churn(struct chance *chance) {
    struct churn churn = {between(chance, 1200, 2000), scale(chance, 400, 4000), between(chance, 0.12, 0.25)};
    return churn;
}

// Bytes in use on average.
static inline double level(const struct churn *churn) { return churn->rate * churn->size * churn->life * MEAN_SIZE; }

static inline double bytes_a_second(const struct churn *churn) { return churn->rate * churn->size * MEAN_SIZE; }

static inline size_t some_size(struct chance *chance, double size) { return (size_t)scale(chance, size / 4, size * 4); }

SITE static struct block *read_header(size_t size) { return allocate(size); }
SITE static struct block *read_body(size_t size) { return allocate(size); }
SITE static struct block *build_query(size_t size) { return allocate(size); }
SITE static struct block *render_page(size_t size) { return allocate(size); }

SITE static void handle_request(struct life *life, const struct churn *churn) {
    static struct block *(*const stages[])(size_t) = {read_header, read_body, build_query, render_page};
    struct block *block = stages[bits(&life->chance) % 4](some_size(&life->chance, churn->size));
    free_after(life, block, exponential(&life->chance, churn->life));
}

// The requests of a step, `load` times as many as usual. Returns how many there were.
static inline long serve(struct life *life, const struct churn *churn, double load) {
    long requests = arrivals(life, churn->rate * load);
    for (long i = 0; i < requests; i++) handle_request(life, churn);
    return requests;
}

// ---- the program ----

struct kind {
    const char *name;
    void (*run)(struct life *);
};

// Says that a verdict will be made of this process, and as what.
static inline void tell_role(const char *role) { truth_say("process %d %s\n", (int)getpid(), role); }

static inline void tell_account(void) {
    int pid = (int)getpid();
    truth_say("held %d %llu %llu\n", pid, (unsigned long long)held_bytes, (unsigned long long)held_blocks);
    truth_say("leaked %d %s %llu %llu\n", pid, leak_site, (unsigned long long)leaked_bytes,
              (unsigned long long)leaked_blocks);
}

// Static: it is large, and no block.
static struct life the_life;

static inline int grows_main(int argc, char **argv, const struct kind *kinds) {
    truth_require(argc > 3, "arguments: KIND SEED SECONDS");
    const struct kind *kind = kinds;
    while (kind->name && strcmp(kind->name, argv[1]) != 0) kind++;
    truth_require(kind->name != NULL, "no such kind");
    traces = truth_told(argc, argv, "trace");
    truth_begin(argc, argv);
    tell_role("main");
    live(&the_life, chance_of(argv[1], strtoull(argv[2], NULL, 10)), strtod(argv[3], NULL), USUAL_STEP);
    trace_begin = the_life.begin;
    kind->run(&the_life);
    tell_account();
    if (truth_waits) {
        truth_say("done\n");
        truth_listen();
    }
    return 0;
}

#endif
