#include "shapes.hpp"

#include <algorithm>
#include <cstdio>
#include <numeric>
#include <string>
#include <vector>

extern "C" int counted(int from);

namespace {

template <class... T>
int count_all(const T&... values) {
  int count = 0;
  ((count += static_cast<int>(values.size())), ...);
  return count;
}

struct Word {
  std::string text;
  bool operator<(const Word& other) const { return text < other.text; }
};

static int level_three(int value) { return value * 3 + counted(value); }
static inline int level_two(int value) { return level_three(value) - level_three(value + 1); }
static inline int level_one(int value) {
  int sum = 0;
  for (int i = 0; i < value; ++i) sum += level_two(i);
  return sum;
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<Word> words;
  for (int i = 0; i < argc; ++i) words.push_back({argv[i]});
  std::sort(words.begin(), words.end(), [](const Word& a, const Word& b) { return b < a; });
  shapes::Grid<long, 4> grid{};
  std::vector<int> numbers(16);
  std::iota(numbers.begin(), numbers.end(), argc);
  for (std::size_t i = 0; i < 16; ++i) grid.cells[i / 4][i % 4] = numbers[i];
  const shapes::Circle circle{2.0};
  const shapes::Shape* all[] = {&circle, &circle};
  try {
    std::printf("%f %ld %d\n", shapes::total_area(all, 2), shapes::checked_sum(grid, 1 << argc), count_all(words, numbers));
  } catch (int value) {
    std::printf("%d\n", value);
  }
  return level_one(argc) + plain_entry(argc) == 12345;
}
