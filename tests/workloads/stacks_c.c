// C without frame pointers: random walks through functions whose frames are made in every way that compilers know,
// from several threads, coroutines and signal handlers. Each walk ends in an allocation.
#define _GNU_SOURCE
#include "stacks.h"
#include "stacks_asm.h"

#include <alloca.h>
#include <malloc.h>
#include <pthread.h>
#include <search.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <ucontext.h>

int library_call(int (*function)(void *), void *argument);
int library_call_with_buffer(int (*function)(void *), void *argument, unsigned size);

enum { THREADS = 4, DEEPEST = 60, RECURSION = 400, LARGE = 8 << 20, ALTERNATE = 4 << 20, COROUTINE = 4 << 20 };

struct walk {
    uint64_t random;
    int left;
    // Whether the walk has changed to a coroutine's stack already: one is enough, and there is only one.
    int in_coroutine;
    // Whether a handler of it runs on the stack for signals: a second one would overwrite it from within a coroutine.
    int on_signal_stack;
    ucontext_t outside, coroutine;
    char *coroutine_stack;
    void *outside_fiber;
};

typedef int step(struct walk *);
static int onward(struct walk *walk);

// What signal handlers go on with.
static __thread struct walk *walk_of_thread;

static uint32_t below(struct walk *walk, uint32_t limit) { return stacks_random(&walk->random) % limit; }

// --- The last function of a walk: it allocates.

#define LEAF_BY(name, expression)            \
    LEAF static int name(struct walk *walk) { \
        size_t size = 16 + below(walk, 500); \
        STACK_OF(STACKS_HEAP);               \
        void *block = expression;            \
        USED(block);                         \
        free(block);                         \
        return 1;                            \
    }

LEAF_BY(by_malloc, malloc(size))
LEAF_BY(by_calloc, calloc(3, size))
LEAF_BY(by_realloc_of_nothing, realloc(NULL, size))
LEAF_BY(by_aligned_alloc, aligned_alloc(64, size))
LEAF_BY(by_memalign, memalign(256, size))
LEAF_BY(by_reallocarray, reallocarray(NULL, 3, size))

LEAF static int by_realloc(struct walk *walk) {
    STACK_OF(STACKS_HEAP);
    void *block = malloc(24);
    USED(block);
    STACK_OF(STACKS_HEAP);
    block = realloc(block, 600 + below(walk, 100));
    USED(block);
    free(block);
    return 1;
}

LEAF static int by_posix_memalign(struct walk *walk) {
    void *block = NULL;
    STACK_OF(STACKS_HEAP);
    USED(posix_memalign(&block, 128, 16 + below(walk, 500)));
    free(block);
    return 1;
}

LEAF static int by_mmap(struct walk *walk) {
    size_t length = 4096 * (1 + below(walk, 3));
    STACK_OF(STACKS_ANONYMOUS);
    void *memory = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    USED(memory);
    munmap(memory, length);
    return 1;
}

// The allocator takes memory from the kernel for this block alone, since it never has so much at hand: malloc is on that
// stack too, and its return address is in the kernel's hands at that time.
LEAF static int by_large_malloc(struct walk *walk) {
    STACK_OF(STACKS_HEAP | STACKS_ALLOCATOR);
    void *block = malloc(LARGE + below(walk, LARGE));
    USED(block);
    free(block);
    return 1;
}

static step *const leaves[] = {by_malloc,   by_calloc,         by_realloc_of_nothing, by_aligned_alloc, by_memalign,
                               by_realloc,  by_posix_memalign, by_mmap,               by_large_malloc,  by_reallocarray};

// --- The functions in between.

static int plain(struct walk *walk) { return onward(walk) + 1; }

static int saves_registers(struct walk *walk) {
    uint32_t a = below(walk, 9), b = below(walk, 9), c = below(walk, 9), d = below(walk, 9), e = below(walk, 9);
    int result = onward(walk);
    return result + (int)(a * b + c * d + e);
}

static int large_frame(struct walk *walk) {
    volatile char buffer[20000];
    buffer[below(walk, sizeof buffer)] = 1;
    return onward(walk) + buffer[0] * 0 + 1;
}

static int variable_array(struct walk *walk) {
    volatile char buffer[1 + below(walk, 3000)];
    buffer[0] = 1;
    return onward(walk) + buffer[0];
}

static int allocas(struct walk *walk) {
    volatile char *buffer = NULL;
    for (uint32_t i = 0; i < 1 + walk->random % 4; i++) {
        buffer = alloca(16 + below(walk, 900));
        buffer[0] = (char)i;
    }
    int result = onward(walk);
    return result + buffer[0];
}

static int realigned(struct walk *walk) {
    _Alignas(64) volatile char buffer[256];
    buffer[below(walk, 256)] = 1;
    int result = onward(walk);
    return result + buffer[0] * 0 + 1;
}

static int realigned_variable_array(struct walk *walk) {
    _Alignas(32) volatile char fixed[64];
    volatile char buffer[1 + below(walk, 500)];
    fixed[3] = buffer[0] = 1;
    int result = onward(walk);
    return result + buffer[0] + fixed[3];
}

