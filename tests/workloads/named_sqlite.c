// SQLite's own allocator (the library of the system; its prototypes are those of its manual), beside the C library's.
#include "truth.h"

void *sqlite3_malloc64(uint64_t);
void *sqlite3_realloc64(void *, uint64_t);
void sqlite3_free(void *);
uint64_t sqlite3_msize(void *);
int sqlite3_open(const char *, void **);
int sqlite3_close(void *);
int sqlite3_shutdown(void);
int sqlite3_exec(void *, const char *, int (*)(void *, int, char **, char **), void *, char **);
// Its `int` travels in the lower half of a register, beside whatever is in the upper one.
void *sqlite3_malloc(uint64_t);
void *sqlite3_realloc(void *, uint64_t);
static const uint64_t beside = 0x1234567800000000u;

SITE static void *by_malloc(size_t size) {
    void *block = malloc(size);
    truth_block(HERE(HEAP), block, size);
    return block;
}

SITE static void *by_sqlite3_malloc(int size) {
    void *block = sqlite3_malloc(beside | (uint32_t)size);
    truth_block(HERE(HEAP), block, (size_t)size);
    return block;
}

SITE static void *by_sqlite3_malloc64(size_t size) {
    void *block = sqlite3_malloc64(size);
    truth_block(HERE(HEAP), block, size);
    return block;
}

SITE static void *by_sqlite3_realloc(void *block, int size) {
    struct truth_taken was = truth_take(block);
    void *now = sqlite3_realloc(block, beside | (uint32_t)size);
    truth_resized(HERE(HEAP), was, now, size < 0 ? 0 : (size_t)size);
    return now;
}

SITE static void *by_sqlite3_realloc64(void *block, size_t size) {
    struct truth_taken was = truth_take(block);
    void *now = sqlite3_realloc64(block, size);
    truth_resized(HERE(HEAP), was, now, size);
    return now;
}

static void release(void *block) {
    truth_release(block);
    sqlite3_free(block);
}

// What the library allocates for itself is not the account's; at its end nothing of it may be left.
SITE static void run_database(void) {
    void *database = NULL;
    truth_require(sqlite3_open(":memory:", &database) == 0, "sqlite3_open");
    const char *script = "create table t(a integer primary key, b text);"
                         "with recursive c(x) as (values(1) union all select x+1 from c where x<3000)"
                         " insert into t select x, hex(randomblob(50)) from c;"
                         "create index i on t(b); select count(*), max(length(b)) from t order by b;"
                         "update t set b = b || b where a % 3 = 0; delete from t where a % 2 = 0; vacuum;";
    truth_require(sqlite3_exec(database, script, NULL, NULL, NULL) == 0, "sqlite3_exec");
    truth_require(sqlite3_close(database) == 0 && sqlite3_shutdown() == 0, "sqlite3_close");
}

int main(int argc, char **argv) {
    truth_begin(argc, argv);
    for (int round = 1; round <= 100; round++) {
        void *a = by_sqlite3_malloc(round * 13), *b = by_sqlite3_malloc64((size_t)round * 31);
        void *c = by_sqlite3_realloc(NULL, round), *d = by_sqlite3_realloc64(NULL, (size_t)round * 100);
        truth_require(!by_sqlite3_malloc(0) && !by_sqlite3_malloc(-1) && !by_sqlite3_malloc64(0), "given for nothing");
        truth_require(!by_sqlite3_malloc64(UINT64_MAX / 2) && !by_sqlite3_realloc64(b, UINT64_MAX / 2), "a huge one");
        a = by_sqlite3_realloc(a, round * 77);
        d = by_sqlite3_realloc64(d, (size_t)round * 3);
        truth_require(sqlite3_msize(a) >= (uint64_t)round * 77, "sqlite3_msize");
        if (round % 2 == 0) release(a);
        if (round % 3 == 0) release(b);
        if (round % 5 == 0) by_sqlite3_realloc(c, round % 10 ? -1 : 0);
        if (round % 7 == 0) by_sqlite3_realloc64(d, 0);
        void *own = by_malloc((size_t)round);
        if (round % 2 == 0) {
            truth_release(own);
            free(own);
        }
    }
    release(NULL);
    run_database();
    truth_end();
    return 0;
}
