// Random stacks made of what C++ adds to C. Argument: how many.
#include "capture.h"

#include <algorithm>
#include <cstdlib>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace {

unsigned long state = 88172645463325252UL;
volatile unsigned long sink;

unsigned below(unsigned limit) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return static_cast<unsigned>(state >> 33) % limit;
}

void descend(unsigned depth);

struct Base {
    virtual ~Base() = default;
    virtual void go(unsigned depth) = 0;
};

struct Derived : Base {
    std::string text = "some text that is too long to be kept within";
    void go(unsigned depth) override {
        descend(depth - 1);
        sink += text.size();
    }
};

struct Destroyed {
    unsigned depth;
    ~Destroyed() {
        if (depth > 0)
            descend(depth - 1);
        sink++;
    }
};

[[gnu::noinline]] void thrown(unsigned depth) { throw std::runtime_error(std::to_string(depth)); }

[[gnu::noinline]] void caught(unsigned depth) {
    try {
        thrown(depth);
    } catch (const std::exception &error) {
        descend(depth - 1);
        sink += error.what()[0];
    }
}

// Runs a destructor while an exception is on its way.
[[gnu::noinline]] void unwinding(unsigned depth) {
    try {
        Destroyed destroyed{depth};
        thrown(depth);
    } catch (const std::exception &) {
        sink++;
    }
}

[[gnu::noinline]] void overridden(unsigned depth) {
    std::unique_ptr<Base> object = std::make_unique<Derived>();
    object->go(depth);
}

[[gnu::noinline]] void destroyed(unsigned depth) { Destroyed object{depth}; }

[[gnu::noinline]] void closure(unsigned depth) {
    std::string kept = "kept by the closure, and too long to be kept within";
    std::function<void(unsigned)> call = [&kept](unsigned depth) {
        descend(depth - 1);
        sink += kept.size();
    };
    call(depth);
}

[[gnu::noinline]] void sorted(unsigned depth) {
    std::vector<int> numbers = {3, 1, 2};
    std::sort(numbers.begin(), numbers.end(), [&depth](int a, int b) {
        unsigned now = std::exchange(depth, 0);
        if (now > 0)
            descend(now - 1);
        return a < b;
    });
    sink += numbers[0];
}

[[gnu::noinline]] void aligned(unsigned depth) {
    alignas(64) volatile double memory[8] = {1.0};
    descend(depth - 1);
    sink += static_cast<unsigned long>(memory[0]);
}

[[gnu::noinline]] void threaded(unsigned depth) {
    std::thread([depth] { descend(depth - 1); }).join();
}

[[gnu::noinline]] void descend(unsigned depth) {
    static void (*volatile const steps[])(unsigned) = {caught,  unwinding, overridden, destroyed,
                                                       closure, sorted,    aligned,    threaded};
    if (depth == 0)
        capture();
    else
        steps[below(sizeof steps / sizeof *steps)](depth);
    sink++;
}

} // namespace

int main(int count, char **arguments) {
    capture_begin();
    for (int left = count > 1 ? std::atoi(arguments[1]) : 1; left > 0; left--)
        descend(below(24) + 1);
}
