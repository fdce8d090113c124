// Stands in for CUDA's runtime library: the same functions, with the same arguments and results, of memory that nobody
// may touch, as that of a device. Two million bytes are all that it has.
#include <stddef.h>
#include <stdint.h>

enum { SUCCESS = 0, INVALID_VALUE = 1, OUT_OF_MEMORY = 2, BLOCKS = 4096 };

static const uintptr_t device = 0x7f0000000000u;
static struct {
    size_t size;
} blocks[BLOCKS];
static size_t used, next;

int cudaMalloc(void **out, size_t size) {
    // The real one stores something else when it fails, too.
    *out = out;
    if (size > 2000000 - used || next == BLOCKS) return OUT_OF_MEMORY;
    blocks[next].size = size;
    used += size;
    *out = (void *)(device + next++ * 0x1000000);
    return SUCCESS;
}

int cudaMallocManaged(void **out, size_t size, unsigned flags) { return flags ? cudaMalloc(out, size) : INVALID_VALUE; }

int cudaMallocPitch(void **out, size_t *pitch, size_t width, size_t height) {
    *pitch = (width + 511) / 512 * 512;
    return cudaMalloc(out, *pitch * height);
}

int cudaFree(void *block) {
    if (!block) return SUCCESS;
    size_t index = ((uintptr_t)block - device) / 0x1000000;
    if (index >= next || !blocks[index].size) return INVALID_VALUE;
    used -= blocks[index].size;
    blocks[index].size = 0;
    return SUCCESS;
}
