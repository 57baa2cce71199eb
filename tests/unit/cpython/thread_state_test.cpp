// Thread states, and the lists they hang in.
#include "pyagent/cpython/thread_state.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <vector>

#include "pyagent/cpython/layouts.hpp"
#include "support/catch.hpp"
#include "support/failing_memory.hpp"

using namespace pyagent;
using namespace pyagent::cpython;
using pyagent::test::refuse_each_read;

namespace {

// Interpreters with threads at made-up addresses: the list's head at `head`, structures 16 KiB apart.
class FakeRuntime {
 public:
  static constexpr Address head{0x10000};
  explicit FakeRuntime(const Layout& layout) : layout_(layout), bytes_(std::size_t{1} << 20) {}

  Address add_interpreter() {
    const Address made = add();
    put(made, layout_.interpreter.next, word(head));
    set(head, made.value);
    return made;
  }
  Address add_thread(Address interpreter, std::uint64_t thread_id) {
    const Address made = add();
    put(made, layout_.thread.next, word(interpreter + layout_.interpreter.threads_head));
    put(made, layout_.thread.interpreter, interpreter.value);
    put(made, layout_.thread.thread_id, thread_id);
    put(made, layout_.thread.native_thread_id, thread_id + 1000);
    put(made, layout_.thread.frame, thread_id + 2000);
    put(made, layout_.thread.datastack_chunk, thread_id + 3000);
    put(made, layout_.thread.datastack_top, thread_id + 4000);
    put(made, layout_.thread.base_frame, thread_id + 5000);
    if (layout_.thread.state != absent) set(made + layout_.thread.state, std::uint32_t{1});
    put(interpreter, layout_.interpreter.threads_head, made.value);
    return made;
  }
  void put(Address structure, Offset offset, std::uint64_t value) {
    if (offset != absent) set(structure + offset, value);
  }
  memory::BufferMemory memory() const { return {head, bytes_}; }

 private:
  Address add() { return head + (size_ += 0x4000); }
  template <class T>
  void set(Address where, T value) { std::memcpy(bytes_.data() + (where - head), &value, sizeof value); }
  std::uint64_t word(Address where) const { return *memory::read_value<std::uint64_t>(memory(), where); }

  Layout layout_;
  std::vector<std::byte> bytes_;
  std::uint64_t size_ = 0;
};

constexpr Layout layouts[] = {layout_v3_5,  layout_v3_6,  layout_v3_7,  layout_v3_7_4, layout_v3_8,  layout_v3_9,  layout_v3_10, layout_v3_11,
                              layout_v3_12, layout_v3_13, layout_v3_13t, layout_v3_14, layout_v3_14t, layout_v3_15, layout_v3_15t};

std::vector<std::uint64_t> visited_ids(const Layout& layout, const auto& memory, Errc& result, std::size_t most = 1'000'000) {
  std::array<std::byte, max_thread_prefix_size> scratch;
  std::vector<std::uint64_t> ids;
  result = visit_threads(memory, layout, FakeRuntime::head, scratch, [&](const RawThread& thread) {
    ids.push_back(thread.thread_id);
    return ids.size() < most;
  });
  return ids;
}

}  // namespace

TEST_CASE("what a walk needs of a thread state is read in one read, in every version", "[cpython]") {
  for (const Layout& layout : layouts) {
    INFO(int{layout.version.minor});
    REQUIRE(thread_prefix_size(layout) <= max_thread_prefix_size);
    FakeRuntime runtime{layout};
    const Address interpreter = runtime.add_interpreter();
    const Address thread = runtime.add_thread(interpreter, 7);
    std::array<std::byte, max_thread_prefix_size> scratch;
    const auto memory = runtime.memory();
    const auto reads = refuse_each_read(memory, [&](const auto& failing) {
      const auto raw = read_thread(failing, layout, thread, scratch);
      CHECK(raw.error().code == (failing.has_failed() ? Errc::unreadable : Errc::ok));
      if (failing.has_failed()) return;
      REQUIRE(raw);
      CHECK(raw->thread == thread);
      CHECK(raw->interpreter == interpreter);
      CHECK(!raw->next);
      CHECK(raw->thread_id == 7);
      CHECK(raw->frame.value == 2007);
      CHECK(raw->native_thread_id == (layout.thread.native_thread_id == absent ? 0 : 1007));
      CHECK(raw->datastack_chunk.value == (layout.thread.datastack_chunk == absent ? 0 : 3007));
      CHECK(raw->datastack_top.value == (layout.thread.datastack_top == absent ? 0 : 4007));
      CHECK(raw->base_frame.value == (layout.thread.base_frame == absent ? 0 : 5007));
      CHECK(raw->state == (layout.thread.state == absent ? 0 : 1));
    });
    CHECK(reads == 1);
  }
}

