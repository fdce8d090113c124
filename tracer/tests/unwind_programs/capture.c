/* All numbers are 8 bytes. First: length of the mappings, the mappings (the text of /proc/self/maps). Then for each
   capture: rsp, rbp, number of frames, number of regions, the frames, and for each region its address, its length, its
   bytes. */
#define _GNU_SOURCE
#include "capture.h"

#include <execinfo.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define LONGEST (160UL << 10)
#define DEEPEST 512

__thread unsigned long interrupted;
static pthread_mutex_t one = PTHREAD_MUTEX_INITIALIZER;

__asm__(".text\n"
        ".globl capture\n"
        ".type capture, @function\n"
        "capture:\n"
        ".cfi_startproc\n"
        "mov %rsp, %rdi\n"
        "mov %rbp, %rsi\n"
        "jmp capture_from\n"
        ".cfi_endproc\n"
        ".size capture, . - capture\n");

static void put(const void *bytes, unsigned long length) {
    while (length > 0) {
        ssize_t written = write(STDOUT_FILENO, bytes, length);
        if (written <= 0)
            _exit(3);
        bytes = (const char *)bytes + written;
        length -= (unsigned long)written;
    }
}

static unsigned long read_maps(char *text, unsigned long size) {
    unsigned long length = 0;
    int file = open("/proc/self/maps", O_RDONLY);
    for (ssize_t got; (got = read(file, text + length, size - 1 - length)) > 0;)
        length += (unsigned long)got;
    close(file);
    text[length] = 0;
    return length;
}

static void put_region(unsigned long address) {
    static char text[1 << 18];
    read_maps(text, sizeof text);
    unsigned long start, end = address;
    for (char *line = text; *line;) {
        unsigned long to;
        if (sscanf(line, "%lx-%lx", &start, &to) == 2 && start <= address && address < to)
            end = to;
        while (*line && *line != '\n')
            line++;
        line += *line == '\n';
    }
    unsigned long length = end - address < LONGEST ? end - address : LONGEST;
    put(&address, 8);
    put(&length, 8);
    put((void *)address, length);
}

__attribute__((used, noinline)) void capture_from(unsigned long sp, unsigned long bp) {
    void *frames[DEEPEST];
    /* The first frame is this function's own. */
    unsigned long count = (unsigned long)backtrace(frames, DEEPEST) - 1;
    unsigned long regions = interrupted ? 2 : 1;
    pthread_mutex_lock(&one);
    put(&sp, 8);
    put(&bp, 8);
    put(&count, 8);
    put(&regions, 8);
    put(frames + 1, count * 8);
    put_region(sp);
    if (interrupted)
        put_region(interrupted);
    pthread_mutex_unlock(&one);
}

void capture_begin(void) {
    static char text[1 << 18];
    void *frames[1];
    /* The first call may load libgcc. */
    backtrace(frames, 1);
    unsigned long length = read_maps(text, sizeof text);
    put(&length, 8);
    put(text, length);
}
