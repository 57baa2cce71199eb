// The interned profile: equal things have equal ids, stacks come back as they went in.
#include "pyagent/profile/profile.hpp"

#include "support/catch.hpp"

using namespace std::chrono_literals;
namespace profile = pyagent::profile;

TEST_CASE("Equal strings, frames and stacks have equal ids", "[profile]") {
  profile::Profile p;
  CHECK(p.intern_string("") == 0);
  const auto f = p.intern_string("f");
  CHECK(p.intern_string("f") == f);
  CHECK(p.string(f) == "f");
  const auto frame = p.intern_frame({.name = f, .line = 3});
  CHECK(p.intern_frame({.name = f, .line = 3}) == frame);
  CHECK(p.intern_frame({.name = f, .line = 4}) != frame);
  CHECK(p.intern_frame({.name = f, .line = 3, .column = 1}) != frame);
  const auto stack = p.intern_stack(0, frame);
  CHECK(p.intern_stack(0, frame) == stack);
  CHECK(p.intern_stack(stack, frame) != stack);
}

TEST_CASE("A stack's frames come back root first", "[profile]") {
  profile::Profile p;
  const auto root = p.intern_frame({.name = p.intern_string("root")});
  const auto leaf = p.intern_frame({.name = p.intern_string("leaf")});
  const auto stack = p.intern_stack(p.intern_stack(0, root), leaf);
  CHECK(p.frames_of(stack) == std::vector<profile::FrameId>{root, leaf});
  std::vector<profile::FrameId> reused{7, 7, 7};
  p.frames_of(stack, reused);
  CHECK(reused == std::vector<profile::FrameId>{root, leaf});
  CHECK(p.frames_of(0).empty());
}

TEST_CASE("Weights add up and stop at the longest time", "[profile]") {
  CHECK(profile::add_weights(1ns, 2ns) == 3ns);
  CHECK(profile::add_weights(std::chrono::nanoseconds::max(), 2ns) == std::chrono::nanoseconds::max());
  profile::Thread thread;
  thread.samples = {{.weight = 10ms}, {.weight = 5ms}};
  CHECK(profile::total_weight(thread) == 15ms);
}
