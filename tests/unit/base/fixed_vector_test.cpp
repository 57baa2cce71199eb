// A vector inside itself.
#include "pyagent/base/fixed_vector.hpp"

#include <type_traits>
#include <vector>

#include "support/catch.hpp"

using pyagent::FixedVector;

TEST_CASE("a fixed vector takes as many as it has room for and says when it has none", "[base]") {
  FixedVector<int, 3> items;
  CHECK(items.empty());
  CHECK(items.capacity() == 3);
  for (int i = 1; i <= 3; ++i) CHECK(items.push_back(i));
  CHECK(!items.push_back(4));
  CHECK(std::vector<int>(items.begin(), items.end()) == std::vector<int>{1, 2, 3});
  CHECK(items.back() == 3);
  items.pop_back();
  CHECK(items.size() == 2);
  items.back() = 9;
  CHECK(items[1] == 9);
  items.clear();
  CHECK(items.empty());
  CHECK(items.begin() == items.end());
  CHECK(items.push_back(5));
  CHECK(items[0] == 5);
}

TEST_CASE("a fixed vector is plain data", "[base]") {
  STATIC_REQUIRE(std::is_trivially_copyable_v<FixedVector<int, 3>>);
  constexpr int sum = [] {
    FixedVector<int, 4> items;
    items.push_back(1);
    items.push_back(2);
    int total = 0;
    for (const int item : items) total += item;
    return total;
  }();
  STATIC_REQUIRE(sum == 3);
}
