// A process and its child: the child inherits the blocks, and from then on each has an account of its own.
#include "truth.h"

#include <spawn.h>
#include <sys/mman.h>
#include <sys/wait.h>

enum { INHERITED = 300, PAGES = 5, PAGE = 4096 };

extern char **environ;
static void *blocks[INHERITED];

SITE static void *inherited_block(size_t size) {
    void *block = malloc(size);
    truth_block(HERE(HEAP), block, size);
    return block;
}

SITE static void *inherited_pages(void) {
    void *pages = mmap(NULL, PAGES * PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    truth_require(pages != MAP_FAILED, "mmap failed");
    truth_allocated(HERE(ANONYMOUS), PAGES * PAGE, 1);
    return pages;
}

SITE static void child_block(size_t size) { truth_block(HERE(HEAP), malloc(size), size); }

SITE static void parent_block(size_t size) { truth_block(HERE(HEAP), malloc(size), size); }

SITE static void child_resize(void *block, size_t size) {
    struct truth_taken was = truth_take(block);
    truth_resized(HERE(HEAP), was, realloc(block, size), size);
}

static void release(void *block) {
    truth_release(block);
    free(block);
}

static void child(void *pages, int is_held) {
    truth_forked("child ");
    if (is_held) {
        truth_say("forked %d\n", (int)getpid());
        truth_listen();
    }
    for (size_t i = 0; i < 100; i++) release(blocks[i]);
    for (size_t i = 100; i < 120; i++) child_resize(blocks[i], 5000 + i);
    for (size_t i = 0; i < 50; i++) child_block(100 + i);
    truth_require(munmap(pages, PAGES * PAGE) == 0, "munmap failed");
    truth_freed(truth_site("inherited_pages", ANONYMOUS), PAGES * PAGE, 1);
    truth_tell();
    exit(0);
}

static void wait_for(pid_t pid) {
    int status;
    truth_require(waitpid(pid, &status, 0) == pid && status == 0, "a child failed");
}

// The C library starts programs with a child that shares the parent's memory until its exec.
static void start_another_program(void) {
    char *arguments[] = {(char *)"true", NULL};
    pid_t pid;
    truth_require(posix_spawnp(&pid, "true", NULL, NULL, arguments, environ) == 0, "posix_spawnp failed");
    wait_for(pid);
}

int main(int argc, char **argv) {
    truth_begin(argc, argv);
    for (size_t i = 0; i < INHERITED; i++) blocks[i] = inherited_block(100 + i);
    void *pages = inherited_pages();
    pid_t pid = fork();
    truth_require(pid >= 0, "fork failed");
    if (pid == 0) child(pages, truth_told(argc, argv, "hold"));
    for (size_t i = 50; i < 150; i++) release(blocks[i]);
    for (size_t i = 0; i < 70; i++) parent_block(200 + i);
    wait_for(pid);
    start_another_program();
    truth_role = "parent ";
    truth_end();
    return 0;
}
