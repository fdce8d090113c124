// C++ without frame pointers: random walks through virtual calls, lambdas, std::function, comparators, containers,
// and exceptions that are caught and thrown again; allocations in catch blocks, and in destructors on the way there.
#include "stacks.h"

#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace {

constexpr int DEEPEST = 40;
constexpr int THREADS = 4;

struct Walk {
    uint64_t random;
    int left;
    uint32_t below(uint32_t limit) { return stacks_random(&random) % limit; }
    int onward();
};

// --- What allocates: a function, a constructor, an operator, and an allocator of containers.

LEAF int by_malloc(size_t size) {
    STACK_OF(STACKS_HEAP);
    void *block = malloc(size);
    USED(block);
    free(block);
    return 1;
}

struct Buffer {
    void *block;
    LEAF explicit Buffer(size_t size) {
        STACK_OF(STACKS_HEAP);
        block = malloc(size);
        USED(block);
    }
    ~Buffer() { free(block); }
    Buffer(const Buffer &) = delete;
    Buffer &operator=(const Buffer &) = delete;
};

struct Own {
    long words[5];
    LEAF static void *operator new(size_t size) {
        STACK_OF(STACKS_HEAP);
        void *block = malloc(size);
        USED(block);
        return block;
    }
    LEAF static void operator delete(void *block) { free(block); }
};

template <class T> struct Recorded {
    using value_type = T;
    Recorded() = default;
    template <class U> Recorded(const Recorded<U> &) {}
    LEAF T *allocate(size_t count) {
        STACK_OF(STACKS_HEAP);
        void *block = malloc(count * sizeof(T));
        USED(block);
        return static_cast<T *>(block);
    }
    void deallocate(T *block, size_t) { free(block); }
    template <class U> bool operator==(const Recorded<U> &) const { return true; }
    template <class U> bool operator!=(const Recorded<U> &) const { return false; }
};

int in_vector(Walk &walk) {
    std::vector<int, Recorded<int>> numbers;
    for (uint32_t i = 0; i < 3 + walk.below(30); i++) numbers.push_back(static_cast<int>(i));
    return numbers.back();
}

int in_map(Walk &walk) {
    std::map<int, int, std::less<>, Recorded<std::pair<const int, int>>> map;
    for (int i = 0; i < 5; i++) map[static_cast<int>(walk.below(100))] = i;
    return map.begin()->second;
}

int in_string(Walk &walk) {
    std::basic_string<char, std::char_traits<char>, Recorded<char>> text;
    for (uint32_t i = 0; i < 20 + walk.below(60); i++) text += 'x';
    return text.back();
}

int in_shared(Walk &walk) {
    auto shared = std::allocate_shared<std::string>(Recorded<std::string>(), walk.below(9), 'x');
    return static_cast<int>(shared->size());
}

int in_new(Walk &walk) {
    std::unique_ptr<Own> own(new Own{});
    own->words[2] = walk.below(3);
    return static_cast<int>(own->words[walk.below(5)]);
}

int in_constructor(Walk &walk) {
    Buffer first(16 + walk.below(100)), second(16 + walk.below(100));
    return first.block < second.block;
}

using Function = int (*)(Walk &);

int leaf(Walk &walk) {
    static constexpr Function leaves[] = {
        in_vector, in_map, in_string, in_shared, in_new, in_constructor, [](Walk &w) { return by_malloc(20 + w.below(9)) + 1; },
    };
    return leaves[walk.below(std::size(leaves))](walk) + 1;
}

// --- The functions in between.

struct Animal {
    virtual ~Animal() = default;
    virtual int step(Walk &walk) = 0;
};
struct Dog : Animal {
    int step(Walk &walk) override { return walk.onward() + 1; }
};
struct Tail {
    virtual ~Tail() = default;
    virtual int wag(Walk &walk) = 0;
    int weight = 3;
};
// Called by a thunk when it is called as a Tail.
struct Cat : Animal, Tail {
    int step(Walk &walk) override { return wag(walk) + 1; }
    int wag(Walk &walk) override { return walk.onward() + weight; }
};

int by_virtual_call(Walk &walk) {
    std::unique_ptr<Animal> animal;
    if (walk.below(2)) animal = std::make_unique<Dog>();
    else animal = std::make_unique<Cat>();
    return animal->step(walk) + 1;
}

int by_thunk(Walk &walk) {
    Cat cat;
    Tail *tail = &cat;
    USED(tail);
    return tail->wag(walk) + 1;
}

int by_lambda(Walk &walk) {
    int a = 1, b = static_cast<int>(walk.below(5));
    auto lambda = [&](int c) { return walk.onward() + a + b + c; };
    return lambda(2) + lambda(3) * 0;
}

