// Memory that becomes resident at known places: mapped, handed out by malloc, below the program break, on stacks, of files,
// shared, in huge pages, touched by the kernel; and given back in every way.
//
// The account is the kernel's own page map of this process: a page that was not there before a site has touched it, and is
// there after, is the site's. Says `touched SITE MEMORY BYTES LEFT`: LEFT is what of these pages is there at the end. With
// the argument `fork`, a child writes to pages that it shares with its parent, and says the same.
#include "truth.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>

enum { PAGE = 4096, MOST_PAGES = 2048, MOST_TOUCHES = 32, HUGE = 2 << 20, STACK = 280 * PAGE };

struct touched {
    const char *site, *memory;
    char *start;
    size_t pages;
    // 1: the site has brought it; 2: and it was unmapped since, so something else may be there.
    unsigned char is_fresh[MOST_PAGES];
};

static struct touched touches[MOST_TOUCHES];
static size_t touch_count;
static uint64_t entries[MOST_PAGES];
static int page_map = -1;
static const int anonymous = MAP_PRIVATE | MAP_ANONYMOUS;
static const int writable = PROT_READ | PROT_WRITE;

static void look(const char *start, size_t pages) {
    memset(entries, 0, sizeof entries);
    ssize_t size = (ssize_t)(pages * sizeof *entries);
    truth_require(pread(page_map, entries, (size_t)size, (off_t)((uintptr_t)start / PAGE * sizeof *entries)) == size,
                  "cannot read the page map");
}

static int is_there(size_t page) { return (int)(entries[page] >> 63); }

// What a site is about to touch.
static struct touched *begin(const char *site, const char *memory, void *start, size_t pages) {
    truth_require(touch_count < MOST_TOUCHES && pages <= MOST_PAGES, "too much is touched");
    struct touched *touch = &touches[touch_count++];
    touch->site = site;
    touch->memory = memory;
    touch->start = (char *)((uintptr_t)start & ~(uintptr_t)(PAGE - 1));
    touch->pages = pages;
    look(touch->start, pages);
    for (size_t i = 0; i < pages; i++) touch->is_fresh[i] = !is_there(i);
    return touch;
}

// The site has touched it.
static void end(struct touched *touch) {
    look(touch->start, touch->pages);
    for (size_t i = 0; i < touch->pages; i++) touch->is_fresh[i] &= (unsigned char)is_there(i);
}

static void tell(void) {
    for (size_t t = 0; t < touch_count; t++) {
        struct touched *touch = &touches[t];
        size_t bytes = 0, left = 0;
        look(touch->start, touch->pages);
        for (size_t i = 0; i < touch->pages; i++) {
            bytes += (size_t)(touch->is_fresh[i] != 0) * PAGE;
            left += (size_t)(touch->is_fresh[i] == 1 && is_there(i)) * PAGE;
        }
        truth_say("touched %s %s %zu %zu\n", touch->site, touch->memory, bytes, left);
    }
}

static char *mapped(size_t pages, int flags, int file) {
    char *start = mmap(NULL, pages * PAGE, writable, flags, file, 0);
    truth_require(start != MAP_FAILED, "mmap failed");
    return start;
}

__attribute__((always_inline)) static inline void write_to(volatile char *start, size_t pages) {
    for (size_t i = 0; i < pages; i++) start[i * PAGE] = 1;
}

SITE static void whole(char *start, size_t pages) { write_to(start, pages); }
SITE static void unmapped(char *start, size_t pages) { write_to(start, pages); }
SITE static void advised(char *start, size_t pages) { write_to(start, pages); }
SITE static void moved(char *start, size_t pages) { write_to(start, pages); }
SITE static void shared(char *start, size_t pages) { write_to(start, pages); }
SITE static void file_copied(char *start, size_t pages) { write_to(start, pages); }
SITE static void block(char *start, size_t pages) { write_to(start, pages); }
SITE static void own_break(char *start, size_t pages) { write_to(start, pages); }
SITE static void huge(char *start, size_t pages) { write_to(start, pages); }
SITE static void copied(char *start, size_t pages) { write_to(start, pages); }

SITE static void by_kernel(char *start, size_t pages) {
    int zero = open("/dev/zero", O_RDONLY | O_CLOEXEC);
    truth_require(zero >= 0 && read(zero, start, pages * PAGE) == (ssize_t)(pages * PAGE), "cannot read zeroes");
    close(zero);
}

SITE static int only_read(const volatile char *start, size_t pages) {
    int sum = 0;
    for (size_t i = 0; i < pages; i++) sum += start[i * PAGE];
    return sum;
}

SITE static void blocks(int count) {
    for (int i = 0; i < count; i++) {
        char *block = malloc(900);
        truth_require(block != NULL, "malloc failed");
        memset(block, 1, 900);
    }
}

SITE static void recurse(int depth) {
    volatile char frame[PAGE];
    frame[0] = frame[PAGE - 1] = 1;
    if (depth > 0) recurse(depth - 1);
    frame[1] = 1;
}

static void *thread(void *stack) {
    struct touched *touch = begin("recurse", "touched_stack", stack, STACK / PAGE);
    recurse(240);
    end(touch);
    return NULL;
}

