// Programs whose containers grow, as the standard library grows them.
#include "grows.h"

#include <cstddef>
#include <string>
#include <unordered_map>
#include <vector>

// The standard allocator, which tells the account what it does.
template <class T> struct counting {
    using value_type = T;
    counting() = default;
    template <class U> counting(const counting<U> &) {}
    T *allocate(std::size_t count) {
        held_more(count * sizeof(T));
        return static_cast<T *>(::operator new(count * sizeof(T)));
    }
    void deallocate(T *start, std::size_t count) {
        held_less(count * sizeof(T));
        ::operator delete(start);
    }
    template <class U> bool operator==(const counting<U> &) const { return true; }
    template <class U> bool operator!=(const counting<U> &) const { return false; }
};

using text = std::basic_string<char, std::char_traits<char>, counting<char>>;
using sessions = std::unordered_map<uint64_t, text, std::hash<uint64_t>, std::equal_to<uint64_t>,
                                    counting<std::pair<const uint64_t, text>>>;

// Whoever logs in is remembered; nobody is ever forgotten, and all are still reachable.
SITE static void remember_session(sessions &map, uint64_t user, std::size_t length) {
    uint64_t before = held_bytes;
    map.emplace(user, text(length, 's'));
    leak_site = __func__;
    leaked_bytes += held_bytes - before;
    leaked_blocks++;
}

static void unbounded_map(struct life *life) {
    static sessions map;
    churn churn = some_churn(&life->chance);
    double logins = between(&life->chance, 60, 200);
    double length = between(&life->chance, 1.5, 4) * level(&churn) / (logins * life->seconds);
    do {
        serve(life, &churn, 1);
        for (long i = arrivals(life, logins); i > 0; i--)
            remember_session(map, bits(&life->chance), 16 + std::size_t(length * between(&life->chance, 0.5, 1.5)));
    } while (step(life));
    escape(&map);
}

struct sample {
    double time, value;
    uint64_t tags[2];
};

using samples = std::vector<sample, counting<sample>>;

SITE static void record_sample(samples &vector, double time) {
    vector.push_back({time, 1.0, {0, 0}});
    leak_site = __func__;
    leaked_bytes = vector.capacity() * sizeof(sample);
    leaked_blocks = 1;
}

SITE static void load_sample(samples &vector, double time) { vector.push_back({time, 1.0, {0, 0}}); }

// A vector of samples and little else. `until`: the share of the time after which no more come.
static void vector(struct life *life, double until, void (*push)(samples &, double)) {
    static samples vector;
    churn churn = some_churn(&life->chance);
    churn.size = scale(&life->chance, 100, 400);
    double bytes = scale(&life->chance, 4, 20) * level(&churn);
    double rate = bytes / sizeof(sample) / (until * life->seconds);
    do {
        serve(life, &churn, 1);
        if (over(life) >= until) continue;
        for (long i = arrivals(life, rate); i > 0; i--) push(vector, over(life));
    } while (step(life));
    escape(&vector);
}

static void unbounded_vector(struct life *life) { vector(life, 1, record_sample); }

static void bounded_vector(struct life *life) { vector(life, between(&life->chance, 0.08, 0.18), load_sample); }

static const kind kinds[] = {
    {"unbounded-map", unbounded_map},
    {"unbounded-vector", unbounded_vector},
    {"bounded-vector", bounded_vector},
    {nullptr, nullptr},
};

int main(int argc, char **argv) { return grows_main(argc, argv, kinds); }
