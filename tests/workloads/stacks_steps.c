// A stack at every single instruction: the processor traps after each one (the trap flag), and the handler walks the
// stack and allocates. So functions are interrupted within their first and last lines, where a frame is half made, and
// within the stubs of the procedure linkage table.
#define _GNU_SOURCE
#include "stacks.h"

#include <alloca.h>
#include <link.h>
#include <signal.h>
#include <ucontext.h>

int library_call(int (*function)(void *), void *argument);
int library_call_with_buffer(int (*function)(void *), void *argument, unsigned size);

enum { MOST_RANGES = 2 };

// Code of the program and of its library: the C library's and the loader's is stepped through, but not asked about.
static struct range {
    uintptr_t start, end;
} ranges[MOST_RANGES];
static int used_ranges;

static int is_own(uintptr_t address) {
    for (int i = 0; i < used_ranges; i++)
        if (address >= ranges[i].start && address < ranges[i].end) return 1;
    return 0;
}

static int find_own(struct dl_phdr_info *object, size_t size, void *unused) {
    (void)size, (void)unused;
    // The program itself has no name.
    if (object->dlpi_name[0] != '\0' && !strstr(object->dlpi_name, "stacks_library")) return 0;
    for (int i = 0; i < object->dlpi_phnum; i++) {
        const ElfW(Phdr) *header = &object->dlpi_phdr[i];
        if (header->p_type != PT_LOAD || !(header->p_flags & PF_X)) continue;
        if (used_ranges == MOST_RANGES) stacks_fail("more code than expected\n");
        uintptr_t start = object->dlpi_addr + header->p_vaddr;
        ranges[used_ranges++] = (struct range){start, start + header->p_memsz};
    }
    return 0;
}

LEAF static void on_step(int signal, siginfo_t *info, void *context) {
    USED(signal);
    USED(info);
    if (!is_own((uintptr_t)((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP])) return;
    STACK_OF(STACKS_HEAP);
    void *block = malloc(40);
    USED(block);
    free(block);
}

// These describe each of their instructions, as compilers do; what they do to the stack in C's midst would be unknown.
void trap_flag_on(void);
void trap_flag_off(void);
#define CHANGE_FLAGS(name, change)                    \
    __asm__(".text\n"                                 \
            ".type " name ", @function\n" name ":\n"   \
            "  .cfi_startproc\n"                      \
            "  pushfq\n"                              \
            "  .cfi_adjust_cfa_offset 8\n"            \
            "  " change ", (%rsp)\n"                  \
            "  popfq\n"                               \
            "  .cfi_adjust_cfa_offset -8\n"           \
            "  ret\n"                                 \
            "  .cfi_endproc\n"                        \
            ".size " name ", . - " name "\n")
CHANGE_FLAGS("trap_flag_on", "orq $0x100");
CHANGE_FLAGS("trap_flag_off", "andq $~0x100");

typedef struct {
    int numbers[6];
} six;

__attribute__((noipa)) static int plain(int number) { return number * 3 + 1; }

__attribute__((noipa)) static int calls(int number) { return plain(number) + plain(number + 1); }

__attribute__((noipa)) static int saves_all(int a, int b, int c, int d, int e, int f) {
    int one = plain(a), two = plain(b), three = plain(c), four = plain(d), five = plain(e), six = plain(f);
    return one * two + three * four + five * six + a + b + c + d + e + f;
}

__attribute__((noipa)) static int wrapped(int number) {
    if (number < 5) return number;
    volatile char buffer[300];
    buffer[number] = 1;
    return plain(number) + buffer[number] + plain(number);
}

__attribute__((noipa)) static int variable_array(int size) {
    volatile char buffer[size];
    buffer[0] = 1;
    return plain(size) + buffer[0];
}

__attribute__((noipa)) static int allocas(int count) {
    volatile char *buffer = alloca(8);
    for (int i = 1; i < count; i++) buffer = alloca((size_t)(i * 24));
    buffer[0] = 1;
    return plain(count) + buffer[0];
}

__attribute__((noipa)) static int large_frame(int number) {
    volatile char buffer[20000];
    buffer[number] = 1;
    return plain(number) + buffer[number];
}

__attribute__((noipa)) static int eight(int a, int b, int c, int d, int e, int f, int g, int h) {
    return plain(a + b + c + d + e + f + g + h);
}

__attribute__((noipa)) static int pushes_arguments(int n) { return eight(n, n, n, n, n, n, n, n) + plain(n); }

__attribute__((noipa)) static int by_value(six all) { return plain(all.numbers[2]) + all.numbers[5]; }

__attribute__((noipa)) static int jumps_on(int number) { return saves_all(number, 1, 2, 3, 4, number); }

__attribute__((noipa)) static int called_back(void *argument) { return plain(*(int *)argument) + 1; }

__attribute__((noipa)) static int with_library(int number) {
    int result = library_call(called_back, &number);
    return result + library_call_with_buffer(called_back, &number, (unsigned)number);
}

__attribute__((noipa)) static int all(int round) {
    int result = calls(round) + saves_all(round, 2, 3, 4, 5, 6) + wrapped(2) + wrapped(20 + round);
    result += variable_array(100 + round * 40) + allocas(4 + round) + large_frame(7 + round) + pushes_arguments(round);
    six numbers = {{1, 2, 3, 4, 5, round}};
    return result + by_value(numbers) + jumps_on(round) + with_library(50 + round);
}

__attribute__((noipa)) static int nested(int depth, int round) {
    volatile char buffer[24];
    buffer[0] = 0;
    if (depth == 0) return all(round);
    return nested(depth - 1, round) + buffer[0] + 1;
}

// Realigns its stack: for a few instructions its caller's frame is found by a register (r10) alone.
__attribute__((noipa)) static int realigned(int number) {
    _Alignas(64) volatile char buffer[128];
    buffer[number] = 1;
    return plain(number) + buffer[number];
}

__attribute__((noipa)) static int realigned_variable_array(int size) {
    _Alignas(32) volatile char fixed[64];
    volatile char buffer[size];
    fixed[1] = buffer[0] = 1;
    return plain(size) + buffer[0] + fixed[1];
}

// The argument: `realigned` for functions that realign their stack, or how many rounds there are of the others.
int main(int argc, char **argv) {
    const char *what = argc > 2 ? argv[2] : "3";
    struct sigaction action = {.sa_sigaction = on_step, .sa_flags = SA_SIGINFO};
    if (sigaction(SIGTRAP, &action, NULL) != 0) stacks_fail("sigaction failed\n");
    dl_iterate_phdr(find_own, NULL);
    if (used_ranges != MOST_RANGES) stacks_fail("the library's code was not found\n");
    stacks_begin();
    int result = 0;
    int rounds = strcmp(what, "realigned") == 0 ? 0 : atoi(what);
    trap_flag_on();
    if (rounds == 0) result += realigned(5) + realigned_variable_array(90);
    for (int round = 0; round < rounds; round++) result += nested(round * 3, round);
    trap_flag_off();
    USED(result);
    stacks_end();
    return 0;
}
