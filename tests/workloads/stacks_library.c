// A library of the workload's own: reached through the procedure linkage table, and calls back.
#include <string.h>

int library_call(int (*function)(void *), void *argument);
int library_call_with_buffer(int (*function)(void *), void *argument, unsigned size);

static __attribute__((noinline)) int inner(int (*function)(void *), void *argument) {
    volatile char padding[72];
    padding[0] = 1;
    return function(argument) + padding[0];
}

int library_call(int (*function)(void *), void *argument) { return inner(function, argument) + 1; }

int library_call_with_buffer(int (*function)(void *), void *argument, unsigned size) {
    char buffer[size + 16];
    memset(buffer, 1, sizeof buffer);
    int result = function(argument);
    return result + buffer[size / 2];
}
