// Code objects and what tells one from another, from fake objects.
#include "pyagent/cpython/raw_code.hpp"

#include <string>  // string

#include "pyagent/cpython/layouts.hpp"
#include "support/catch.hpp"
#include "support/failing_memory.hpp"
#include "support/fake_objects.hpp"

using namespace pyagent;
using namespace pyagent::cpython;
using namespace pyagent::test;

namespace {

constexpr Layout layout_v3_7_debug = with_object_header(layout_v3_7, long_object_header);
constexpr Layout layout_v3_12_trace_refs = with_object_header(layout_v3_12, long_object_header);
const Layout* const layouts[] = {&layout_v3_5,  &layout_v3_6,  &layout_v3_7_debug, &layout_v3_10, &layout_v3_11, &layout_v3_12,
                                 &layout_v3_12_trace_refs, &layout_v3_13, &layout_v3_13t, &layout_v3_14t, &layout_v3_15};

/// A code object whose parts can be changed one by one.
struct Parts {
  std::string name = "work";
  std::string qualname = "Worker.work";
  std::string filename = "<generated 17>";
  std::string lines = std::string(40, '\x01');
  std::int64_t hash = -1;
  std::int32_t first_line = 7;
};

FakeCode build(FakeObjects& objects, const Parts& parts) {
  FakeCode code;
  code.name = objects.str(parts.name, {.hash = parts.hash});
  code.qualname = objects.str(parts.qualname);
  code.filename = objects.str(parts.filename);
  code.lines = objects.bytes(parts.lines);
  code.first_line = parts.first_line;
  return code;
}

/// The identity of a code object that stands, with its parts, where others of other contents may stand.
std::uint64_t identity(const Layout& layout, const Parts& parts) {
  FakeObjects objects{layout};  // each begins at the same address
  const auto raw = read_raw_code(objects.memory(), layout, objects.code(build(objects, parts)));
  return code_identity(objects.memory(), layout, *raw);
}

}  // namespace

TEST_CASE("read_raw_code gives each field of the code object", "[cpython]") {
  for (const Layout* layout : layouts) {
    FakeObjects objects{*layout};
    const Address code = objects.code({.name = {0x1000},
                                       .qualname = {0x1010},
                                       .filename = {0x1020},
                                       .lines = {0x1030},
                                       .names_of_locals = {0x1040},
                                       .type = {0x1050},
                                       .first_line = -3,
                                       .argcount = 2,
                                       .flags = 0x43,
                                       .stacksize = 5,
                                       .nlocalsplus = 4,
                                       .framesize = 20,
                                       .units = 11});
    const auto raw = read_raw_code(objects.memory(), *layout, code);
    REQUIRE(raw);
    const bool has_qualname = layout->code.qualname != absent;
    CHECK(raw->name == Address{0x1000});
    CHECK(raw->qualname == Address{has_qualname ? 0x1010u : 0});
    CHECK(raw->filename == Address{0x1020});
    CHECK(raw->lines == Address{0x1030});
    CHECK(raw->names_of_locals == Address{0x1040});
    CHECK(raw->type == Address{0x1050});
    CHECK(raw->first_line == -3);
    CHECK(raw->argcount == 2);
    CHECK(raw->flags == 0x43);
    CHECK(raw->instruction_bytes == (has_qualname ? 22 : 0));
    // 3.11 has no co_framesize: 4 + 5 words and the 9 of _PyInterpreterFrame
    CHECK(raw->frame_words == (!has_qualname ? 0 : layout->code.framesize == absent ? 18 : 20));
  }
}

TEST_CASE("read_raw_code takes one read, and its failure is an error", "[cpython]") {
  for (const Layout* layout : layouts) {
    FakeObjects objects{*layout};
    const Address code = objects.code({});
    const auto reads = refuse_each_read(objects.memory(), [&](const auto& memory) {
      const auto raw = read_raw_code(memory, *layout, code);
      CHECK(static_cast<bool>(raw) != memory.has_failed());
    });
    CHECK(reads == 1);
    CHECK(read_raw_code(objects.memory(), *layout, Address{}).error().code == Errc::unreadable);
  }
}

TEST_CASE("decode_code takes no sizes that no code object has", "[cpython]") {
  FakeObjects objects{layout_v3_13};
  const Address code = objects.code({});
  objects.memory().put(code + layout_v3_13.object.var_size, (std::uint64_t{1} << 40) + 5);
  CHECK(read_raw_code(objects.memory(), layout_v3_13, code)->instruction_bytes == 0);
  CHECK(decode_code(layout_v3_13, {}).name == Address{});
}

TEST_CASE("code_identity is the same for the same code", "[cpython]") {
  for (const Layout* layout : layouts) CHECK(identity(*layout, {}) == identity(*layout, {}));
}

