// GLib's slices (the library of the system; its prototypes are those of its manual), beside the C library's blocks. The
// size is told at the end as well: g_slice_free1(size, block).
#include "truth.h"

void *g_slice_alloc(size_t);
void *g_slice_alloc0(size_t);
void *g_slice_copy(size_t, const void *);
void g_slice_free1(size_t, void *);

SITE static void *by_malloc(size_t size) {
    void *block = malloc(size);
    truth_block(HERE(HEAP), block, size);
    return block;
}

SITE static void *by_g_slice_alloc(size_t size) {
    void *block = g_slice_alloc(size);
    truth_block(HERE(HEAP), block, size);
    return block;
}

SITE static void *by_g_slice_alloc0(size_t size) {
    void *block = g_slice_alloc0(size);
    truth_block(HERE(HEAP), block, size);
    return block;
}

SITE static void *by_g_slice_copy(size_t size) {
    static const char data[1 << 16];
    void *block = g_slice_copy(size, data);
    truth_block(HERE(HEAP), block, size);
    return block;
}

static void release(size_t size, void *block) {
    truth_release(block);
    g_slice_free1(size, block);
}

static void *work(void *unused) {
    (void)unused;
    void *freed[3] = {0};
    size_t sizes[3] = {0};
    for (size_t round = 1; round <= 300; round++) {
        // Small ones come from slabs, large ones from malloc.
        size_t size = round % 10 == 0 ? round * 100 : round;
        void *blocks[3] = {by_g_slice_alloc(size), by_g_slice_alloc0(size + 1), by_g_slice_copy(size + 2)};
        for (size_t i = 0; i < 3; i++) {
            if ((round + i) % 3 != 0) continue;
            // One later than it was made, so that slabs fill up.
            if (freed[i]) release(sizes[i], freed[i]);
            freed[i] = blocks[i];
            sizes[i] = size + i;
        }
        void *own = by_malloc(round);
        if (round % 2 == 0) {
            truth_release(own);
            free(own);
        }
    }
    release(10, NULL);
    return NULL;
}

int main(int argc, char **argv) {
    truth_begin(argc, argv);
    // A thread's slabs are given back when it ends.
    for (int i = 0; i < 3; i++) {
        pthread_t thread;
        truth_require(pthread_create(&thread, NULL, work, NULL) == 0, "no thread");
        pthread_join(thread, NULL);
    }
    work(NULL);
    truth_end();
    return 0;
}
