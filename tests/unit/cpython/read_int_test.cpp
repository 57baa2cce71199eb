// Heads of ints, from the words that CPython 3.11 and 3.14 keep in them.
#include "pyagent/cpython/read_int.hpp"

#include "pyagent/cpython/layouts.hpp"
#include "support/catch.hpp"
#include "support/failing_memory.hpp"
#include "support/fake_values.hpp"

using namespace pyagent;
using namespace pyagent::cpython;
using namespace pyagent::test;

TEST_CASE("decode_int_head takes sign and length from ob_size up to 3.11", "[cpython]") {
  CHECK(decode_int_head(layout_v3_11, 0).digits == 0);
  CHECK(decode_int_head(layout_v3_11, 2).digits == 2);
  CHECK_FALSE(decode_int_head(layout_v3_11, 2).is_negative);
  CHECK(decode_int_head(layout_v3_11, ~std::uint64_t{0} - 2).digits == 3);
  CHECK(decode_int_head(layout_v3_11, ~std::uint64_t{0} - 2).is_negative);
}

TEST_CASE("decode_int_head takes sign and length from lv_tag from 3.12 on", "[cpython]") {
  CHECK(decode_int_head(layout_v3_14, 1).digits == 0);
  CHECK(decode_int_head(layout_v3_14, 5).digits == 0);  // 4: a small int that lives for ever
  CHECK(decode_int_head(layout_v3_14, 2 << 3).digits == 2);
  CHECK_FALSE(decode_int_head(layout_v3_14, 2 << 3 | 4).is_negative);
  CHECK(decode_int_head(layout_v3_14, 3 << 3 | 2).digits == 3);
  CHECK(decode_int_head(layout_v3_14, 3 << 3 | 2).is_negative);
}

TEST_CASE("read_int_head refuses lengths that no int has", "[cpython]") {
  for (const Layout* layout : {&layout_v3_11, &layout_v3_14}) {
    FakeValues values{*layout};
    const Address object = values.integer(5);
    values.memory().put(object + layout->object.var_size, std::uint64_t{1} << 62);
    CHECK(read_int_head(values.memory(), *layout, object).error().code == Errc::wrong_type);
  }
}

TEST_CASE("read_int_digits gives the digits, and says when there are none", "[cpython]") {
  FakeValues values{layout_v3_14t};
  const Address object = values.integer(true, {1, 2, 3});
  std::array<std::uint32_t, 3> digits{};
  CHECK(read_int_digits(values.memory(), layout_v3_14t, object, digits) == Errc::ok);
  CHECK(digits == std::array<std::uint32_t, 3>{1, 2, 3});
  const FailingMemory failing{values.memory(), 0};
  CHECK(read_int_digits(failing, layout_v3_14t, object, digits) == Errc::unreadable);
}