__attribute__((force_align_arg_pointer)) static int realigned_by_attribute(struct walk *walk) {
    uint32_t a = below(walk, 9), b = below(walk, 9), c = below(walk, 9), d = below(walk, 9);
    return onward(walk) + (int)(a * b + c * d);
}

typedef float vector __attribute__((vector_size(32)));

__attribute__((target("avx2"))) static int vectors_kept(struct walk *walk) {
    if (!__builtin_cpu_supports("avx2")) return onward(walk) + 1;
    volatile vector kept = {(float)below(walk, 9)};
    int result = onward(walk);
    vector again = kept;
    return result + (int)again[1] + 1;
}

static int jumps_on(struct walk *walk) { return onward(walk); }

__attribute__((noinline, noipa)) static int with_eight(int a, int b, int c, int d, int e, int f, struct walk *walk, int h) {
    return onward(walk) + a + b + c + d + e + f + h;
}

static int pushes_arguments(struct walk *walk) { return with_eight(1, 2, 3, 4, 5, 6, walk, 8) + 1; }

// Its frame is made only on one of its ways.
static int wrapped(struct walk *walk) {
    if (walk->random == 0) return 0;
    volatile char buffer[120];
    buffer[0] = 1;
    int result = onward(walk);
    USED(buffer[0]);
    return result;
}

static int walk_on(void *walk) { return onward(walk) + 1; }

static int by_library(struct walk *walk) { return library_call(walk_on, walk) + 1; }

static int by_library_with_buffer(struct walk *walk) {
    return library_call_with_buffer(walk_on, walk, below(walk, 700)) + 1;
}

// The C library's own functions, and back again. The first comparison goes on, the others compare.
static int compare(const void *left, const void *right, void *walk) {
    struct walk **place = walk;
    struct walk *taken = *place;
    *place = NULL;
    if (taken) USED(onward(taken));
    return *(const int *)left - *(const int *)right;
}

static int by_qsort(struct walk *walk) {
    int numbers[12];
    int count = 3 + (int)below(walk, 9);
    for (int i = 0; i < count; i++) numbers[i] = (int)below(walk, 100);
    qsort_r(numbers, (size_t)count, sizeof *numbers, compare, &walk);
    return numbers[0];
}

static int compare_once(const void *walk, const void *other) {
    (void)other;
    return onward((struct walk *)walk) * 0;
}

static int by_bsearch(struct walk *walk) {
    int numbers[5] = {1, 2, 3, 4, 5};
    return bsearch(walk, numbers, 5, sizeof *numbers, compare_once) != NULL;
}

// --- Signals: each handler goes on with the thread's walk.

static void on_signal(int signal, siginfo_t *info, void *context) {
    USED(onward(walk_of_thread));
    // Used after the call, so that the call is none by a jump.
    USED(signal);
    USED(info);
    USED(context);
}

static void on_illegal(int signal, siginfo_t *info, void *context) {
    // Behind the two bytes of `ud2`.
    ((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP] += 2;
    on_signal(signal, info, context);
    USED(signal);
}

static int by_raise(struct walk *walk) {
    walk_of_thread = walk;
    return raise(SIGUSR1) + 1;
}

static int by_raise_to_other_stack(struct walk *walk) {
    walk_of_thread = walk;
    if (walk->on_signal_stack) return raise(SIGUSR1) + 1;
    walk->on_signal_stack = 1;
    return raise(SIGUSR2) + 1;
}

// Within the C library, in the middle of its work.
static int compare_and_raise(const void *left, const void *right, void *walk) {
    struct walk **place = walk;
    struct walk *taken = *place;
    *place = NULL;
    if (taken) {
        walk_of_thread = taken;
        raise(SIGUSR1);
    }
    return *(const int *)left - *(const int *)right;
}

static int by_raise_in_qsort(struct walk *walk) {
    int numbers[8];
    for (int i = 0; i < 8; i++) numbers[i] = (int)below(walk, 100);
    qsort_r(numbers, 8, sizeof *numbers, compare_and_raise, &walk);
    return numbers[0];
}

// In the middle of this code.
static int by_system_call(struct walk *walk) {
    volatile char buffer[56];
    walk_of_thread = walk;
    buffer[0] = 0;
    long result;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "0"(SYS_tgkill), "D"((long)getpid()), "S"((long)gettid()), "d"((long)SIGUSR1)
                     : "rcx", "r11", "memory");
    return (int)result + buffer[0] + 1;
}

static int by_breakpoint(struct walk *walk) {
    uint32_t a = below(walk, 9), b = below(walk, 9);
    walk_of_thread = walk;
    __asm__ volatile("int3" : : : "memory");
    return (int)(a * b) + 1;
}

static int by_trap_at_entry(struct walk *walk) {
    walk_of_thread = walk;
    return trap_at_entry() + 1;
}