static void with(const char *site, const char *memory, void (*touch)(char *, size_t), char *start, size_t pages) {
    struct touched *touched = begin(site, memory, start, pages);
    touch(start, pages);
    end(touched);
}

static void mappings(void) {
    with("whole", "touched_anonymous", whole, mapped(64, anonymous, -1), 64);

    char *start = mapped(64, anonymous, -1);
    with("unmapped", "touched_anonymous", unmapped, start, 64);
    truth_require(munmap(start + 10 * PAGE, 20 * PAGE) == 0, "munmap failed");
    memset(touches[touch_count - 1].is_fresh + 10, 2, 20);

    start = mapped(64, anonymous, -1);
    with("advised", "touched_anonymous", advised, start, 64);
    truth_require(madvise(start + 8 * PAGE, 30 * PAGE, MADV_DONTNEED) == 0, "madvise failed");

    start = mapped(32, anonymous, -1);
    char *to = mapped(64, anonymous, -1);
    with("moved", "touched_anonymous", moved, start, 32);
    truth_require(mremap(start, 32 * PAGE, 64 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, to) == to, "mremap failed");
    touches[touch_count - 1].start = to;

    with("by_kernel", "touched_anonymous", by_kernel, mapped(48, anonymous, -1), 48);
    with("shared", "touched_shared", shared, mapped(40, MAP_SHARED | MAP_ANONYMOUS, -1), 40);
    truth_require(only_read(mapped(100, anonymous, -1), 100) == 0, "new memory is not zero");
}

static void files(void) {
    char name[] = "/tmp/heaptide-growth-XXXXXX";
    int file = mkstemp(name);
    truth_require(file >= 0 && unlink(name) == 0 && ftruncate(file, 16 * PAGE) == 0, "cannot make a file");
    char *start = mapped(16, MAP_PRIVATE, file);
    // A page that is read first is there already, as the file's.
    with("file_copied", "touched_file_copy", file_copied, start, 6);
    close(file);
}

// Huge pages reach beyond what a site has touched, into mappings beside it: none but where they are asked for.
static void allow_huge_pages(int allow) {
    truth_require(prctl(PR_SET_THP_DISABLE, !allow, 0, 0, 0) == 0, "cannot do without huge pages");
}

static void huge_pages(void) {
    allow_huge_pages(1);
    char *place = mapped(3 * HUGE / PAGE, anonymous, -1);
    char *start = (char *)(((uintptr_t)place + HUGE - 1) & ~(uintptr_t)(HUGE - 1));
    // Where the kernel has none, the pages are small ones: the page map tells.
    (void)madvise(start, 2 * HUGE, MADV_HUGEPAGE);
    with("huge", "touched_anonymous", huge, start, 2 * HUGE / PAGE);
    allow_huge_pages(0);
}

static void heap(void) {
    size_t size = 300 * PAGE;
    char *large = malloc(size);
    truth_require(large != NULL, "malloc failed");
    // malloc has touched the first page itself.
    with("block", "touched_heap", block, large, 300);

    struct touched *touch = begin("blocks", "touched_heap", (char *)sbrk(0) - 40 * PAGE, 1500);
    blocks(2000);
    end(touch);

    char *before = sbrk(33 * PAGE);
    truth_require(before != (void *)-1, "sbrk failed");
    with("own_break", "touched_anonymous", own_break, before + PAGE - (uintptr_t)before % PAGE, 31);
}

static void stacks(void) {
    char *stack = mapped(STACK / PAGE, anonymous | MAP_STACK, -1);
    pthread_attr_t attributes;
    pthread_t id;
    pthread_attr_init(&attributes);
    truth_require(pthread_attr_setstack(&attributes, stack, STACK) == 0, "cannot give a thread its stack");
    truth_require(pthread_create(&id, &attributes, thread, stack) == 0, "pthread_create failed");
    pthread_join(id, NULL);
    pthread_attr_destroy(&attributes);
}

static void in_child(void) {
    char *start = mapped(24, anonymous, -1);
    with("whole", "touched_anonymous", whole, start, 24);
    pid_t child = fork();
    truth_require(child >= 0, "fork failed");
    if (child == 0) {
        copied(start, 20);
        truth_say("child %d\ntouched copied touched_anonymous %d %d\n", (int)getpid(), 20 * PAGE, 20 * PAGE);
        _exit(0);
    }
    truth_require(waitpid(child, NULL, 0) == child, "cannot wait for the child");
}

int main(int argc, char **argv) {
    page_map = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
    truth_require(page_map >= 0, "cannot open the page map");
    allow_huge_pages(0);
    // The account's own memory, touched before anything is recorded.
    memset(touches, 1, sizeof touches);
    memset(touches, 0, sizeof touches);
    memset(entries, 1, sizeof entries);
    truth_begin(argc, argv);
    if (truth_told(argc, argv, "fork")) {
        in_child();
    } else {
        mappings();
        files();
        huge_pages();
        heap();
        stacks();
    }
    tell();
    truth_say("done\n");
    truth_listen();
    return 0;
}
