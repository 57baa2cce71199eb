// Who holds the GIL, for each way of telling.
#include "pyagent/cpython/gil.hpp"

#include <cstdint>

#include "pyagent/cpython/layouts.hpp"
#include "support/catch.hpp"
#include "support/failing_memory.hpp"
#include "support/fake_objects.hpp"

using namespace pyagent;
using namespace pyagent::cpython;
using namespace pyagent::test;

namespace {

constexpr Address mine{0x5000}, other{0x6000};

/// A runtime, an interpreter and its GIL.
struct FakeGil {
  explicit FakeGil(const Layout& its_layout) : layout(its_layout) {}

  template <memory::Memory S, memory::Memory M>
  bool is_held(const S& statics, const M& others, std::uint32_t state = 0) const {
    RawThread thread;
    thread.thread = mine;
    thread.interpreter = interpreter;
    thread.state = state;
    return holds_gil(statics, others, layout, runtime, current_thread, thread);
  }
  bool is_held(std::uint32_t state = 0) const { return is_held(memory, memory, state); }

  Layout layout;
  BlockMemory memory;
  Address runtime = memory.add(64 * 1024), current_thread = memory.add(8), interpreter = memory.add(512 * 1024),
          gil = memory.add(256);
};

}  // namespace

TEST_CASE("up to 3.6 a variable names the holder of the GIL", "[cpython]") {
  FakeGil fake{layout_v3_6};
  CHECK(!fake.is_held());
  fake.memory.put(fake.current_thread, other);
  CHECK(!fake.is_held());
  fake.memory.put(fake.current_thread, mine);
  CHECK(fake.is_held());
  const BlockMemory nothing;
  CHECK(fake.is_held(fake.memory, nothing));  // it is static
  CHECK(!fake.is_held(nothing, fake.memory));
}

TEST_CASE("from 3.7 to 3.11 the runtime names the holder of the GIL", "[cpython]") {
  for (const Layout* layout : {&layout_v3_7, &layout_v3_9, &layout_v3_11}) {
    FakeGil fake{*layout};
    const Address variable = fake.runtime + layout->runtime.tstate_current;
    fake.memory.put(fake.current_thread, mine);  // not the place to look
    CHECK(!fake.is_held());
    fake.memory.put(variable, mine);
    CHECK(fake.is_held());
    fake.memory.put(variable, other);
    CHECK(!fake.is_held());
    fake.memory.put(variable, mine);
    const BlockMemory nothing;
    CHECK(fake.is_held(fake.memory, nothing));
    CHECK(!fake.is_held(nothing, fake.memory));
  }
}

TEST_CASE("from 3.12 on the interpreter's GIL names its last holder, and whether it is locked", "[cpython]") {
  for (const Layout* layout : {&layout_v3_12, &layout_v3_13, &layout_v3_14, &layout_v3_15}) {
    FakeGil fake{*layout};
    CHECK(!fake.is_held());  // there is no GIL yet
    fake.memory.put(fake.interpreter + layout->interpreter.gil, fake.gil);
    CHECK(!fake.is_held());
    fake.memory.put(fake.gil + layout->gil.last_holder, mine);
    CHECK(!fake.is_held());  // it was, lately
    fake.memory.put(fake.gil + layout->gil.locked, std::int32_t{1});
    CHECK(fake.is_held());
    fake.memory.put(fake.gil + layout->gil.locked, std::int32_t{-1});  // no GIL was made yet
    CHECK(!fake.is_held());
    fake.memory.put(fake.gil + layout->gil.locked, std::int32_t{1});
    fake.memory.put(fake.gil + layout->gil.last_holder, other);
    CHECK(!fake.is_held());
    fake.memory.put(fake.gil + layout->gil.last_holder, mine);
    CHECK(refuse_each_read(fake.memory, [&](const auto& memory) {
            const bool is_held = fake.is_held(memory, memory);
            CHECK(is_held == !memory.has_failed());
          }) == 3);
  }
}

TEST_CASE("without a GIL who is attached holds it", "[cpython]") {
  FakeGil fake{layout_v3_14t};
  REQUIRE(fake.layout.gil_holder == GilHolder::attached);
  CHECK(!fake.is_held(0));
  CHECK(fake.is_held(1));
  CHECK(!fake.is_held(2));
  CHECK(!fake.is_held(3));
}