TEST_CASE("a thread state does not fit into scratch that is too small", "[cpython]") {
  const std::array<std::byte, 16> bytes{};
  std::array<std::byte, 15> scratch;
  const auto raw = read_thread(memory::BufferMemory{Address{0x1000}, bytes}, layout_v3_13, Address{0x1000}, scratch);
  CHECK(raw.error().code == Errc::too_large);
}

TEST_CASE("threads of all interpreters are visited, newest first", "[cpython]") {
  for (const Layout& layout : layouts) {
    FakeRuntime runtime{layout};
    const Address main = runtime.add_interpreter();
    runtime.add_thread(main, 1);
    runtime.add_thread(main, 2);
    runtime.add_interpreter();  // without threads
    runtime.add_thread(runtime.add_interpreter(), 3);
    Errc result{};
    CHECK(visited_ids(layout, runtime.memory(), result) == std::vector<std::uint64_t>{3, 2, 1});
    CHECK(result == Errc::ok);
  }
}

TEST_CASE("a visit ends when the visitor has seen enough", "[cpython]") {
  FakeRuntime runtime{layout_v3_13};
  const Address main = runtime.add_interpreter();
  for (std::uint64_t id = 1; id < 5; ++id) runtime.add_thread(main, id);
  Errc result{};
  CHECK(visited_ids(layout_v3_13, runtime.memory(), result, 2) == std::vector<std::uint64_t>{4, 3});
}

TEST_CASE("lists that link back to themselves end, and nothing in them is missed", "[cpython]") {
  for (const std::uint64_t length : {1u, 2u, 3u, 5u, 40u})
    for (std::uint64_t back_to = 0; back_to < length; ++back_to) {
      CAPTURE(length, back_to);
      FakeRuntime runtime{layout_v3_13};
      const Address main = runtime.add_interpreter();
      std::vector<Address> threads;
      for (std::uint64_t id = 1; id <= length; ++id) threads.push_back(runtime.add_thread(main, id));
      runtime.put(threads.front(), layout_v3_13.thread.next, threads[back_to].value);
      Errc result{};
      auto ids = visited_ids(layout_v3_13, runtime.memory(), result);
      CHECK(ids.size() < 4 * length);
      std::sort(ids.begin(), ids.end());
      CHECK(std::unique(ids.begin(), ids.end()) - ids.begin() == static_cast<std::ptrdiff_t>(length));
    }
  FakeRuntime runtime{layout_v3_13};
  const Address main = runtime.add_interpreter();
  runtime.add_thread(main, 1);
  runtime.put(main, layout_v3_13.interpreter.next, main.value);
  Errc result{};
  CHECK(visited_ids(layout_v3_13, runtime.memory(), result) == std::vector<std::uint64_t>{1});
}

TEST_CASE("a visit whose n-th read fails says so and has visited the threads before", "[cpython]") {
  FakeRuntime runtime{layout_v3_14};
  const Address main = runtime.add_interpreter();
  runtime.add_thread(main, 1);
  runtime.add_thread(main, 2);
  const auto memory = runtime.memory();
  const std::vector<std::uint64_t> all{2, 1};
  const auto reads = refuse_each_read(memory, [&](const auto& failing) {
    Errc result{};
    const auto ids = visited_ids(layout_v3_14, failing, result);
    CHECK(result == (failing.has_failed() ? Errc::unreadable : Errc::ok));
    CHECK(ids == std::vector<std::uint64_t>(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(ids.size())));
    if (!failing.has_failed()) CHECK(ids == all);
  });
  CHECK(reads == 5);
}
