// Durations as decimal numbers.
#include "pyagent/profile/seconds.hpp"

#include "support/catch.hpp"

using namespace std::chrono_literals;
using pyagent::profile::seconds_text;

TEST_CASE("seconds_text is exact and has no zeros at the end", "[profile]") {
  CHECK(seconds_text(0ns) == "0");
  CHECK(seconds_text(1ns) == "0.000000001");
  CHECK(seconds_text(10ms) == "0.01");
  CHECK(seconds_text(1500ms) == "1.5");
  CHECK(seconds_text(10s) == "10");
  CHECK(seconds_text(100'000'000'000'000'001ns) == "100000000.000000001");
  CHECK(seconds_text(std::chrono::nanoseconds::max()) == "9223372036.854775807");
}

TEST_CASE("seconds_text shows no negative time", "[profile]") {
  CHECK(seconds_text(-1ns) == "0");
  CHECK(seconds_text(std::chrono::nanoseconds::min()) == "0");
}
