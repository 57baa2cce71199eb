// Code objects that take each other's addresses, in our own memory.
#include "pyagent/sampler/code_cache.hpp"

#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "pyagent/cpython/layouts.hpp"
#include "support/catch.hpp"
#include "support/fake_process.hpp"

using namespace pyagent;
using namespace pyagent::cpython;
using memory::RemoteMemory;
using memory::Snapshot;
using sampler::CodeCache;
using sampler::KnownCode;
using test::FakeProcess;

namespace {

const Layout* const with_contents[] = {&layout_v3_6, &layout_v3_10, &layout_v3_11};
const Layout* const with_versions[] = {&layout_v3_12, &layout_v3_13, &layout_v3_13t};
const Layout* const with_generations[] = {&layout_v3_14, &layout_v3_14t, &layout_v3_15};

/// A cache of a process that is ours.
struct Cached {
  explicit Cached(FakeProcess& fake) : process(fake), runtime(fake.runtime()) {}

  /// Begins a sample: what is read from now on is read anew.
  Cached& sample() {
    snapshot.clear();
    cache.begin(snapshot, process.interpreter());
    return *this;
  }
  /// The line at which the code object that is known at `code` begins; -1 when there is none.
  int line(Address code) {
    const KnownCode* const known = cache.find(code);
    return known != nullptr ? known->raw.first_line : -1;
  }

  FakeProcess& process;
  interpreter::Runtime runtime;
  Snapshot snapshot{RemoteMemory{::getpid()}};
  CodeCache cache{runtime};
};

}  // namespace

TEST_CASE("a code object that is still the same keeps its number", "[sampler]") {
  for (const Layout* layout : {&layout_v3_6, &layout_v3_11, &layout_v3_12, &layout_v3_14, &layout_v3_15t}) {
    FakeProcess fake{*layout};
    const Address code = fake.code(fake.str("work"), fake.str("file.py"), 7, 100);
    Cached cached{fake};
    KnownCode* const first = cached.sample().cache.find(code);
    REQUIRE(first != nullptr);
    CHECK(first->address == code);
    CHECK(first->raw.first_line == 7);
    CHECK(first->id == 0);
    first->id = 5;
    CHECK(cached.cache.find(code)->id == 5);
    for (int i = 0; i < 3; ++i) CHECK(cached.sample().cache.find(code)->id == 5);
    CHECK(cached.cache.shape(code)->instructions ==
          (layout->code.adaptive == absent ? Address{} : code + layout->code.adaptive));
  }
}

TEST_CASE("a code object of other contents at the same address is another one", "[sampler]") {
  for (const Layout* layout : with_contents) {
    FakeProcess fake{*layout};
    const Address name = fake.str("work"), file = fake.str("file.py");
    const Address code = fake.code(name, file, 7);
    Cached cached{fake};
    cached.sample().cache.find(code)->id = 5;
    fake.set_code(code, name, file, 8);
    CHECK(cached.cache.find(code)->raw.first_line == 7);  // in one sample it is what it was
    REQUIRE(cached.sample().cache.find(code) != nullptr);
    CHECK(cached.cache.find(code)->id == 0);
    CHECK(cached.line(code) == 8);
    cached.cache.find(code)->id = 6;
    // The same pointers, but the strings are others.
    fake.put(name + layout->unicode.ascii_data, 'W');
    CHECK(cached.sample().cache.find(code)->id == 0);
  }
}

TEST_CASE("a code object with another version number is another one, its pointers may be the same", "[sampler]") {
  for (const Layout* layout : with_versions) {
    FakeProcess fake{*layout};
    const Address name = fake.str("work"), file = fake.str("file.py");
    const Address code = fake.code(name, file, 7, 100);
    Cached cached{fake};
    cached.sample().cache.find(code)->id = 5;
    CHECK(cached.sample().cache.find(code)->id == 5);
    fake.set_code(code, name, file, 7, 101);
    CHECK(cached.sample().cache.find(code)->id == 0);
    cached.cache.find(code)->id = 6;
    fake.set_code(code, fake.str("other"), file, 7, 101);  // of another interpreter, whose numbers are its own
    CHECK(cached.sample().cache.find(code)->id == 0);
  }
}

TEST_CASE("where version numbers have run out contents tell code objects apart", "[sampler]") {
  for (const Layout* layout : {&layout_v3_12, &layout_v3_14}) {
    FakeProcess fake{*layout};
    const Address name = fake.str("work"), file = fake.str("file.py");
    const Address code = fake.code(name, file, 7, 0);
    Cached cached{fake};
    cached.sample().cache.find(code)->id = 5;
    fake.set_code(code, name, file, 8, 0);
    if (layout->interpreter.code_object_generation != absent)
      fake.put(fake.interpreter() + layout->interpreter.code_object_generation, std::uint64_t{1});
    CHECK(cached.sample().cache.find(code)->id == 0);
    CHECK(cached.line(code) == 8);
  }
}

