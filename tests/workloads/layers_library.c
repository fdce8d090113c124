// An allocator on top of the C library's, with the habits of real ones: headers before its blocks, results through a
// pointer, blocks that are freed while others are asked for, and calls that are left by a jump.
#define _GNU_SOURCE 1
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { HEADER = 32 };

void *layer_get(size_t size) {
    char *block = malloc(size + HEADER);
    return block ? block + HEADER : NULL;
}

void *layer_many(void *unused, size_t count, size_t size) {
    (void)unused;
    char *block = calloc(1, count * size + HEADER);
    return block ? block + HEADER : NULL;
}

// 0 when it succeeds; something is stored in any case.
int layer_try(void **out, int size) {
    *out = out;
    if (size <= 0) return -1;
    *out = layer_get((size_t)size);
    return 0;
}

// Returns together with malloc, to which it jumps.
void *layer_same(size_t size);
__asm__(".text\n.globl layer_same\n.type layer_same, @function\nlayer_same:\n.cfi_startproc\njmp malloc@PLT\n"
        ".cfi_endproc\n.size layer_same, . - layer_same\n");

void layer_put(int unused, void *block) {
    (void)unused;
    if (block) free((char *)block - HEADER);
}

void layer_put_same(void *block) { free(block); }

// As realloc does it; another way than by the C library's realloc, so that it allocates and frees.
void *layer_resize(void *block, size_t size) {
    if (!block) return layer_get(size);
    if (size == 0) {
        layer_put(0, block);
        return NULL;
    }
    if (size > PTRDIFF_MAX / 2) return NULL;
    char *moved = malloc(size + HEADER);
    if (!moved) return NULL;
    memcpy(moved + HEADER, block, size < 16 ? size : 16);
    free((char *)block - HEADER);
    return moved + HEADER;
}

void *layer_collecting(size_t size, void (*collect)(void *), void *what) {
    collect(what);
    return layer_get(size);
}

struct layer_node {
    struct layer_node *left, *right;
};

void layer_put_tree(struct layer_node *node) {
    if (!node) return;
    layer_put_tree(node->left);
    layer_put_tree(node->right);
    layer_put(0, node);
}

enum { ARENA = 1 << 16 };
static char *arena;
static size_t arena_used;

// From an arena that the first call makes.
void *layer_arena(size_t size) {
    if (!arena) arena = malloc(ARENA);
    arena_used += 64 + (size + 15) / 16 * 16;
    return arena_used <= ARENA ? arena + arena_used - size : NULL;
}

// No function that anybody names.
void layer_arena_end(void) { free(arena); }

void *layer_jumps(size_t size, jmp_buf *out) {
    void *lost = malloc(size);
    free(lost);
    longjmp(*out, 1);
}
