// Addresses used again at full speed: two threads take blocks of few sizes and free what the other left in a shared
// slot, so that an address that one thread has freed is at once handed out to it again, while its free may still be on
// its way to heaptide.
//
// The account is kept in the blocks and on the threads' stacks: a table with a lock would slow the race down.
#include "truth.h"

enum { THREADS = 2, SLOTS = 4, KEEP_EVERY = 50000 };

struct block {
    size_t size;
};

struct account {
    uint64_t allocated_bytes, allocated_blocks, freed_bytes, freed_blocks, kept_bytes, kept_blocks;
};

static int turns_each = 500000;
static struct block *slots[SLOTS];
static struct account accounts[THREADS];
static pthread_barrier_t start;
static const size_t sizes[] = {24, 40, 72, 100};

SITE static struct block *churned(size_t size) {
    struct block *block = malloc(size);
    block->size = size;
    return block;
}

SITE static struct block *kept(size_t size) {
    struct block *block = malloc(size);
    block->size = size;
    return block;
}

static void *turns(void *argument) {
    struct account *account = argument;
    pthread_barrier_wait(&start);
    for (int i = 0; i < turns_each; i++) {
        struct block *block = churned(sizes[i % 4]);
        account->allocated_bytes += block->size;
        account->allocated_blocks++;
        block = __atomic_exchange_n(&slots[i % SLOTS], block, __ATOMIC_ACQ_REL);
        if (block) {
            account->freed_bytes += block->size;
            account->freed_blocks++;
            free(block);
        }
        if (i % KEEP_EVERY == 0) {
            account->kept_bytes += kept(sizes[i / KEEP_EVERY % 4])->size;
            account->kept_blocks++;
        }
    }
    return NULL;
}

int main(int argc, char **argv) {
    truth_begin(argc, argv);
    if (argc > 2) turns_each = atoi(argv[2]);
    pthread_t threads[THREADS];
    pthread_barrier_init(&start, NULL, THREADS);
    for (int i = 0; i < THREADS; i++)
        truth_require(pthread_create(&threads[i], NULL, turns, &accounts[i]) == 0, "pthread_create failed");
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        truth_allocated(truth_site("churned", HEAP), accounts[i].allocated_bytes, accounts[i].allocated_blocks);
        truth_freed(truth_site("churned", HEAP), accounts[i].freed_bytes, accounts[i].freed_blocks);
        truth_allocated(truth_site("kept", HEAP), accounts[i].kept_bytes, accounts[i].kept_blocks);
    }
    truth_end();
    return 0;
}