// --- Coroutines: a stack of their own, which ends where it begins. The C library's begin with code that says so; others
// begin with a return address of 0.

static void coroutine_body(unsigned low, unsigned high) {
    struct walk *walk = (struct walk *)((uintptr_t)high << 32 | low);
    USED(onward(walk));
}

static int by_coroutine(struct walk *walk) {
    if (walk->in_coroutine) return onward(walk) + 1;
    walk->in_coroutine = 1;
    getcontext(&walk->coroutine);
    walk->coroutine.uc_stack.ss_sp = walk->coroutine_stack;
    walk->coroutine.uc_stack.ss_size = COROUTINE;
    walk->coroutine.uc_link = &walk->outside;
    uintptr_t argument = (uintptr_t)walk;
    makecontext(&walk->coroutine, (void (*)(void))coroutine_body, 2, (unsigned)argument, (unsigned)(argument >> 32));
    return swapcontext(&walk->outside, &walk->coroutine) + 1;
}

static void fiber_body(void *argument) {
    struct walk *walk = argument;
    USED(onward(walk));
    leave_fiber(walk->outside_fiber);
}

static int by_fiber(struct walk *walk) {
    if (walk->in_coroutine) return onward(walk) + 1;
    walk->in_coroutine = 1;
    enter_fiber(&walk->outside_fiber, walk->coroutine_stack + COROUTINE, fiber_body, walk);
    return walk->in_coroutine + 1;
}

static step *const steps[] = {
    plain,           saves_registers,  large_frame,    variable_array,          allocas,
    realigned,       wrapped,          vectors_kept,   realigned_by_attribute,  realigned_variable_array,
    jumps_on,        pushes_arguments, by_library,     by_library_with_buffer,  by_qsort,
    by_bsearch,      by_raise,         by_system_call, by_raise_to_other_stack, by_raise_in_qsort,
    by_breakpoint,   by_trap_at_entry, by_coroutine,            by_fiber,
};

__attribute__((noinline)) static int onward(struct walk *walk) {
    if (walk->left-- <= 0) return leaves[below(walk, sizeof leaves / sizeof *leaves)](walk);
    return steps[below(walk, sizeof steps / sizeof *steps)](walk);
}

// --- Walks.

static char *own_stack(size_t size) {
    char *stack = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (stack == MAP_FAILED) stacks_fail("no memory for a stack\n");
    return stack;
}

static void *walks(void *argument) {
    // Threads start at numbers far apart; how many walks are to be made is in the low half.
    uint64_t seed = (uint64_t)(uintptr_t)argument;
    struct walk walk = {.random = seed * 0x9e3779b97f4a7c15u, .coroutine_stack = own_stack(COROUTINE)};
    stack_t alternate = {.ss_sp = own_stack(ALTERNATE), .ss_size = ALTERNATE};
    sigaltstack(&alternate, NULL);
    // What the allocator sets up for a thread, it sets up here.
    void *first = malloc(1);
    USED(first);
    free(first);
    for (uint64_t i = 0; i < (seed & 0xffffffff); i++) {
        walk.left = (int)below(&walk, DEEPEST);
        walk.in_coroutine = walk.on_signal_stack = 0;
        USED(onward(&walk));
    }
    return NULL;
}

LEAF static int recursion(int left) {
    volatile char buffer[40];
    buffer[0] = 1;
    if (left > 0) return recursion(left - 1) + buffer[0];
    STACK_OF(STACKS_HEAP);
    void *block = malloc(100);
    USED(block);
    free(block);
    return buffer[0];
}

static void handle(int signal, int flags, void (*handler)(int, siginfo_t *, void *)) {
    // A handler may be entered from within itself.
    struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_NODEFER | SA_SIGINFO | flags};
    if (sigaction(signal, &action, NULL) != 0) stacks_fail("sigaction failed\n");
}

// Arguments: `deep` for recursion, or the number of walks of each thread.
int main(int argc, char **argv) {
    const char *what = argc > 2 ? argv[2] : "100";
    // Fixed: the allocator would raise it as blocks are freed.
    mallopt(M_MMAP_THRESHOLD, LARGE);
    handle(SIGUSR1, 0, on_signal);
    handle(SIGTRAP, 0, on_signal);
    handle(SIGUSR2, SA_ONSTACK, on_signal);
    handle(SIGILL, 0, on_illegal);
    stacks_begin();
    if (strcmp(what, "deep") == 0) {
        for (int depth = 200; depth < RECURSION; depth++) USED(recursion(depth));
    } else {
        uint64_t count = strtoul(what, NULL, 10);
        // Alone first: while one thread changes the mappings, the kernel does not tell another what is mapped where.
        walks((void *)(uintptr_t)count);
        pthread_t threads[THREADS];
        for (uint64_t i = 0; i < THREADS; i++) {
            void *seed = (void *)(uintptr_t)((i + 1) << 32 | count);
            if (pthread_create(&threads[i], NULL, walks, seed) != 0) stacks_fail("pthread_create failed\n");
        }
        for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
    }
    stacks_end();
    return 0;
}
