// What a workload knows of its own memory, and how it says so.
//
// The account must not disturb what it counts: it lives in static tables, prints with write(2), and calls no function
// that heaptide probes. Sizes are the bytes asked for; what is freed belongs to the site that allocated it.
//
// A block is taken out of the account BEFORE it is freed and put in AFTER it was allocated, as heaptide records them:
// another thread may be given its address at once.
#ifndef TRUTH_H
#define TRUTH_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

// A function whose name stands for the memory that is allocated in it: it must keep a frame of its own.
#define SITE __attribute__((noinline, noclone))

// The site of the function that this is written in.
#define HERE(memory) truth_site(__func__, memory)

enum truth_memory { HEAP, ANONYMOUS, FILE_BACKED, THREAD_STACK };

struct truth_site {
    const char *name;
    enum truth_memory memory;
    // A mapping was cut: what counts as an allocated or a freed block is then no longer defined.
    int cut;
    uint64_t allocated_bytes, allocated_blocks, freed_bytes, freed_blocks, outstanding_bytes, outstanding_blocks;
};

// A block that was taken out of the account; `site` is NULL when it was not in it.
struct truth_taken {
    struct truth_site *site;
    void *address;
    size_t size;
};

enum { TRUTH_SITES = 64, TRUTH_SHARDS = 64, TRUTH_BUCKETS = 1024, TRUTH_BLOCKS = 4096 };

struct truth_node {
    struct truth_taken block;
    struct truth_node *next;
};

// A part of the account with its own lock, so that threads seldom wait for each other.
struct truth_shard {
    pthread_mutex_t lock;
    struct truth_node *buckets[TRUTH_BUCKETS];
    struct truth_node *spare;
    size_t used;
    struct truth_node nodes[TRUTH_BLOCKS];
};

static struct truth_site truth_sites[TRUTH_SITES];
static size_t truth_site_count;
static pthread_mutex_t truth_sites_lock = PTHREAD_MUTEX_INITIALIZER;
static struct truth_shard truth_shards[TRUTH_SHARDS];
// "child " or "parent " where two processes print to the same pipe.
static const char *truth_role = "";
// How many programs this process ran before this one.
static int truth_generation;
static int truth_waits;

__attribute__((noreturn)) static inline void truth_fail(const char *why) {
    if (write(STDERR_FILENO, why, strlen(why)) < 0 || write(STDERR_FILENO, "\n", 1) < 0) _exit(98);
    _exit(99);
}

// Ends the workload when something that it is about did not happen.
static inline void truth_require(int holds, const char *what) {
    if (!holds) truth_fail(what);
}

static inline struct truth_site *truth_site(const char *name, enum truth_memory memory) {
    pthread_mutex_lock(&truth_sites_lock);
    size_t i = 0;
    while (i < truth_site_count && (truth_sites[i].memory != memory || strcmp(truth_sites[i].name, name) != 0)) i++;
    if (i == TRUTH_SITES) truth_fail("truth: too many sites");
    if (i == truth_site_count) {
        truth_sites[i].name = name;
        truth_sites[i].memory = memory;
        truth_site_count++;
    }
    pthread_mutex_unlock(&truth_sites_lock);
    return &truth_sites[i];
}

static inline void truth_add(uint64_t *counter, uint64_t amount) { __atomic_fetch_add(counter, amount, __ATOMIC_RELAXED); }

// Many blocks of `bytes` together, without an entry in the table.
static inline void truth_allocated(struct truth_site *site, uint64_t bytes, uint64_t blocks) {
    truth_add(&site->allocated_bytes, bytes);
    truth_add(&site->allocated_blocks, blocks);
    truth_add(&site->outstanding_bytes, bytes);
    truth_add(&site->outstanding_blocks, blocks);
}

static inline void truth_freed(struct truth_site *site, uint64_t bytes, uint64_t blocks) {
    truth_add(&site->freed_bytes, bytes);
    truth_add(&site->freed_blocks, blocks);
    truth_add(&site->outstanding_bytes, -bytes);
    truth_add(&site->outstanding_blocks, -blocks);
}

// `bytes` of a mapping are gone, and `ranges` more of it (fewer, when negative) are left than before.
static inline void truth_cut(struct truth_site *site, uint64_t bytes, int64_t ranges) {
    site->cut = 1;
    truth_freed(site, bytes, 0);
    truth_add(&site->outstanding_blocks, (uint64_t)ranges);
}

static inline struct truth_shard *truth_shard(const void *address, size_t *bucket) {
    uint64_t hash = ((uint64_t)(uintptr_t)address >> 4) * 0x9e3779b97f4a7c15u;
    *bucket = (hash >> 32) % TRUTH_BUCKETS;
    return &truth_shards[(hash >> 56) % TRUTH_SHARDS];
}

// Puts a block into the table, without counting it.
static inline void truth_put_back(struct truth_taken block) {
    if (!block.site) return;
    size_t bucket;
    struct truth_shard *shard = truth_shard(block.address, &bucket);
    pthread_mutex_lock(&shard->lock);
    struct truth_node *node = shard->spare;
    if (node) shard->spare = node->next;
    else if (shard->used < TRUTH_BLOCKS) node = &shard->nodes[shard->used++];
    else truth_fail("truth: too many blocks");
    node->block = block;
    node->next = shard->buckets[bucket];
    shard->buckets[bucket] = node;
    pthread_mutex_unlock(&shard->lock);
}

