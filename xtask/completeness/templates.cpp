// Two hundred classes that use the standard library's templates, each with types of its own: minutes of work for a
// compiler. They stand side by side, as the classes of a large file do; a chain of templates, each of which needs the next,
// would take a compiler deeper than any stack is followed.
#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <regex>
#include <string>
#include <tuple>
#include <variant>
#include <vector>

template <int N> struct Part {
    int size = N;
};

template <int N> struct Class {
    std::map<std::string, std::vector<std::tuple<int, std::unique_ptr<Part<N>>>>> parts;
    std::function<int(int)> sum;

    int walk(int x) {
        sum = [x, this](int y) { return x + y + static_cast<int>(parts.size()); };
        parts[std::to_string(N)].emplace_back(x, std::make_unique<Part<N>>());
        std::variant<int, std::string, std::tuple<Part<N> *, int>> either = x;
        for (auto &[name, list] : parts)
            std::sort(list.begin(), list.end(), [](auto &a, auto &b) { return std::get<0>(a) < std::get<0>(b); });
        return sum(x) + std::visit([](auto &&) { return N; }, either);
    }
};

#define TEN(n)                                                                                                         \
    template struct Class<n>;                                                                                          \
    template struct Class<n + 1>;                                                                                      \
    template struct Class<n + 2>;                                                                                      \
    template struct Class<n + 3>;                                                                                      \
    template struct Class<n + 4>;                                                                                      \
    template struct Class<n + 5>;                                                                                      \
    template struct Class<n + 6>;                                                                                      \
    template struct Class<n + 7>;                                                                                      \
    template struct Class<n + 8>;                                                                                      \
    template struct Class<n + 9>;

TEN(0)
TEN(10)
TEN(20)
TEN(30)
TEN(40)
TEN(50)
TEN(60)
TEN(70)
TEN(80)
TEN(90)
TEN(100)
TEN(110)
TEN(120)
TEN(130)
TEN(140)
TEN(150)
TEN(160)
TEN(170)
TEN(180)
TEN(190)

bool matches(const std::string &text) { return std::regex_match(text, std::regex("a*b(c|d)?")); }
