// Makes code at run time, calls it, and says in /tmp/perf-PID.map what it is called, as engines of scripting languages do.
// The functions that it makes are the sites: nothing else has their names. The map is gone when the program is.
#include "truth.h"

#include <fcntl.h>
#include <sys/mman.h>

enum { CODE_BYTES = 4096, FUNCTION_BYTES = 64 };

static char map_path[64];
static int map_file = -1;

static void *allocate(size_t size) { return malloc(size); }

// A function with a frame that does nothing but call `allocate` with what it is given.
static void *(*make(unsigned char *at))(size_t) {
    static const unsigned char begin[] = {0x55, 0x48, 0x89, 0xe5, 0x48, 0xb8};  // push rbp; mov rbp, rsp; mov rax, ...
    static const unsigned char end[] = {0xff, 0xd0, 0x5d, 0xc3};                // call rax; pop rbp; ret
    void *(*callee)(size_t) = allocate;
    memcpy(at, begin, sizeof begin);
    memcpy(at + sizeof begin, &callee, sizeof callee);
    memcpy(at + sizeof begin + sizeof callee, end, sizeof end);
    void *(*function)(size_t);
    memcpy(&function, &at, sizeof function);
    return function;
}

static void tell(const unsigned char *at, size_t size, const char *name) {
    char line[128];
    int length = snprintf(line, sizeof line, "%lx %zx %s\n", (unsigned long)(uintptr_t)at, size, name);
    truth_require(write(map_file, line, (size_t)length) == length, "the perf map cannot be written");
}

static void run(unsigned char *at, const char *name, size_t size, int times) {
    void *(*function)(size_t) = make(at);
    tell(at, FUNCTION_BYTES, name);
    for (int i = 0; i < times; i++) truth_block(truth_site(name, HEAP), function(size), size);
}

int main(int argc, char **argv) {
    unsigned char *code =
        mmap(NULL, CODE_BYTES, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    truth_require(code != MAP_FAILED, "no memory for code");
    truth_begin(argc, argv);
    snprintf(map_path, sizeof map_path, "/tmp/perf-%d.map", (int)getpid());
    map_file = open(map_path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, 0600);
    truth_require(map_file >= 0, "the perf map cannot be created");
    // What was there before it was overwritten, and lines that say nothing.
    tell(code, CODE_BYTES, "overwritten");
    truth_require(write(map_file, "no line of a map\n\n", 18) == 18, "the perf map cannot be written");
    run(code, "made_first", 100, 300);
    run(code + 8 * FUNCTION_BYTES, "made_second", 2000, 50);
    // heaptide looks for the map when a stack leads where it knows nothing.
    if (truth_told(argc, argv, "twice")) {
        truth_say("made\n");
        truth_listen();
        run(code + 16 * FUNCTION_BYTES, "made_late", 50, 10);
    }
    truth_end();
    truth_require(unlink(map_path) == 0, "the perf map cannot be deleted");
    return 0;
}
