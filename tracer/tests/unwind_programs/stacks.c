/* Random stacks made of every kind of frame that C can make. Argument: how many. */
#define _GNU_SOURCE
#include "capture.h"

#include <alloca.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

#define STEP __attribute__((noinline, noclone)) static void
#define STACK (512 << 10)

static unsigned long state = 88172645463325252UL;
static __thread unsigned left; /* what callbacks that get no argument of ours go on with */
static __thread int on_own_stack;
static volatile unsigned long sink;

static unsigned below(unsigned limit) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (unsigned)(state >> 33) % limit;
}

/* The compiler must believe that the memory is looked at. */
static void use(void *memory) { __asm__ volatile("" : : "r"(memory) : "memory"); }

static void descend(unsigned depth);

STEP plain(unsigned depth) {
    descend(depth - 1);
    sink++;
}

STEP tail(unsigned depth) { descend(depth - 1); }

STEP allocated(unsigned depth) {
    char *memory = alloca(below(600) + 1);
    use(memory);
    descend(depth - 1);
    use(memory);
}

STEP realigned(unsigned depth) {
    _Alignas(64) char memory[64];
    use(memory);
    descend(depth - 1);
    use(memory);
}

STEP realigned_and_allocated(unsigned depth) {
    _Alignas(128) char memory[128];
    char *more = alloca(below(600) + 1);
    use(memory), use(more);
    descend(depth - 1);
    use(memory), use(more);
}

/* So many arguments that some are on the stack, which a realigned frame finds by a register of its own. */
STEP realigned_with_arguments(unsigned depth, long b, long c, long d, long e, long f, long g, long h) {
    _Alignas(64) long memory[8];
    use(memory);
    descend(depth - 1);
    memory[0] += b + c + d + e + f + g + h;
    use(memory);
    sink += (unsigned long)memory[0];
}

STEP with_arguments(unsigned depth) {
    realigned_with_arguments(depth, 1, 2, 3, 4, 5, 6, (long)sink);
    sink++;
}

STEP large(unsigned depth) {
    char memory[3000];
    use(memory);
    descend(depth - 1);
    use(memory);
}

/* Keeps values in every register that calls preserve, rbp among them. */
STEP full(unsigned depth) {
    unsigned long a = sink, b = sink + 1, c = sink, d = sink + 2, e = sink, f = sink + 3, g = sink;
    descend(depth - 1);
    sink = a * b + c * d + e * f + g;
}

static int compare(const void *a, const void *b) {
    unsigned depth = left;
    left = 0;
    if (depth > 0) {
        descend(depth - 1);
        sink++;
    }
    return *(const char *)a - *(const char *)b;
}

STEP called_back(unsigned depth) {
    char letters[] = "cab";
    left = depth;
    qsort(letters, 3, 1, compare);
    sink += (unsigned char)letters[0];
}

static void handle(int signal, siginfo_t *info, void *context) {
    (void)info;
    greg_t *registers = ((ucontext_t *)context)->uc_mcontext.gregs;
    unsigned depth = left;
    unsigned long before = interrupted;
    int first = signal == SIGUSR2;
    if (first) {
        on_own_stack = 1;
        interrupted = (unsigned long)registers[REG_RSP];
    }
    descend(depth - 1);
    if (first) {
        on_own_stack = 0;
        interrupted = before;
    }
    if (signal == SIGILL)
        registers[REG_RIP] += 2;
}

STEP signalled(unsigned depth) {
    left = depth;
    raise(SIGUSR1);
    sink++;
}

STEP signalled_on_own_stack(unsigned depth) {
    left = depth;
    /* The kernel would begin at the top of the other stack again when it does not see that it is in use. */
    raise(on_own_stack ? SIGUSR1 : SIGUSR2);
    sink++;
}

/* Interrupted at an instruction that is no call. */
STEP trapped(unsigned depth) {
    left = depth;
    __asm__ volatile("ud2" : : : "memory");
    sink++;
}

/* Interrupted at the first instruction of a function: one byte before it is another function. */
void at_entry(void);
__asm__(".text\n"
        ".p2align 4\n"
        ".type before_entry, @function\n"
        "before_entry:\n"
        ".cfi_startproc\n"
        "sub $4096, %rsp\n"
        ".cfi_adjust_cfa_offset 4096\n"
        "ud2\n"
        ".cfi_endproc\n"
        ".size before_entry, . - before_entry\n"
        ".globl at_entry\n"
        ".type at_entry, @function\n"
        "at_entry:\n"
        ".cfi_startproc\n"
        "ud2\n"
        "ret\n"
        ".cfi_endproc\n"
        ".size at_entry, . - at_entry\n");

STEP trapped_at_entry(unsigned depth) {
    left = depth;
    at_entry();
    sink++;
}

static void *thread(void *depth) {
    descend((unsigned)(unsigned long)depth - 1);
    sink++;
    return NULL;
}

STEP threaded(unsigned depth) {
    pthread_t other;
    if (pthread_create(&other, NULL, thread, (void *)(unsigned long)depth) == 0)
        pthread_join(other, NULL);
}

static void coroutine(unsigned depth) {
    descend(depth - 1);
    sink++;
}

STEP switched(unsigned depth) {
    ucontext_t here, there;
    unsigned long before = interrupted;
    void *stack = malloc(STACK);
    getcontext(&there);
    there.uc_stack.ss_sp = stack;
    there.uc_stack.ss_size = STACK;
    there.uc_link = &here;
    makecontext(&there, (void (*)(void))coroutine, 1, depth);
    interrupted = 0;
    swapcontext(&here, &there);
    interrupted = before;
    free(stack);
}

typedef void step(unsigned);
/* Read at run time, so that no step is folded into another. */
static step *volatile const steps[] = {
    plain,     tail,  allocated, realigned, realigned_and_allocated, with_arguments, large,    full,
    called_back, plain, signalled, signalled_on_own_stack, trapped, trapped_at_entry, threaded, switched,
};

__attribute__((noinline)) static void descend(unsigned depth) {
    if (depth == 0) {
        capture();
        sink++;
    } else {
        steps[below(sizeof steps / sizeof *steps)](depth);
        sink++;
    }
}

int main(int count, char **arguments) {
    static char own_stack[STACK];
    stack_t stack = {.ss_sp = own_stack, .ss_size = sizeof own_stack};
    struct sigaction action = {.sa_sigaction = handle, .sa_flags = SA_SIGINFO | SA_NODEFER};
    sigaltstack(&stack, NULL);
    sigaction(SIGUSR1, &action, NULL);
    sigaction(SIGILL, &action, NULL);
    action.sa_flags |= SA_ONSTACK;
    sigaction(SIGUSR2, &action, NULL);
    capture_begin();
    for (int left_to_do = count > 1 ? atoi(arguments[1]) : 1; left_to_do > 0; left_to_do--)
        descend(below(24) + 1);
    return 0;
}