// Takes a block out of the table, without counting it as freed.
static inline struct truth_taken truth_take(void *address) {
    struct truth_taken block = {NULL, NULL, 0};
    if (!address) return block;
    size_t bucket;
    struct truth_shard *shard = truth_shard(address, &bucket);
    pthread_mutex_lock(&shard->lock);
    struct truth_node **link = &shard->buckets[bucket];
    while (*link && (*link)->block.address != address) link = &(*link)->next;
    struct truth_node *node = *link;
    if (node) {
        block = node->block;
        *link = node->next;
        node->next = shard->spare;
        shard->spare = node;
    }
    pthread_mutex_unlock(&shard->lock);
    return block;
}

// A block was allocated; NULL is a failure and counts for nothing.
static inline void truth_block(struct truth_site *site, void *address, size_t size) {
    if (!address) return;
    struct truth_taken block = {site, address, size};
    truth_allocated(site, size, 1);
    truth_put_back(block);
}

// To be called before the block is freed. Blocks that are not in the account are older than it.
static inline void truth_release(void *address) {
    struct truth_taken block = truth_take(address);
    if (block.site) truth_freed(block.site, block.size, 1);
}

// What became of a realloc of `was`, which had been taken before the call.
static inline void truth_resized(struct truth_site *site, struct truth_taken was, void *now, size_t size) {
    if (!now && size != 0) {
        truth_put_back(was);
        return;
    }
    if (was.site) truth_freed(was.site, was.size, 1);
    truth_block(site, now, size);
}

__attribute__((format(printf, 1, 2))) static inline void truth_say(const char *format, ...) {
    char line[512];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    for (int done = 0; done < length;) {
        ssize_t written = write(STDOUT_FILENO, line + done, (size_t)(length - done));
        if (written <= 0) truth_fail("truth: cannot write");
        done += (int)written;
    }
}

// Waits for a line, or the end of the input.
static inline void truth_listen(void) {
    char byte;
    while (read(STDIN_FILENO, &byte, 1) == 1 && byte != '\n') {}
}

// Whether `word` is one of the arguments.
static inline int truth_told(int argc, char **argv, const char *word) {
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], word) == 0) return 1;
    return 0;
}

// Forgets all that was counted, and all blocks: they are older than the account now.
static inline void truth_forget(void) {
    for (size_t i = 0; i < truth_site_count; i++) {
        const char *name = truth_sites[i].name;
        enum truth_memory memory = truth_sites[i].memory;
        memset(&truth_sites[i], 0, sizeof truth_sites[i]);
        truth_sites[i].name = name;
        truth_sites[i].memory = memory;
    }
    for (size_t i = 0; i < TRUTH_SHARDS; i++) {
        memset(truth_shards[i].buckets, 0, sizeof truth_shards[i].buckets);
        truth_shards[i].spare = NULL;
        truth_shards[i].used = 0;
    }
}

// With the argument `wait`: says `ready PID`, and starts a new account when told to go.
static inline void truth_begin(int argc, char **argv) {
    truth_waits = truth_told(argc, argv, "wait");
    if (!truth_waits) return;
    truth_say("ready %d\n", (int)getpid());
    truth_listen();
    truth_forget();
}

// In a child: what it inherited is outstanding, and nothing is allocated or freed yet.
static inline void truth_forked(const char *role) {
    truth_role = role;
    for (size_t i = 0; i < truth_site_count; i++) {
        truth_sites[i].allocated_bytes = truth_sites[i].allocated_blocks = 0;
        truth_sites[i].freed_bytes = truth_sites[i].freed_blocks = 0;
    }
}

// Says the account: `truth SITE MEMORY` and six numbers, `-` for one that is not defined.
static inline void truth_tell(void) {
    static const char *const names[] = {"heap", "anonymous", "file", "thread_stack"};
    truth_say("%sprocess %d %d\n", truth_role, (int)getpid(), truth_generation);
    for (size_t i = 0; i < truth_site_count; i++) {
        struct truth_site *site = &truth_sites[i];
        char allocated[24] = "-", freed[24] = "-";
        if (!site->cut) {
            snprintf(allocated, sizeof allocated, "%llu", (unsigned long long)site->allocated_blocks);
            snprintf(freed, sizeof freed, "%llu", (unsigned long long)site->freed_blocks);
        }
        truth_say("%struth %s %s %llu %s %llu %s %llu %llu\n", truth_role, site->name, names[site->memory],
                  (unsigned long long)site->allocated_bytes, allocated, (unsigned long long)site->freed_bytes, freed,
                  (unsigned long long)site->outstanding_bytes, (unsigned long long)site->outstanding_blocks);
    }
}

// Says the account and, in a program that was told to wait, `done`; then waits to be let go.
static inline void truth_end(void) {
    truth_tell();
    if (!truth_waits) return;
    truth_say("done\n");
    truth_listen();
}

#endif
