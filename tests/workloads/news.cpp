// operator new and delete in all their forms, whoever has written them: the C++ library or an allocator. With the argument
// `fail` some of them throw.
#include "truth.h"

#include <new>

struct alignas(128) Wide {
    char bytes[300];
};

SITE static char *plain(size_t size) {
    char *block = static_cast<char *>(operator new(size));
    truth_block(HERE(HEAP), block, size);
    return block;
}

SITE static char *array(size_t size) {
    char *block = new char[size];
    truth_block(HERE(HEAP), block, size);
    return block;
}

SITE static char *quiet(size_t size) {
    char *block = new (std::nothrow) char[size];
    truth_block(HERE(HEAP), block, size);
    return block;
}

SITE static Wide *aligned() {
    Wide *block = new Wide;
    truth_block(HERE(HEAP), block, sizeof(Wide));
    return block;
}

SITE static Wide *aligned_quietly() {
    Wide *block = new (std::nothrow) Wide[3];
    truth_block(HERE(HEAP), block, 3 * sizeof(Wide));
    return block;
}

// Outside of every site: the exceptions themselves are allocated, too.
__attribute__((noinline)) static void fail() {
    volatile size_t huge = PTRDIFF_MAX;
    truth_require(operator new(huge, std::nothrow) == nullptr, "a huge new succeeded");
    try {
        operator delete(operator new(huge));
        truth_fail("a huge new did not throw");
    } catch (std::bad_alloc &) {
    }
}

int main(int argc, char **argv) {
    truth_begin(argc, argv);
    for (size_t size = 1; size < 400000; size = size * 5 / 4 + 1) {
        for (int way = 0; way < 6; way++) {
            char *blocks[] = {plain(size), array(size), quiet(size)};
            for (char *block : blocks) {
                if (way == 5) continue;
                truth_release(block);
                if (way == 0) operator delete(block);
                if (way == 1) operator delete(block, size);
                if (way == 2) operator delete[](block);
                if (way == 3) operator delete[](block, size);
                if (way == 4) operator delete(block, std::nothrow);
            }
        }
        Wide *wide = aligned();
        truth_release(wide);
        delete wide;
        wide = aligned_quietly();
        truth_release(wide);
        delete[] wide;
        wide = aligned();
        truth_release(wide);
        operator delete(wide, std::align_val_t(alignof(Wide)), std::nothrow);
        aligned();
        operator delete(static_cast<void *>(nullptr));
        if (truth_told(argc, argv, "fail")) fail();
    }
    truth_end();
    // What the program keeps is kept to the end.
    _exit(0);
}
