// Mappings: made, cut, covered, moved, and the program break moved by the program itself.
//
// No site keeps two ranges that touch each other: whether those are one range or two is nobody's promise.
#include "truth.h"

#include <fcntl.h>
#include <sys/mman.h>

enum { PAGE = 4096 };

static const int anonymous = MAP_PRIVATE | MAP_ANONYMOUS;

// mmap, as a site calls it: inlined, so that the caller of mmap is the site.
__attribute__((always_inline)) static inline char *mapped(struct truth_site *site, void *where, size_t pages, int flags,
                                                          int file) {
    char *start = mmap(where, pages * PAGE, PROT_READ, flags, file, 0);
    truth_require(start != MAP_FAILED && (!where || start == where), "mmap failed");
    truth_allocated(site, pages * PAGE, 1);
    return start;
}

static void unmap(char *start, size_t length) { truth_require(munmap(start, length) == 0, "munmap failed"); }

SITE static char *whole(size_t pages) { return mapped(HERE(ANONYMOUS), NULL, pages, anonymous, -1); }
SITE static char *cut_low(void) { return mapped(HERE(ANONYMOUS), NULL, 8, anonymous, -1); }
SITE static char *cut_high(void) { return mapped(HERE(ANONYMOUS), NULL, 8, anonymous, -1); }
SITE static char *cut_middle(void) { return mapped(HERE(ANONYMOUS), NULL, 9, anonymous, -1); }
SITE static char *reserved(size_t pages) { return mapped(HERE(ANONYMOUS), NULL, pages, anonymous, -1); }
SITE static char *lower(char *at) { return mapped(HERE(ANONYMOUS), at, 3, anonymous | MAP_FIXED, -1); }
SITE static char *upper(char *at) { return mapped(HERE(ANONYMOUS), at, 3, anonymous | MAP_FIXED, -1); }
SITE static char *left_part(char *at) { return mapped(HERE(ANONYMOUS), at, 3, anonymous | MAP_FIXED, -1); }
SITE static char *right_part(char *at) { return mapped(HERE(ANONYMOUS), at, 3, anonymous | MAP_FIXED, -1); }
SITE static char *covered(void) { return mapped(HERE(ANONYMOUS), NULL, 10, anonymous, -1); }
SITE static char *covering(char *at) { return mapped(HERE(ANONYMOUS), at, 2, anonymous | MAP_FIXED, -1); }
SITE static char *shared(void) { return mapped(HERE(ANONYMOUS), NULL, 5, MAP_SHARED | MAP_ANONYMOUS, -1); }
SITE static char *stack_of_own(void) { return mapped(HERE(THREAD_STACK), NULL, 16, anonymous | MAP_STACK, -1); }
SITE static char *landing(void) { return mapped(HERE(ANONYMOUS), NULL, 12, anonymous, -1); }

SITE static char *file_mapped(int file) { return mapped(HERE(FILE_BACKED), NULL, 2, MAP_PRIVATE, file); }

SITE static char *odd_length(void) {
    char *start = mmap(NULL, PAGE + 1, PROT_READ, anonymous, -1, 0);
    truth_require(start != MAP_FAILED, "mmap failed");
    truth_allocated(HERE(ANONYMOUS), 2 * PAGE, 1);
    return start;
}

SITE static char *remapped(char *start, size_t from, size_t to) {
    char *now = mremap(start, from * PAGE, to * PAGE, MREMAP_MAYMOVE);
    truth_require(now != MAP_FAILED, "mremap failed");
    truth_allocated(HERE(ANONYMOUS), to * PAGE, 1);
    return now;
}

SITE static void moved(char *start, size_t pages, char *to) {
    void *now = mremap(start, pages * PAGE, pages * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, to);
    truth_require(now == to, "mremap did not move");
    truth_allocated(HERE(ANONYMOUS), pages * PAGE, 1);
}

SITE static char *file_remapped(char *start) {
    char *now = mremap(start, 2 * PAGE, PAGE, MREMAP_MAYMOVE);
    truth_require(now != MAP_FAILED, "mremap failed");
    truth_allocated(HERE(FILE_BACKED), PAGE, 1);
    return now;
}

SITE static void break_first(void) {
    truth_require(sbrk(64 * PAGE) != (void *)-1, "sbrk failed");
    truth_allocated(HERE(ANONYMOUS), 64 * PAGE, 1);
}

SITE static void break_second(void) {
    truth_require(sbrk(32 * PAGE) != (void *)-1, "sbrk failed");
    truth_allocated(HERE(ANONYMOUS), 32 * PAGE, 1);
}

