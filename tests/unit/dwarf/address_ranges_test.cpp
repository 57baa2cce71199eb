// .debug_aranges, as compilers write it and damaged.
#include "pyagent/dwarf/address_ranges.hpp"

#include <string>
#include <tuple>
#include <vector>

#include "support/catch.hpp"
#include "support/debug_samples.hpp"

using namespace pyagent;

namespace {

using Range = std::tuple<std::uint64_t, std::uint64_t, std::uint64_t>;

std::vector<Range> read(const std::string& section) {
  std::vector<Range> ranges;
  const std::vector<std::byte> bytes = pyagent_test::bytes_of(section);
  dwarf::for_each_address_range(bytes, [&](std::uint64_t unit, std::uint64_t begin, std::uint64_t end) {
    ranges.emplace_back(unit, begin, end);
  });
  return ranges;
}

// readelf -wr
const std::vector<Range> wanted{{0, 0x1010, 0x102a}, {0, 0x1000, 0x1002}};

}  // namespace

TEST_CASE("the ranges of units are those that readelf prints", "[dwarf]") {
  CHECK(read(pyagent_test::gcc_dwarf_5().section(".debug_aranges")) == wanted);
}

TEST_CASE("what follows a set of another kind is still read", "[dwarf]") {
  const std::string section = pyagent_test::gcc_dwarf_5().section(".debug_aranges");
  std::string odd = section;
  odd[10] = 3;  // bytes of an address
  CHECK(read(odd + section) == wanted);
  odd[10] = 8, odd[11] = 4;  // bytes of a segment
  CHECK(read(odd + section) == wanted);
}

TEST_CASE("every cut of the ranges gives some of them", "[dwarf]") {
  const std::string section = pyagent_test::gcc_dwarf_5().section(".debug_aranges");
  for (std::size_t length = 0; length < section.size(); ++length) CHECK(read(section.substr(0, length)).size() <= 2);
}
