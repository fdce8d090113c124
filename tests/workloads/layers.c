// An allocator on top of the C library's, whose library is the argument: see layers_library.c. Blocks of both are in the
// account, each once: those that the C library gave to the other one are not.
#include "truth.h"

#include <dlfcn.h>
#include <setjmp.h>

struct node {
    struct node *left, *right;
};

static void *(*layer_get)(size_t);
static void *(*layer_many)(void *, size_t, size_t);
// Its `int` travels in the lower half of a register, beside whatever is in the upper one.
static int (*layer_try)(void **, uint64_t);
static void *(*layer_same)(size_t);
static void (*layer_put)(int, void *);
static void (*layer_put_same)(void *);
static void *(*layer_resize)(void *, size_t);
static void *(*layer_collecting)(size_t, void (*)(void *), void *);
static void (*layer_put_tree)(struct node *);
static void *(*layer_arena)(size_t);
static void (*layer_arena_end)(void);
static void *(*layer_jumps)(size_t, jmp_buf *);

static void load(const char *path) {
    void *library = dlopen(path, RTLD_NOW);
    truth_require(library != NULL, "the library cannot be loaded");
#define LOAD(name) truth_require((*(void **)&name = dlsym(library, #name)) != NULL, #name)
    LOAD(layer_get);
    LOAD(layer_many);
    LOAD(layer_try);
    LOAD(layer_same);
    LOAD(layer_put);
    LOAD(layer_put_same);
    LOAD(layer_resize);
    LOAD(layer_collecting);
    LOAD(layer_put_tree);
    LOAD(layer_arena);
    LOAD(layer_arena_end);
    LOAD(layer_jumps);
}

SITE static void *by_malloc(size_t size) {
    void *block = malloc(size);
    truth_block(HERE(HEAP), block, size);
    return block;
}

SITE static void *by_get(size_t size) {
    void *block = layer_get(size);
    truth_block(HERE(HEAP), block, size);
    return block;
}

SITE static void *by_many(size_t count, size_t size) {
    void *block = layer_many(&layer_many, count, size);
    truth_block(HERE(HEAP), block, count * size);
    return block;
}

SITE static void *by_try(int size) {
    void *block = NULL;
    int status = layer_try(&block, 0x7fffffff00000000u | (uint32_t)size);
    truth_require(status == (size > 0 ? 0 : -1), "layer_try");
    if (status != 0) return NULL;
    truth_block(HERE(HEAP), block, (size_t)size);
    return block;
}

SITE static void *by_same(size_t size) {
    void *block = layer_same(size);
    truth_block(HERE(HEAP), block, size);
    return block;
}

SITE static void *by_resize(void *block, size_t size) {
    struct truth_taken was = truth_take(block);
    void *now = layer_resize(block, size);
    truth_resized(HERE(HEAP), was, now, size);
    return now;
}

SITE static void *by_arena(size_t size) {
    void *block = layer_arena(size);
    truth_require(block != NULL, "the arena is too small");
    truth_block(HERE(HEAP), block, size);
    return block;
}

static void put(void *block) {
    truth_release(block);
    layer_put(1, block);
}

static void release(void *block) {
    truth_release(block);
    free(block);
}

enum { GARBAGE = 600 };

struct garbage {
    void *of_layer[GARBAGE], *of_library[GARBAGE];
};

// What a collector does within a call of the allocator: it ends blocks of both that were handed out.
static void collect(void *what) {
    struct garbage *garbage = what;
    for (int i = 0; i < GARBAGE; i++) {
        put(garbage->of_layer[i]);
        release(garbage->of_library[i]);
    }
}

SITE static void *by_collecting(size_t size, struct garbage *garbage) {
    void *block = layer_collecting(size, collect, garbage);
    truth_block(HERE(HEAP), block, size);
    return block;
}

SITE static struct node *by_tree(int depth) {
    if (depth == 0) return NULL;
    struct node *left = by_tree(depth - 1), *right = by_tree(depth - 1);
    struct node *node = layer_get(sizeof *node + (size_t)depth);
    truth_block(HERE(HEAP), node, sizeof *node + (size_t)depth);
    node->left = left;
    node->right = right;
    return node;
}

static void forget_tree(struct node *node) {
    if (!node) return;
    forget_tree(node->left);
    forget_tree(node->right);
    truth_release(node);
}

// A call that is left by a jump gives nothing, and does not swallow the calls after it.
SITE static void by_jump(void) {
    jmp_buf out;
    if (setjmp(out) == 0) layer_jumps(100, &out);
}

static void *work(void *unused) {
    (void)unused;
    for (int round = 1; round <= 40; round++) {
        void *got = by_get((size_t)round * 10), *many = by_many(3, (size_t)round), *tried = by_try(round * 100);
        void *same = by_same((size_t)round * 7), *own = by_malloc((size_t)round * 1000);
        truth_require(by_try(0) == NULL && by_try(-round) == NULL, "layer_try gave something for nothing");
        got = by_resize(got, (size_t)round * 500);
        truth_require(by_resize(many, SIZE_MAX / 2 + 1) == NULL, "a huge block was given");
        if (round % 2 == 0) by_resize(got, 0);
        if (round % 3 == 0) put(many);
        if (round % 4 == 0) put(tried);
        by_jump();
        if (round % 5 == 0) release(own);
        if (round % 7 == 0) {
            truth_release(same);
            layer_put_same(same);
        }
        // The C library's functions know blocks of the same address, too.
        if (round % 11 == 0) release(by_same(77));
        put(by_resize(NULL, (size_t)round));
    }
    struct garbage *garbage = calloc(1, sizeof *garbage);
    for (int i = 0; i < GARBAGE; i++) {
        garbage->of_layer[i] = i % 2 ? by_get(64) : by_many(2, 32);
        garbage->of_library[i] = by_malloc(96);
    }
    by_collecting(4242, garbage);
    struct node *tree = by_tree(8), *kept = by_tree(4);
    forget_tree(tree);
    layer_put_tree(tree);
    (void)kept;
    put(NULL);
    layer_put_tree(NULL);
    return NULL;
}

static pthread_barrier_t worked;

// Stays until the process ends: at a thread's end the C library frees once more what it had kept for it.
static void *work_and_stay(void *unused) {
    work(unused);
    pthread_barrier_wait(&worked);
    while (pause()) {}
    return NULL;
}

int main(int argc, char **argv) {
    // With the argument `late` the library is loaded while it runs; heaptide is given the time to see it.
    int is_late = truth_told(argc, argv, "late");
    if (!is_late) load(argv[argc - 1]);
    truth_begin(argc, argv);
    if (is_late) {
        load(argv[argc - 1]);
        truth_say("loaded\n");
        truth_listen();
    }
    pthread_barrier_init(&worked, NULL, 3);
    pthread_t threads[2];
    for (int i = 0; i < 2; i++) truth_require(pthread_create(&threads[i], NULL, work_and_stay, NULL) == 0, "no thread");
    work(NULL);
    pthread_barrier_wait(&worked);
    for (int i = 0; i < 5; i++) by_arena(100);
    layer_arena_end();
    truth_end();
    return 0;
}
