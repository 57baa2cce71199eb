// RangePieces: the best of overlapping ranges, compared with a search through all of them.
#include "pyagent/elf/range_pieces.hpp"

#include <random>

#include "support/catch.hpp"

using namespace pyagent;

TEST_CASE("a better range hides the piece of a worse one that it lies upon", "[elf]") {
  const elf::RangePieces pieces{
      {{10, 50, 1, 100}, {20, 30, 2, 200}, {45, 60, 0, 300}, {70, 70, 9, 400}, {90, 80, 9, 500}}};
  CHECK_FALSE(pieces.find(9));
  CHECK(pieces.find(10) == 100u);
  CHECK(pieces.find(20) == 200u);
  CHECK(pieces.find(29) == 200u);
  CHECK(pieces.find(30) == 100u);
  CHECK(pieces.find(49) == 100u);
  CHECK(pieces.find(50) == 300u);
  CHECK_FALSE(pieces.find(60));
  CHECK_FALSE(pieces.find(70));
  CHECK_FALSE(pieces.find(85));
  CHECK(pieces.size() == 4);
}

TEST_CASE("random ranges give what a search through all of them gives", "[elf]") {
  std::mt19937 random{7};
  for (int round = 0; round < 200; ++round) {
    std::vector<elf::RankedRange> ranges;
    for (std::uint32_t i = 0; i < 30; ++i) {
      const std::uint64_t start = random() % 200;
      ranges.push_back({start, start + random() % 60, i, i});
    }
    const elf::RangePieces pieces{ranges};
    CHECK(pieces.size() <= 2 * ranges.size());
    for (std::uint64_t address = 0; address < 270; ++address) {
      std::optional<std::uint32_t> best;
      for (const auto& range : ranges)
        if (address >= range.start && address < range.end) best = range.value;  // the later, the better
      REQUIRE(pieces.find(address) == best);
    }
  }
}

TEST_CASE("ranges at the end of the address space are found", "[elf]") {
  constexpr std::uint64_t last = ~std::uint64_t{0};
  const elf::RangePieces pieces{{{last - 10, last, 0, 1}}};
  CHECK(pieces.find(last - 1) == 1u);
  CHECK_FALSE(pieces.find(last));
}