TEST_CASE("while no code object was freed nothing is read to prove one", "[sampler]") {
  for (const Layout* layout : with_generations) {
    REQUIRE(layout->interpreter.code_object_generation != absent);
    FakeProcess fake{*layout};
    const Address generation = fake.interpreter() + layout->interpreter.code_object_generation;
    fake.put(generation, std::uint64_t{3});
    const Address name = fake.str("work"), file = fake.str("file.py");
    const Address code = fake.code(name, file, 7, 100);
    Cached cached{fake};
    cached.sample().cache.find(code)->id = 5;
    fake.set_code(code, name, file, 8, 101);  // can't be: so it shows that nothing was read
    CHECK(cached.sample().cache.find(code)->id == 5);
    CHECK(cached.line(code) == 7);
    fake.put(generation, std::uint64_t{4});
    CHECK(cached.sample().cache.find(code)->id == 0);
    CHECK(cached.line(code) == 8);
    // Another interpreter counts for itself.
    cached.cache.find(code)->id = 6;
    fake.set_code(code, name, file, 9, 102);
    const Address other = fake.thread().allocate(layout->interpreter.code_object_generation + 8).begin;
    fake.put(other + layout->interpreter.code_object_generation, std::uint64_t{4});
    cached.snapshot.clear();
    cached.cache.begin(cached.snapshot, other);
    CHECK(cached.line(code) == 9);
  }
}

TEST_CASE("without an interpreter, or one that can't be read, each sample proves by reading", "[sampler]") {
  FakeProcess fake{layout_v3_14};
  const Address name = fake.str("work"), file = fake.str("file.py");
  const Address code = fake.code(name, file, 7, 100);
  Cached cached{fake};
  for (const Address interpreter : {Address{}, Address{8}, Address{~std::uint64_t{0} - 100}}) {
    fake.set_code(code, name, file, 7, 100);
    cached.snapshot.clear();
    cached.cache.begin(cached.snapshot, interpreter);
    CHECK(cached.line(code) == 7);
    fake.set_code(code, name, file, 8, 101);
    cached.snapshot.clear();
    cached.cache.begin(cached.snapshot, interpreter);
    CHECK(cached.line(code) == 8);
  }
}

TEST_CASE("what is no code object has no shape", "[sampler]") {
  FakeProcess fake{layout_v3_13};
  const Address code = fake.code(fake.str("work"), fake.str("file.py"), 7, 100);
  const Address other = fake.thread().allocate(512).begin;
  Cached cached{fake};
  cached.sample();
  CHECK(cached.cache.shape(other).error().code == Errc::wrong_type);
  CHECK(cached.cache.shape(code + 4).error().code == Errc::wrong_type);
  CHECK(cached.cache.shape({}).error().code == Errc::wrong_type);
  CHECK(cached.cache.shape({8}).error().code == Errc::unreadable);
  CHECK(cached.cache.shape({~std::uint64_t{7}}).error().code == Errc::unreadable);
  CHECK(cached.cache.find(other) == nullptr);
  CHECK(cached.cache.shape(code));
  // One that was and is no more.
  fake.put(code + layout_v3_13.object.type, std::uint64_t{0x1234});
  CHECK(cached.cache.shape(code));
  cached.sample();
  CHECK(cached.cache.shape(code).error().code == Errc::wrong_type);
  fake.put(code + layout_v3_13.object.type, fake.thread().code_type().value);
  cached.sample();
  CHECK(cached.cache.shape(code));
}

TEST_CASE("a code object is told from its successor by a new look", "[sampler]") {
  for (const Layout* layout : {&layout_v3_10, &layout_v3_12, &layout_v3_14}) {
    FakeProcess fake{*layout};
    const Address name = fake.str("work"), file = fake.str("file.py");
    const Address code = fake.code(name, file, 7, 100);
    Cached cached{fake};
    KnownCode& known = *cached.sample().cache.find(code);
    known.id = 5;
    Snapshot later{RemoteMemory{::getpid()}};
    CHECK(cached.cache.is_same(known, later));
    later.clear();
    fake.set_code(code, name, file, 8, 101);
    CHECK(!cached.cache.is_same(known, later));
    CHECK(cached.cache.find(code)->id == 5);  // what the sample itself sees stays
    CHECK(cached.line(code) == 7);
  }
}

TEST_CASE("a cache knows thousands of code objects, and none for another", "[sampler]") {
  constexpr std::uint32_t count = 5000;
  FakeProcess fake{layout_v3_12};
  const Address name = fake.str("work"), file = fake.str("file.py");
  std::vector<Address> codes;
  for (std::uint32_t i = 0; i < count; ++i) codes.push_back(fake.code(name, file, static_cast<std::int32_t>(i), i + 1));
  Cached cached{fake};
  cached.sample();
  std::uint32_t wrong = 0;
  for (std::uint32_t i = 0; i < count; ++i) {
    KnownCode* const known = cached.cache.find(codes[i]);
    wrong += known == nullptr || known->raw.version != i + 1;
    if (known != nullptr) known->id = i + 1;
  }
  for (int round = 0; round < 2; ++round, cached.sample())
    for (std::uint32_t i = count; i-- > 0;) {
      const KnownCode* const known = cached.cache.find(codes[i]);
      wrong += known == nullptr || known->id != i + 1 || known->address != codes[i];
    }
  CHECK(wrong == 0);
}
