// Sixty functions that do the same: each allocates blocks of five sizes and keeps every eighth. What a recording by
// sampling says of one of them is independent of what it says of the others: sixty seeds in one run.
//
// With the argument `release`, all is freed at the end.
#include "truth.h"

enum { BLOCKS = 12000, KEPT_EVERY = 8, MOST_KEPT = 60 * BLOCKS / KEPT_EVERY };

static const size_t sizes[] = {64, 200, 1000, 3000, 10000};

static void *blocks[BLOCKS];
static struct {
    void *block;
    size_t size;
    struct truth_site *site;
} kept[MOST_KEPT];
static size_t kept_count;

__attribute__((always_inline)) static inline void work(struct truth_site *site) {
    for (size_t i = 0; i < BLOCKS; i++) {
        blocks[i] = malloc(sizes[i % 5]);
        truth_require(blocks[i] != NULL, "malloc failed");
        truth_allocated(site, sizes[i % 5], 1);
    }
    for (size_t i = 0; i < BLOCKS; i++) {
        if (i % KEPT_EVERY == 0) {
            kept[kept_count].block = blocks[i];
            kept[kept_count].size = sizes[i % 5];
            kept[kept_count++].site = site;
            continue;
        }
        truth_freed(site, sizes[i % 5], 1);
        free(blocks[i]);
    }
}

#define FUNCTION(n) \
    SITE static void site_##n(void) { work(HERE(HEAP)); }
#define NAME(n) site_##n,
#define TEN(X, n) X(n##0) X(n##1) X(n##2) X(n##3) X(n##4) X(n##5) X(n##6) X(n##7) X(n##8) X(n##9)
#define SIXTY(X) TEN(X, 0) TEN(X, 1) TEN(X, 2) TEN(X, 3) TEN(X, 4) TEN(X, 5)

SIXTY(FUNCTION)

static void (*const sites[])(void) = {SIXTY(NAME)};

int main(int argc, char **argv) {
    truth_begin(argc, argv);
    for (size_t i = 0; i < sizeof sites / sizeof *sites; i++) sites[i]();
    if (truth_told(argc, argv, "release")) {
        for (size_t i = 0; i < kept_count; i++) {
            truth_freed(kept[i].site, kept[i].size, 1);
            free(kept[i].block);
        }
    }
    truth_end();
    return 0;
}
