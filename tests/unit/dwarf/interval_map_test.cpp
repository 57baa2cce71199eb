// IntervalMap: the innermost of the ranges around an address.
#include "pyagent/dwarf/interval_map.hpp"

#include <algorithm>
#include <random>

#include "support/catch.hpp"

using pyagent::dwarf::Interval;
using pyagent::dwarf::IntervalMap;

TEST_CASE("the innermost range is found, and none outside", "[dwarf]") {
  const IntervalMap map{{{10, 100, 1, 0}, {20, 50, 2, 1}, {30, 40, 3, 2}, {60, 70, 4, 1}, {200, 210, 5, 0}}};
  const auto none = IntervalMap::none;
  const std::pair<std::uint64_t, std::uint32_t> wanted[] = {{0, none},
                                                            {9, none},
                                                            {10, 1},
                                                            {20, 2},
                                                            {30, 3},
                                                            {39, 3},
                                                            {40, 2},
                                                            {50, 1},
                                                            {60, 4},
                                                            {70, 1},
                                                            {99, 1},
                                                            {100, none},
                                                            {199, none},
                                                            {200, 5},
                                                            {209, 5},
                                                            {210, none},
                                                            {~std::uint64_t{0}, none}};
  for (const auto& [address, value] : wanted) {
    INFO(address);
    CHECK(map.find(address) == value);
  }
  CHECK(IntervalMap{}.find(5) == none);
}

TEST_CASE("of ranges with one begin the deeper is inside, and of equal ones the later", "[dwarf]") {
  const IntervalMap map{{{10, 20, 3, 2}, {10, 40, 1, 0}, {10, 30, 2, 1}, {50, 60, 4, 0}, {50, 60, 5, 0}}};
  CHECK(map.find(10) == 3);
  CHECK(map.find(20) == 2);
  CHECK(map.find(30) == 1);
  CHECK(map.find(50) == 5);
}

TEST_CASE("empty and reversed ranges are not there", "[dwarf]") {
  const IntervalMap map{{{10, 10, 1, 0}, {20, 15, 2, 0}}};
  CHECK(map.find(10) == IntervalMap::none);
  CHECK(map.find(17) == IntervalMap::none);
  CHECK(map.size() == 0);
}

TEST_CASE("of ranges that overlap the one that begins last is found, among those that are not over", "[dwarf]") {
  std::mt19937 random{7};
  for (int round = 0; round < 300; ++round) {
    std::vector<Interval> ranges(1 + random() % 12);
    for (std::uint32_t i = 0; i < ranges.size(); ++i) {
      const std::uint64_t begin = random() % 60;
      ranges[i] = {begin, begin + random() % 20, i, static_cast<std::uint32_t>(random() % 3)};
    }
    const IntervalMap map{ranges};
    for (std::uint64_t address = 0; address < 90; ++address) {
      // Asked of each range, without sorting or a stack.
      const Interval* best = nullptr;
      for (const Interval& range : ranges)
        if (range.begin <= address && address < range.end &&
            (best == nullptr || range.begin > best->begin ||
             (range.begin == best->begin && range.depth >= best->depth)))
          best = &range;
      REQUIRE(map.find(address) == (best == nullptr ? IntervalMap::none : best->value));
    }
  }
}