TEST_CASE("code_identity differs when anything differs, though all the addresses are the same", "[cpython]") {
  for (const Layout* layout : layouts) {
    const auto original = identity(*layout, {});
    CHECK(identity(*layout, {.name = "walk"}) != original);
    CHECK(identity(*layout, {.hash = 17}) != original);
    CHECK(identity(*layout, {.hash = 17}) != identity(*layout, {.hash = 18}));
    CHECK(identity(*layout, {.filename = "<generated 18>"}) != original);
    CHECK(identity(*layout, {.first_line = 8}) != original);
    CHECK(identity(*layout, {.lines = std::string(39, '\x01') + '\x02'}) != original);
    CHECK(identity(*layout, {.lines = std::string(41, '\x01')}) != original);
    const std::string table(1000, '\x01');
    CHECK(identity(*layout, {.lines = table + '\x01'}) != identity(*layout, {.lines = table + '\x02'}));
    if (layout->code.qualname != absent) CHECK(identity(*layout, {.qualname = "Walker.work"}) != original);
  }
}

TEST_CASE("code_identity differs when the same contents lie elsewhere", "[cpython]") {
  for (const Layout* layout : layouts) {
    FakeObjects objects{*layout};
    const auto identity_of = [&](const FakeCode& code) {
      return code_identity(objects.memory(), *layout, *read_raw_code(objects.memory(), *layout, objects.code(code)));
    };
    const FakeCode one = build(objects, {});
    const FakeCode elsewhere = build(objects, {});
    for (Address FakeCode::*part : {&FakeCode::name, &FakeCode::filename, &FakeCode::lines}) {
      FakeCode other = one;
      other.*part = elsewhere.*part;
      CHECK(identity_of(other) != identity_of(one));
    }
    CHECK(identity_of(one) == identity_of(one));
  }
}

TEST_CASE("code_identity is cheap, and each read may fail", "[cpython]") {
  for (const Layout* layout : layouts) {
    FakeObjects objects{*layout};
    const auto raw = read_raw_code(objects.memory(), *layout, objects.code(build(objects, {.hash = 17})));
    REQUIRE(raw);
    const auto whole = code_identity(objects.memory(), *layout, *raw);
    const auto reads = refuse_each_read(objects.memory(), [&](const auto& memory) {
      const auto read = code_identity(memory, *layout, *raw);
      CHECK((read != whole) == memory.has_failed());
    });
    // The name has its hash; file and qualified name have none yet: two reads each; two for the lines.
    CHECK(reads == (raw->qualname ? 7 : 5));
  }
}

TEST_CASE("read_bytes_object says where the bytes are", "[cpython]") {
  for (const Layout* layout : layouts) {
    FakeObjects objects{*layout};
    const Address object = objects.bytes("abc");
    const auto found = read_bytes_object(objects.memory(), *layout, object);
    REQUIRE(found);
    CHECK(found->size == 3);
    char c = 0;
    CHECK(objects.memory().read(found->data + 2, std::as_writable_bytes(std::span{&c, 1})) == Errc::ok);
    CHECK(c == 'c');
    objects.memory().put(object + layout->object.var_size, ~std::uint64_t{0});
    CHECK(read_bytes_object(objects.memory(), *layout, object).error().code == Errc::wrong_type);
  }
}

TEST_CASE("a code object has a version number from 3.12 on", "[cpython]") {
  for (const Layout* layout : layouts) {
    FakeObjects objects{*layout};
    const Address code = objects.code({.units = 4});
    const bool has_version = layout->code.version != absent;
    CHECK(has_version == (layout->version >= Version{3, 12}));
    if (has_version) objects.memory().put(code + layout->code.version, std::uint32_t{0xfedcba98});
    const auto raw = read_raw_code(objects.memory(), *layout, code);
    REQUIRE(raw);
    CHECK(raw->version == (has_version ? 0xfedcba98 : 0));
  }
}

TEST_CASE("the shape of a code object says where its instructions are and how long its frames", "[cpython]") {
  for (const Layout* layout : layouts) {
    FakeObjects objects{*layout};
    const Address code = objects.code({.stacksize = 4, .nlocalsplus = 3, .framesize = 20, .units = 6});
    const auto raw = read_raw_code(objects.memory(), *layout, code);
    REQUIRE(raw);
    const CodeShape shape = shape_of(*layout, code, *raw);
    if (layout->code.adaptive == absent) {
      CHECK(!shape.instructions);
      CHECK(shape.frame_words == 0);
      continue;
    }
    CHECK(shape.instructions == code + layout->code.adaptive);
    CHECK(shape.instruction_bytes == 12);
    CHECK(shape.frame_words == (layout->code.framesize != absent ? 20 : 3 + 4 + layout->frame.size / 8));
  }
}