static struct truth_site *of(const char *name) { return truth_site(name, ANONYMOUS); }

static void whole_ranges(void) {
    unmap(whole(4), 4 * PAGE);
    truth_freed(of("whole"), 4 * PAGE, 1);
    whole(7);
    // An unmapping is rounded up to whole pages, as the mapping was.
    unmap(odd_length(), 2 * PAGE - 100);
    truth_freed(of("odd_length"), 2 * PAGE, 1);
    odd_length();
    shared();
}

static void cuts(void) {
    unmap(cut_low(), 2 * PAGE);
    truth_cut(of("cut_low"), 2 * PAGE, 0);
    unmap(cut_high() + 5 * PAGE, 3 * PAGE);
    truth_cut(of("cut_high"), 3 * PAGE, 0);
    char *middle = cut_middle();
    unmap(middle + 3 * PAGE, 2 * PAGE);
    truth_cut(of("cut_middle"), 2 * PAGE, 1);
    truth_require(munmap(middle + 1, PAGE) != 0, "a misaligned munmap succeeded");
    truth_require(munmap(middle, 0) != 0, "an empty munmap succeeded");
}

// Two mappings side by side, on a place of their own.
static void neighbours(void) {
    char *place = reserved(6);
    lower(place);
    upper(place + 3 * PAGE);
    truth_cut(of("reserved"), 6 * PAGE, -1);
    unmap(place, 6 * PAGE);
    truth_freed(of("lower"), 3 * PAGE, 1);
    truth_freed(of("upper"), 3 * PAGE, 1);

    place = reserved(6);
    left_part(place);
    right_part(place + 3 * PAGE);
    truth_cut(of("reserved"), 6 * PAGE, -1);
    unmap(place + 2 * PAGE, 2 * PAGE);
    truth_cut(of("left_part"), PAGE, 0);
    truth_cut(of("right_part"), PAGE, 0);
}

static void covers(void) {
    covering(covered() + 4 * PAGE);
    truth_cut(of("covered"), 2 * PAGE, 1);
}

static void remaps(void) {
    char *start = remapped(whole(4), 4, 16);
    truth_freed(of("whole"), 4 * PAGE, 1);
    start = remapped(start, 16, 6);
    truth_freed(of("remapped"), 16 * PAGE, 1);
    truth_require(mremap(start + 1, PAGE, PAGE, 0) == MAP_FAILED, "a misaligned mremap succeeded");
    moved(start, 6, landing() + 2 * PAGE);
    truth_freed(of("remapped"), 6 * PAGE, 1);
    truth_cut(of("landing"), 6 * PAGE, 1);
}

static void files(void) {
    int file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    truth_require(file >= 0, "cannot open the program itself");
    unmap(file_mapped(file), 2 * PAGE);
    truth_freed(truth_site("file_mapped", FILE_BACKED), 2 * PAGE, 1);
    file_remapped(file_mapped(file));
    truth_freed(truth_site("file_mapped", FILE_BACKED), 2 * PAGE, 1);
    file_mapped(file);
    close(file);
}

static void *nothing(void *argument) { return argument; }

// The C library maps a thread's stack beneath pthread_create: `*` stands for stacks without a site of ours in them. A
// stack of a thread that ended is used again for the next thread of the same size.
static void thread_stacks(void) {
    enum { STACK = 64 * PAGE };
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    truth_require(pthread_attr_setstacksize(&attributes, STACK) == 0, "cannot set the size of a stack");
    truth_require(pthread_attr_setguardsize(&attributes, 0) == 0, "cannot set the size of a guard");
    for (int i = 0; i < 3; i++) {
        pthread_t thread;
        truth_require(pthread_create(&thread, &attributes, nothing, NULL) == 0, "pthread_create failed");
        pthread_join(thread, NULL);
    }
    truth_allocated(truth_site("*", THREAD_STACK), STACK, 1);
    pthread_attr_destroy(&attributes);

    unmap(stack_of_own(), 16 * PAGE);
    truth_freed(truth_site("stack_of_own", THREAD_STACK), 16 * PAGE, 1);
    stack_of_own();
}

static void program_break(void) {
    break_first();
    break_second();
    truth_require(sbrk(-16 * PAGE) != (void *)-1, "sbrk failed");
    truth_cut(of("break_second"), 16 * PAGE, 0);
}

int main(int argc, char **argv) {
    truth_begin(argc, argv);
    // Before anything else: no allocation of the C library may come between the two and the shrinking.
    program_break();
    whole_ranges();
    cuts();
    neighbours();
    covers();
    remaps();
    files();
    thread_stacks();
    truth_end();
    return 0;
}
