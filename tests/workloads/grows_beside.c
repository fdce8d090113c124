// Programs whose resident set or whose mappings grow while the heap does not.
#include "grows.h"

#include <sys/mman.h>

// ---- what the allocator keeps ----

SITE static struct block *read_report_row(size_t size) { return allocate(size); }
SITE static struct block *keep_summary(size_t size) { return allocate(size); }

// A large task comes and goes. Its last block is small and stays, above all others: the allocator can give nothing back.
static void retention(struct life *life) {
    struct churn churn = some_churn(&life->chance);
    double from = between(&life->chance, 0.12, 0.3), to = from + between(&life->chance, 0.06, 0.12);
    double bytes = between(&life->chance, 12e6, 40e6), rows = bytes / 2000;
    double a_second = rows / ((to - from) * life->seconds);
    struct block *report = NULL;
    int summed = 0;
    do {
        serve(life, &churn, 1);
        if (over(life) < from) continue;
        if (over(life) < to) {
            for (long i = (long)in_step(life, a_second); i > 0; i--) {
                struct block *row = read_report_row((size_t)(2000 * between(&life->chance, 0.6, 1.4)));
                row->next = report;
                report = row;
            }
        } else if (!summed) {
            escape(keep_summary(600));
            summed = 1;
            release_all(report);
        }
    } while (step(life));
}

SITE static struct block *open_session(size_t size) { return allocate(size); }

// Most sessions of a crowd end; those that stay lie between them, one on each page or two.
static void fragmentation(struct life *life) {
    struct churn churn = some_churn(&life->chance);
    double filled = between(&life->chance, 0.06, 0.12), ended = filled + between(&life->chance, 0.2, 0.35);
    size_t size = (size_t)between(&life->chance, 200, 500);
    double sessions = between(&life->chance, 8e6, 16e6) / (double)size;
    double opened = sessions / (filled * life->seconds), closed = sessions / ((ended - filled) * life->seconds);
    struct block *first = NULL, **last = &first, *here = NULL;
    do {
        serve(life, &churn, 1);
        if (over(life) < filled) {
            for (long i = arrivals(life, opened); i > 0; i--) {
                *last = open_session(size);
                last = &(*last)->next;
            }
            here = first;
        }
        if (over(life) < filled || !here) continue;
        for (long i = arrivals(life, closed); i > 0 && here; i--) {
            // One of sixteen stays.
            struct block *stays = here;
            for (int other = 1; other < 16 && stays->next; other++, i--) {
                struct block *leaves = stays->next;
                stays->next = leaves->next;
                release(leaves);
            }
            here = stays->next;
        }
    } while (step(life));
}

// ---- mappings ----

static void *mapped(size_t size, int flags, int file, off_t at) {
    void *start = mmap(NULL, size, PROT_READ | PROT_WRITE, flags, file, at);
    truth_require(start != MAP_FAILED, "mmap failed");
    return start;
}

enum { PIECE = 1 << 20, SEGMENT = 4 << 20 };

SITE static void map_receive_buffer(void) {
    char *start = (char *)mapped(PIECE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memset(start, 1, 1 << 16);
    leak_site = __func__;
    leaked_bytes += PIECE;
    leaked_blocks++;
    mapped_bytes += PIECE;
}

SITE static void *map_scratch(void) {
    mapped_bytes += PIECE;
    return mapped(PIECE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

// Buffers are mapped and never unmapped; others come and go.
static void mappings(struct life *life) {
    struct churn churn = some_churn(&life->chance);
    double pieces = between(&life->chance, 1.5, 4);
    void *scratch = NULL;
    do {
        serve(life, &churn, 1);
        for (long i = arrivals(life, pieces); i > 0; i--) map_receive_buffer();
        if (!happens(&life->chance, in_step(life, 3))) continue;
        if (scratch) {
            mapped_bytes -= PIECE;
            truth_require(munmap(scratch, PIECE) == 0, "munmap failed");
            scratch = NULL;
        } else {
            scratch = map_scratch();
        }
    } while (step(life));
}

SITE static void map_segment(int file, long number) {
    char *start = (char *)mapped(SEGMENT, MAP_SHARED, file, number * SEGMENT);
    memset(start, 1, 1 << 12);
    leak_site = __func__;
    leaked_bytes += SEGMENT;
    leaked_blocks++;
    file_bytes += SEGMENT;
}

// Segments of a file that grows are mapped and never unmapped.
static void files(struct life *life) {
    struct churn churn = some_churn(&life->chance);
    double segments = between(&life->chance, 1.5, 4);
    char path[] = "/tmp/heaptide-segments-XXXXXX";
    int file = mkostemp(path, O_CLOEXEC);
    truth_require(file >= 0 && unlink(path) == 0, "cannot make a file");
    long number = 0;
    do {
        serve(life, &churn, 1);
        for (long i = arrivals(life, segments); i > 0; i--) {
            truth_require(ftruncate(file, (number + 1) * SEGMENT) == 0, "cannot make the file larger");
            map_segment(file, number++);
        }
    } while (step(life));
}

// ---- threads ----

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t answered = PTHREAD_COND_INITIALIZER;
static int is_over;

// An answer that never comes.
static void *wait_for_answer(void *unused) {
    pthread_mutex_lock(&lock);
    while (!is_over) pthread_cond_wait(&answered, &lock);
    pthread_mutex_unlock(&lock);
    return unused;
}

SITE static void start_query_thread(void) {
    pthread_t thread;
    truth_require(pthread_create(&thread, NULL, wait_for_answer, NULL) == 0, "no thread");
    leak_site = __func__;
    leaked_bytes += 8 << 20;
    leaked_blocks++;
    stack_bytes += 8 << 20;
}

// Threads pile up. Each also has a few hundred bytes of the heap, which are nothing beside what requests hold.
static void stacks(struct life *life) {
    struct churn churn = some_churn(&life->chance);
    churn.size = scale(&life->chance, 6000, 12000);
    double threads = between(&life->chance, 1.5, 3.5);
    do {
        serve(life, &churn, 1);
        for (long i = arrivals(life, threads); i > 0; i--) start_query_thread();
    } while (step(life));
    pthread_mutex_lock(&lock);
    is_over = 1;
    pthread_cond_broadcast(&answered);
    pthread_mutex_unlock(&lock);
}

static const struct kind kinds[] = {
    {"retention", retention},       {"fragmentation", fragmentation}, {"mapping-growth", mappings},
    {"file-mapping-growth", files}, {"thread-stack-growth", stacks},  {NULL, NULL},
};

int main(int argc, char **argv) { return grows_main(argc, argv, kinds); }
