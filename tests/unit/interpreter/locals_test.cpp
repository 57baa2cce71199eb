// Frames of several versions, with locals of every kind in them.
#include "pyagent/interpreter/locals.hpp"

#include <algorithm>  // max

#include "pyagent/cpython/layouts.hpp"
#include "support/catch.hpp"
#include "support/failing_memory.hpp"
#include "support/fake_values.hpp"

using namespace pyagent;
using namespace pyagent::cpython;
using namespace pyagent::interpreter;
using namespace pyagent::test;

namespace {

const Layout* const old_layouts[] = {&layout_v3_5, &layout_v3_8, &layout_v3_10};
const Layout* const new_layouts[] = {&layout_v3_11, &layout_v3_12, &layout_v3_13t, &layout_v3_14, &layout_v3_15t};

struct FakeLocal {
  std::string name;
  Address value{};
  unsigned kind = 0x20;
};

struct FakeScope {
  std::uint32_t argcount = 0, kwonlyargcount = 0, flags = 3;  // CO_OPTIMIZED | CO_NEWLOCALS
  Address scope{}, globals{};
};

/// A frame whose code object has these locals. Up to 3.10 plain ones come first, then cells (0x40), then frees (0x80).
RawFrame build_frame(FakeValues& values, const std::vector<FakeLocal>& locals, FakeScope scope = {}) {
  const Layout& layout = values.layout();
  std::vector<Address> names, cells, frees;
  std::string kinds;
  for (const FakeLocal& local : locals) {
    const bool is_old = layout.code.kinds_of_locals == absent;
    (is_old && local.kind == 0x40   ? cells
     : is_old && local.kind == 0x80 ? frees
                                    : names)
        .push_back(values.string(local.name));
    kinds += static_cast<char>(local.kind);
  }
  const Address code =
      values.code({.names_of_locals = values.tuple(names), .argcount = scope.argcount, .flags = scope.flags});
  values.memory().put(code + layout.code.kwonlyargcount, scope.kwonlyargcount);
  if (layout.code.kinds_of_locals == absent) {
    values.memory().put(code + layout.code.names_of_cells, values.tuple(cells));
    values.memory().put(code + layout.code.names_of_frees, values.tuple(frees));
  } else {
    values.memory().put(code + layout.code.kinds_of_locals, values.byte_string(kinds));
  }
  const Address frame = values.memory().add(layout.frame.locals + 8 * locals.size());
  for (std::size_t i = 0; i < locals.size(); ++i)
    values.memory().put(frame + layout.frame.locals + 8 * i, locals[i].value);
  values.memory().put(frame + layout.frame.scope, scope.scope);
  values.memory().put(frame + layout.frame.globals, scope.globals);
  return {frame, code, 0, true};
}

/// "a=1* b='x'": a star behind arguments.
std::string text(FakeValues& values, const RawFrame& frame) {
  std::string out;
  for (const Local& local : read_locals(values.memory(), values.runtime(), frame))
    out += (out.empty() ? "" : " ") + local.name + "=" + local.value + (local.is_argument ? "*" : "");
  return out;
}

}  // namespace

TEST_CASE("read_locals tells arguments of all sorts from other locals, and leaves out what is unbound",
          "[interpreter]") {
  std::vector<const Layout*> layouts{std::begin(old_layouts), std::end(old_layouts)};
  layouts.insert(layouts.end(), std::begin(new_layouts), std::end(new_layouts));
  for (const Layout* layout : layouts) {
    FakeValues values{*layout};
    INFO("3." << int{layout->version.minor});
    const Address one = values.integer(1);
    const std::vector<FakeLocal> locals{{"a", one},
                                        {"key", one},
                                        {"args", values.typed_tuple({})},
                                        {"kwargs", values.typed_dict({})},
                                        {"unbound"},
                                        {"x", values.string("y")}};
    const RawFrame frame = build_frame(values, locals, {.argcount = 1, .kwonlyargcount = 1, .flags = 3 | 4 | 8});
    CHECK(text(values, frame) == "a=1* key=1* args=()* kwargs={}* x='y'");
    CHECK(read_locals(values.memory(), values.runtime(), frame)[0].address == one);
  }
}

TEST_CASE("read_locals looks into cells, whose names up to 3.10 stand apart", "[interpreter]") {
  for (const Layout* layout : old_layouts) {
    FakeValues values{*layout};
    std::vector<FakeLocal> locals{{"a"},
                                  {"b", values.integer(2)},
                                  {"mine", values.cell(values.integer(3)), 0x40},
                                  {"empty", values.cell({}), 0x40},
                                  {"theirs", values.cell(values.integer(4)), 0x80}};
    CHECK(text(values, build_frame(values, locals, {.argcount = 2})) == "b=2* mine=3 theirs=4");

    // An argument that a closure uses: its slot is empty, and a cell has the very same name.
    const RawFrame frame = build_frame(values, {{"a"}, {"a", values.cell(values.integer(5)), 0x40}}, {.argcount = 1});
    const auto names = memory::read_pointer(values.memory(), frame.code + layout->code.names_of_locals);
    const auto cells = memory::read_pointer(values.memory(), frame.code + layout->code.names_of_cells);
    const auto name = memory::read_pointer(values.memory(), *names + layout->tuple.items);
    values.memory().put(*cells + layout->tuple.items, *name);
    CHECK(text(values, frame) == "a=5*");
  }
}

