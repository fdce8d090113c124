// OpenSSL's own allocator (the library of the system; its prototypes are those of its manual), beside the C library's.
#include "truth.h"

void *CRYPTO_malloc(size_t, const char *, int);
void *CRYPTO_zalloc(size_t, const char *, int);
void *CRYPTO_memdup(const void *, size_t, const char *, int);
char *CRYPTO_strdup(const char *, const char *, int);
void *CRYPTO_realloc(void *, size_t, const char *, int);
void *CRYPTO_clear_realloc(void *, size_t, size_t, const char *, int);
void CRYPTO_free(void *, const char *, int);
void CRYPTO_clear_free(void *, size_t, const char *, int);
void *BN_new(void);
void BN_free(void *);
int BN_set_word(void *, uint64_t);
int BN_lshift(void *, const void *, int);

SITE static void *by_malloc(size_t size) {
    void *block = malloc(size);
    truth_block(HERE(HEAP), block, size);
    return block;
}

SITE static void *by_CRYPTO_malloc(size_t size) {
    void *block = CRYPTO_malloc(size, __FILE__, __LINE__);
    truth_block(HERE(HEAP), block, size);
    return block;
}

SITE static void *by_CRYPTO_zalloc(size_t size) {
    void *block = CRYPTO_zalloc(size, __FILE__, __LINE__);
    truth_block(HERE(HEAP), block, size);
    return block;
}

SITE static void *by_CRYPTO_memdup(size_t size) {
    static const char data[1 << 14];
    void *block = CRYPTO_memdup(data, size, __FILE__, __LINE__);
    truth_block(HERE(HEAP), block, size);
    return block;
}

SITE static void *by_CRYPTO_strdup(const char *text) {
    void *block = CRYPTO_strdup(text, __FILE__, __LINE__);
    truth_block(HERE(HEAP), block, strlen(text) + 1);
    return block;
}

SITE static void *by_CRYPTO_realloc(void *block, size_t size) {
    struct truth_taken was = truth_take(block);
    void *now = CRYPTO_realloc(block, size, __FILE__, __LINE__);
    truth_resized(HERE(HEAP), was, now, size);
    return now;
}

SITE static void *by_CRYPTO_clear_realloc(void *block, size_t before, size_t size) {
    // It shrinks a block in its place: the old one ends all the same.
    struct truth_taken was = truth_take(block);
    void *now = CRYPTO_clear_realloc(block, before, size, __FILE__, __LINE__);
    truth_resized(HERE(HEAP), was, now, size);
    return now;
}

static void release(void *block) {
    truth_release(block);
    CRYPTO_free(block, __FILE__, __LINE__);
}

static void release_cleared(void *block, size_t size) {
    truth_release(block);
    CRYPTO_clear_free(block, size, __FILE__, __LINE__);
}

// What the library allocates for itself is not the account's; at the end nothing of it may be left.
SITE static void run_numbers(void) {
    for (int i = 1; i < 200; i++) {
        void *number = BN_new();
        truth_require(BN_set_word(number, 12345) && BN_lshift(number, number, i * 40), "BN_lshift");
        BN_free(number);
    }
}

int main(int argc, char **argv) {
    truth_begin(argc, argv);
    for (size_t round = 1; round <= 100; round++) {
        void *a = by_CRYPTO_malloc(round * 13), *b = by_CRYPTO_zalloc(round * 31), *c = by_CRYPTO_memdup(round * 7);
        void *d = by_CRYPTO_realloc(NULL, round * 3), *e = by_CRYPTO_clear_realloc(NULL, 0, round * 5);
        void *f = by_CRYPTO_strdup("a string that is kept or not");
        truth_require(by_CRYPTO_malloc(0) == NULL, "something for nothing");
        a = by_CRYPTO_realloc(a, round * 1001);
        b = by_CRYPTO_clear_realloc(b, round * 31, round * 700);
        e = by_CRYPTO_clear_realloc(e, round * 5, round);
        if (round % 2 == 0) release(a);
        if (round % 3 == 0) release_cleared(b, round * 700);
        if (round % 5 == 0) release(c);
        if (round % 7 == 0) by_CRYPTO_realloc(d, 0);
        if (round % 11 == 0) by_CRYPTO_clear_realloc(e, round, 0);
        if (round % 13 == 0) release(f);
        void *own = by_malloc(round);
        if (round % 2 == 0) {
            truth_release(own);
            free(own);
        }
    }
    release(NULL);
    release_cleared(NULL, 0);
    run_numbers();
    truth_end();
    return 0;
}
