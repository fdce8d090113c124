// Has the files of its arguments mapped as code, and waits. Ends with its input.
#include "truth.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

int main(int argc, char **argv) {
    for (int i = 1; i < argc; i++) {
        struct stat status;
        int file = open(argv[i], O_RDONLY | O_CLOEXEC);
        if (file < 0 || fstat(file, &status) != 0) truth_fail("bench_mapped: a file cannot be opened");
        size_t size = (size_t)status.st_size;
        if (mmap(NULL, size, PROT_READ | PROT_EXEC, MAP_PRIVATE, file, 0) == MAP_FAILED) {
            truth_fail("bench_mapped: a file cannot be mapped");
        }
        close(file);
    }
    truth_say("ready %d\n", (int)getpid());
    char byte;
    while (read(STDIN_FILENO, &byte, 1) == 1) {}
    return 0;
}