TEST_CASE("read_locals looks into cells where the kinds of locals say so", "[interpreter]") {
  for (const Layout* layout : new_layouts) {
    FakeValues values{*layout};
    INFO("3." << int{layout->version.minor});
    const Address cell = values.cell(values.integer(3));
    const std::vector<FakeLocal> locals{{"argument", values.cell(values.integer(1)), 0x60},
                                        {"early", values.integer(2), 0x60},  // its cell is not made yet
                                        {"plain", cell, 0x20},               // a cell as a value
                                        {"mine", cell, 0x40},
                                        {"empty", values.cell({}), 0x40},
                                        {"hidden", {}, 0x30},
                                        {"theirs", cell, 0x80}};
    CHECK(text(values, build_frame(values, locals, {.argcount = 2}))
              .starts_with("argument=1* early=2* plain=<cell at 0x"));
    CHECK(text(values, build_frame(values, locals, {.argcount = 2})).ends_with("mine=3 theirs=3"));
  }
}

TEST_CASE("read_locals takes the tags off the references of 3.14 and later", "[interpreter]") {
  for (const Layout* layout : {&layout_v3_14, &layout_v3_15t}) {
    FakeValues values{*layout};
    const Address one = values.integer(1);
    const auto number = static_cast<std::uint64_t>(std::int64_t{-7} * 4 + 3);
    const RawFrame frame = build_frame(
        values, {{"borrowed", one + 1}, {"counted", one}, {"number", {number}}, {"unbound", {1}}, {"error", {2}}});
    CHECK(text(values, frame) == "borrowed=1 counted=1 number=-7");
    CHECK(read_locals(values.memory(), values.runtime(), frame)[0].address == one);
  }
  FakeValues values{layout_v3_13};
  CHECK(text(values, build_frame(values, {{"odd", {3}}})) == "odd=<unreadable at 0x3>");
}

TEST_CASE("read_locals shows the names of a class body, and not those of a module", "[interpreter]") {
  for (const Layout* layout : {&layout_v3_8, &layout_v3_11, &layout_v3_14t}) {
    FakeValues values{*layout};
    const Address scope = values.typed_dict({{0, values.string("x"), values.integer(1)}}),
                  globals = values.typed_dict({});
    CHECK(text(values, build_frame(values, {}, {.flags = 0, .scope = scope, .globals = globals})) == "x=1");
    CHECK(text(values, build_frame(values, {{"__classdict__", values.cell(scope), 0x40}},
                                   {.flags = 0, .scope = scope, .globals = globals})) == "x=1");
    CHECK(text(values, build_frame(values, {}, {.flags = 0, .scope = scope, .globals = scope})) == "");
    CHECK(text(values, build_frame(values, {}, {.flags = 3, .scope = scope, .globals = globals})) == "");
    CHECK(text(values, build_frame(values, {}, {.flags = 0, .scope = values.integer(1), .globals = globals})) == "");
  }
}

TEST_CASE("read_locals believes no count that can't be true", "[interpreter]") {
  for (const Layout* layout : {&layout_v3_8, &layout_v3_13}) {
    FakeValues values{*layout};
    const RawFrame frame = build_frame(values, {{"a", values.integer(1)}}, {.argcount = ~0u, .kwonlyargcount = ~0u});
    CHECK(text(values, frame) == "a=1*");
    const auto names = memory::read_pointer(values.memory(), frame.code + layout->code.names_of_locals);
    values.memory().put(*names + layout->object.var_size, std::uint64_t{1} << 62);
    CHECK(text(values, frame) == "");
  }
}

TEST_CASE("read_locals gives what can be read when any read fails", "[interpreter]") {
  for (const Layout* layout : {&layout_v3_8, &layout_v3_12, &layout_v3_15}) {
    FakeValues values{*layout};
    const RawFrame frame =
        build_frame(values, {{"a", values.integer(1)}, {"b", values.cell(values.string("x")), 0x40}}, {.argcount = 1});
    const std::size_t reads = refuse_each_read(values.memory(), [&](const FailingMemory<BlockMemory>& failing) {
      const auto locals = read_locals(failing, values.runtime(), frame);
      CHECK(locals.size() <= 2);
      for (const Local& local : locals) CHECK((local.name == "a" || local.name == "b" || local.name == "?"));
    });
    CHECK(reads > 20);
  }
}
