// What a workload knows of its own stacks: libgcc's unwinder walks each one in the very function that allocates next.
// Every stack is kept in memory that is there from the start, so that keeping it allocates nothing.
#ifndef STACKS_H
#define STACKS_H

#include <execinfo.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// A function that records a stack and allocates, and is itself to be seen on it.
#define LEAF __attribute__((noinline, noclone, noipa))

enum { STACKS_DEPTH = 509, STACKS_MOST = 1 << 14 };

// What one call of an allocation function brings about.
enum stacks_memory { STACKS_HEAP = 1, STACKS_ANONYMOUS = 2, STACKS_ALLOCATOR = 4 };

struct stacks_entry {
    int memory;
    int depth;
    void *addresses[STACKS_DEPTH];
};

static struct stacks_entry stacks_entries[STACKS_MOST];
static unsigned stacks_used;

static inline void stacks_fail(const char *reason) {
    ssize_t ignored = write(STDERR_FILENO, reason, strlen(reason));
    (void)ignored;
    _exit(1);
}

static inline struct stacks_entry *stacks_next(int memory) {
    unsigned index = __atomic_fetch_add(&stacks_used, 1, __ATOMIC_RELAXED);
    if (index >= STACKS_MOST) stacks_fail("stacks: too many\n");
    stacks_entries[index].memory = memory;
    return &stacks_entries[index];
}

// A macro, not a function: the first frame must be the function that allocates.
#define STACK_OF(memory_)                                                    \
    do {                                                                     \
        struct stacks_entry *entry_ = stacks_next(memory_);                  \
        entry_->depth = backtrace(entry_->addresses, STACKS_DEPTH);          \
        if (entry_->depth == STACKS_DEPTH) stacks_fail("stacks: too deep\n"); \
    } while (0)

// Keeps the compiler from leaving out what makes or keeps `value`, and from jumping where it should call.
#define USED(value) __asm__ volatile("" : : "g"(value) : "memory")

static inline void stacks_say(const char *text, size_t length) {
    while (length > 0) {
        ssize_t written = write(STDOUT_FILENO, text, length);
        if (written <= 0) stacks_fail("stacks: cannot write\n");
        text += written;
        length -= (size_t)written;
    }
}

// Waits for a line, or the end of the input.
static inline void stacks_listen(void) {
    char byte;
    while (read(STDIN_FILENO, &byte, 1) == 1 && byte != '\n') {}
}

// Says `ready PID` and waits to be told to go. The first walk loads libgcc, and is made here.
static inline void stacks_begin(void) {
    void *addresses[4];
    USED(backtrace(addresses, 4));
    char line[32];
    stacks_say(line, (size_t)snprintf(line, sizeof line, "ready %d\n", (int)getpid()));
    stacks_listen();
}

static inline void stacks_tell_one(const char *memory, const struct stacks_entry *entry) {
    static char line[64 + 20 * STACKS_DEPTH];
    int length = snprintf(line, sizeof line, "stack %s %d", memory, entry->depth);
    for (int i = 0; i < entry->depth; i++)
        length += snprintf(line + length, sizeof line - (size_t)length, " %lx", (unsigned long)(uintptr_t)entry->addresses[i]);
    line[length++] = '\n';
    stacks_say(line, (size_t)length);
}

// Says every stack (`stack MEMORY FRAMES address...`, leaf first) and `done`, then waits to be let go.
static inline void stacks_end(void) {
    for (unsigned i = 0; i < __atomic_load_n(&stacks_used, __ATOMIC_ACQUIRE); i++) {
        const struct stacks_entry *entry = &stacks_entries[i];
        if (entry->memory & STACKS_HEAP) stacks_tell_one("heap", entry);
        if (entry->memory & STACKS_ANONYMOUS) stacks_tell_one("anonymous", entry);
        if (entry->memory & STACKS_ALLOCATOR) stacks_tell_one("allocator", entry);
    }
    stacks_say("done\n", 5);
    stacks_listen();
}

// The same numbers in every run.
static inline uint32_t stacks_random(uint64_t *state) {
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    uint64_t bits = *state;
    return (uint32_t)((bits >> 18 ^ bits) >> 27);
}

#endif
