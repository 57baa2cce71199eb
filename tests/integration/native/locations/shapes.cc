#include "shapes.hpp"

#include <cstdio>
#include <cstdlib>

namespace shapes {
namespace detail {

static __attribute__((noinline, cold)) void complain(const char* text, int value) {
  std::fprintf(stderr, "%s %d\n", text, value);
  if (value > 100) std::abort();
}

inline void require(bool holds, const char* text, int value) {
  if (!holds) {
    complain(text, value);
    throw value;
  }
}

}  // namespace detail

double total_area(const Shape* const* shapes, std::size_t count) {
  double total = 0;
  for (std::size_t i = 0; i < count; ++i) {
    detail::require(shapes[i] != nullptr, "missing", static_cast<int>(i));
    total += shapes[i]->area();
  }
  return total;
}

long checked_sum(const Grid<long, 4>& grid, int limit) {
  long sum = 0;
  const auto add = [&](long value) {
    detail::require(value < limit, "too large", static_cast<int>(value));
    sum += value;
  };
  grid.for_each(add);
  for (std::size_t row = 0; row < 4; ++row) add(grid.sum_row(row));
  return sum;
}

class Counter {
 public:
  Counter();
  ~Counter();
  struct Step {
    int by;
    __attribute__((noinline)) int apply(int to) const { return to + by * by; }
  };
  static __attribute__((noinline)) int count(int from) {
    const Step step{from % 3};
    return step.apply(from) + Step{2}.apply(from);
  }

 private:
  int* value_;
};
Counter::Counter() : value_(new int(5)) {}
Counter::~Counter() { delete value_; }

}  // namespace shapes

extern "C" int counted(int from) {
  const shapes::Counter counter;
  struct Local {
    static __attribute__((noinline)) int twice(int value) { return value * 2 + 1; }
  };
  return shapes::Counter::count(from) + Local::twice(from);
}
