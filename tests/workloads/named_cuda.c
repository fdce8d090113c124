// CUDA's memory of a device, from a library that stands in for CUDA's; its path is the last argument.
#include "truth.h"

#include <dlfcn.h>

static int (*cudaMalloc)(void **, size_t);
static int (*cudaMallocManaged)(void **, size_t, unsigned);
static int (*cudaMallocPitch)(void **, size_t *, size_t, size_t);
static int (*cudaFree)(void *);

SITE static void *by_cudaMalloc(size_t size) {
    void *block = NULL;
    if (cudaMalloc(&block, size) != 0) return NULL;
    truth_block(HERE(HEAP), block, size);
    return block;
}

SITE static void *by_cudaMallocManaged(size_t size) {
    void *block = NULL;
    truth_require(cudaMallocManaged(&block, size, 0) == 1, "a wrong call succeeded");
    truth_require(cudaMallocManaged(&block, size, 1) == 0, "cudaMallocManaged");
    truth_block(HERE(HEAP), block, size);
    return block;
}

SITE static void *by_cudaMallocPitch(size_t width, size_t height) {
    void *block = NULL;
    size_t pitch = 0;
    truth_require(cudaMallocPitch(&block, &pitch, width, height) == 0, "cudaMallocPitch");
    truth_block(HERE(HEAP), block, width * height);
    return block;
}

static void release(void *block) {
    truth_release(block);
    truth_require(cudaFree(block) == 0, "cudaFree");
}

int main(int argc, char **argv) {
    void *library = dlopen(argv[argc - 1], RTLD_NOW);
    truth_require(library != NULL, "the library cannot be loaded");
#define LOAD(name) truth_require((*(void **)&name = dlsym(library, #name)) != NULL, #name)
    LOAD(cudaMalloc);
    LOAD(cudaMallocManaged);
    LOAD(cudaMallocPitch);
    LOAD(cudaFree);
    truth_begin(argc, argv);
    for (size_t round = 1; round <= 100; round++) {
        void *a = by_cudaMalloc(round * 100), *b = by_cudaMallocManaged(round * 10), *c = by_cudaMallocPitch(round, 3);
        truth_require(by_cudaMalloc(3000000) == NULL, "there is too much memory");
        if (round % 2 == 0) release(a);
        if (round % 3 == 0) release(b);
        if (round % 5 == 0) release(c);
    }
    release(NULL);
    truth_end();
    return 0;
}
