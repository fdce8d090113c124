// Loads a library with an allocator (its last argument) when told to go, and takes a block of another size from it every
// millisecond: those that a tracer misses tell how long it took to find the library. They are larger than what the loader
// allocates on the way.
#include "truth.h"

#include <dlfcn.h>
#include <time.h>

enum { BLOCKS = 400, LARGE = 100000 };

static uint64_t microseconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static void *(*allocate)(size_t);
static void (*release)(void *);
static uint64_t moments[BLOCKS];

SITE static void *take(size_t size) {
    void *block = allocate(size);
    // Not a tail call.
    __asm__ volatile("" : : "r"(block) : "memory");
    return block;
}

int main(int argc, char **argv) {
    truth_begin(argc, argv);
    void *library = dlopen(argv[argc - 1], RTLD_NOW | RTLD_LOCAL);
    if (!library) truth_fail(dlerror());
    uint64_t loaded = microseconds();
    // ISO C knows no pointer that is a function's and an object's; POSIX does.
    *(void **)&allocate = dlsym(library, "mi_malloc");
    *(void **)&release = dlsym(library, "mi_free");
    truth_require(allocate && release, "dlsym failed");
    const struct timespec millisecond = {0, 1000000};
    for (size_t i = 0; i < BLOCKS; i++) {
        moments[i] = microseconds() - loaded;
        void *block = take(LARGE + i);
        // The first blocks may not be seen to be taken; none of them is freed.
        if (i > BLOCKS / 2 && i % 2) release(block);
        nanosleep(&millisecond, NULL);
    }
    for (size_t i = 0; i < BLOCKS; i++) truth_say("moment %llu\n", (unsigned long long)moments[i]);
    truth_say("done\n");
    truth_listen();
    return 0;
}