int by_function(Walk &walk) {
    long large[6] = {1, 2, 3, 4, 5, static_cast<long>(walk.below(7))};
    std::function<int(int)> function = [large, &walk](int more) { return walk.onward() + static_cast<int>(large[5]) + more; };
    return function(1) + 1;
}

int by_sort(Walk &walk) {
    int numbers[24];
    for (int &number : numbers) number = static_cast<int>(walk.below(1000));
    int calls = static_cast<int>(walk.below(30));
    std::sort(std::begin(numbers), std::end(numbers), [&](int left, int right) {
        if (calls-- == 0) USED(walk.onward());
        return left < right;
    });
    return numbers[0];
}

template <int N> struct Nested {
    __attribute__((noinline)) static int step(Walk &walk) { return Nested<N - 1>::step(walk) + N; }
};
template <> struct Nested<0> {
    __attribute__((noinline)) static int step(Walk &walk) { return walk.onward() + 1; }
};

int by_member(Walk &walk) {
    struct Local {
        int x = 2;
        __attribute__((noinline)) int member(Walk &walk) const { return walk.onward() + x; }
    };
    int (Local::*member)(Walk &) const = &Local::member;
    Local local;
    USED(&member);
    return (local.*member)(walk) + 1;
}

// --- Exceptions.

struct Guard {
    Walk &walk;
    ~Guard() { USED(by_malloc(32 + walk.below(9))); }
};

// Its destructor walks on while the exception is on its way.
struct Walker {
    Walk &walk;
    ~Walker() { USED(walk.onward()); }
};

// On its way out of a catch block, through the C++ library, it allocates.
struct Heavy : std::runtime_error {
    Walk *walk;
    explicit Heavy(Walk *walk) : runtime_error("heavy"), walk(walk) {}
    Heavy(const Heavy &) = default;
    ~Heavy() override {
        if (walk) USED(by_malloc(48 + walk->below(9)));
    }
};

__attribute__((noinline)) int throws(Walk &walk, int depth) {
    Guard guard{walk};
    if (depth == 0) {
        if (walk.below(2)) throw Heavy(&walk);
        throw std::string("a light one");
    }
    return throws(walk, depth - 1) + 1;
}

int by_catch(Walk &walk) {
    try {
        return throws(walk, static_cast<int>(walk.below(5)));
    } catch (const std::exception &error) {
        return walk.onward() + (error.what() != nullptr);
    } catch (...) {
        return walk.onward() + 2;
    }
}

int by_catch_and_throw_again(Walk &walk) {
    try {
        try {
            return throws(walk, 1);
        } catch (...) {
            USED(by_malloc(24));
            throw;
        }
    } catch (const Heavy &heavy) {
        return walk.onward() + (heavy.walk != nullptr);
    } catch (const std::string &text) {
        return walk.onward() + static_cast<int>(text.size());
    }
}

int by_destructor(Walk &walk) {
    try {
        Walker walker{walk};
        throw 7;
    } catch (int number) {
        return number;
    }
}

int by_thrown_value(Walk &walk) {
    int result = 0;
    for (int i = 0; i < 2; i++) {
        try {
            if (i == 1) throw i;
            result += by_malloc(16);
        } catch (int number) {
            result += walk.onward() + number;
        }
    }
    return result;
}

} // namespace

__attribute__((noinline)) int Walk::onward() {
    static constexpr Function steps[] = {
        by_virtual_call, by_thunk,      by_lambda, by_function,     by_sort,       by_member,
        by_catch,        by_destructor, by_catch_and_throw_again,   by_thrown_value, Nested<3>::step,
    };
    if (left-- <= 0) return leaf(*this) + 1;
    return steps[below(std::size(steps))](*this) + 1;
}

static void walks(uint64_t seed, int count) {
    Walk walk{seed * 0x9e3779b97f4a7c15u, 0};
    for (int i = 0; i < count; i++) {
        walk.left = static_cast<int>(walk.below(DEEPEST));
        USED(walk.onward());
    }
}

// The argument: the number of walks of each thread.
int main(int argc, char **argv) {
    int count = argc > 2 ? atoi(argv[2]) : 20;
    // The first exception loads what later ones need.
    try {
        throw 1;
    } catch (int) {
    }
    stacks_begin();
    // Alone first: while one thread changes the mappings, the kernel does not tell another what is mapped where.
    walks(17, count);
    {
        std::vector<std::thread> threads;
        for (uint64_t i = 1; i <= THREADS; i++) threads.emplace_back(walks, i, count);
        for (auto &thread : threads) thread.join();
    }
    stacks_end();
    return 0;
}
