// C++: containers, new in its forms, and exceptions. The program's own operator new keeps the account, for the site
// that the thread is in; it is built with frame pointers, which libstdc++'s is not.
#include "truth.h"

#include <map>
#include <memory>
#include <new>
#include <string>
#include <thread>
#include <vector>

static thread_local struct truth_site *current_site;

// The site of what is allocated while this lives.
struct At {
    struct truth_site *before = current_site;
    explicit At(const char *name) { current_site = truth_site(name, HEAP); }
    ~At() { current_site = before; }
    At(const At &) = delete;
    At &operator=(const At &) = delete;
};

SITE void *operator new(size_t size) {
    void *block = malloc(size);
    if (!block) throw std::bad_alloc();
    if (current_site) truth_block(current_site, block, size);
    return block;
}

SITE void *operator new(size_t size, std::align_val_t alignment) {
    void *block = aligned_alloc(static_cast<size_t>(alignment), size);
    if (!block) throw std::bad_alloc();
    if (current_site) truth_block(current_site, block, size);
    return block;
}

SITE void *operator new[](size_t size) { return operator new(size); }
SITE void *operator new[](size_t size, std::align_val_t alignment) { return operator new(size, alignment); }

static void release(void *block) {
    truth_release(block);
    free(block);
}

void operator delete(void *block) noexcept { release(block); }
void operator delete(void *block, std::align_val_t) noexcept { release(block); }
void operator delete(void *block, size_t) noexcept { release(block); }
void operator delete(void *block, size_t, std::align_val_t) noexcept { release(block); }
void operator delete[](void *block) noexcept { release(block); }
void operator delete[](void *block, std::align_val_t) noexcept { release(block); }
void operator delete[](void *block, size_t) noexcept { release(block); }
void operator delete[](void *block, size_t, std::align_val_t) noexcept { release(block); }

// std::allocator under another name: std::string's own code would come out of libstdc++, without frame pointers.
template <class T> struct Allocator {
    using value_type = T;
    Allocator() = default;
    template <class U> Allocator(const Allocator<U> &) {}
    T *allocate(size_t count) { return static_cast<T *>(operator new(count * sizeof(T))); }
    void deallocate(T *block, size_t) { operator delete(block); }
    bool operator==(const Allocator &) const { return true; }
    bool operator!=(const Allocator &) const { return false; }
};

using String = std::basic_string<char, std::char_traits<char>, Allocator<char>>;

struct alignas(128) Wide {
    char bytes[300];
};

static std::vector<std::vector<int>> vectors;
static std::map<int, String> names;
static std::vector<std::shared_ptr<String>> shared;
static Wide *wide;
static char *characters;

SITE static void grow_vectors(int count) {
    At at(__func__);
    for (int i = 0; i < count; i++) {
        vectors.emplace_back();
        for (int n = 0; n < i; n++) vectors.back().push_back(n);
    }
}

SITE static void shrink_vectors() {
    At at(__func__);
    vectors.resize(vectors.size() / 2);
    vectors.shrink_to_fit();
}

SITE static void fill_map(int count) {
    At at(__func__);
    for (int i = 0; i < count; i++) names[i] = String(static_cast<size_t>(i), 'n');
}

SITE static void append_strings() {
    At at(__func__);
    for (auto &[number, name] : names) name += "a suffix that is longer than what a string keeps in itself";
}

SITE static void share_strings(int count) {
    At at(__func__);
    for (int i = 0; i < count; i++) shared.push_back(std::make_shared<String>(60, 's'));
}

SITE static void new_arrays() {
    At at(__func__);
    characters = new char[70000];
    delete[] new char[123];
}

SITE static void new_aligned() {
    At at(__func__);
    wide = new Wide;
    delete new Wide;
    delete[] new Wide[3];
}

struct Failure {
    std::vector<char> payload;
};

SITE static std::vector<char> failure_payload(size_t size) {
    At at(__func__);
    return std::vector<char>(size, 'f');
}

// Outside of every site: the exception itself comes from libstdc++, past operator new.
__attribute__((noinline)) static void fail(size_t size) { throw Failure{failure_payload(size)}; }

static std::vector<std::vector<char>> kept_payloads;

static void exceptions() {
    kept_payloads.reserve(100);
    for (size_t i = 0; i < 100; i++) {
        try {
            fail(200 + i);
        } catch (Failure &failure) {
            if (i % 2) kept_payloads.push_back(std::move(failure.payload));
        }
    }
}

SITE static void thread_work() {
    At at(__func__);
    for (int i = 0; i < 500; i++) {
        auto *kept = new String(100, 't');
        if (i % 5) delete kept;
    }
}

int main(int argc, char **argv) {
    truth_begin(argc, argv);
    grow_vectors(200);
    shrink_vectors();
    fill_map(300);
    append_strings();
    for (int i = 0; i < 100; i++) names.erase(i);
    share_strings(50);
    shared.resize(20);
    new_arrays();
    new_aligned();
    exceptions();
    std::thread first(thread_work), second(thread_work);
    first.join();
    second.join();
    truth_end();
    // What the program keeps is kept to the end.
    _exit(0);
}
