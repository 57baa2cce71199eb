// What a recording keeps of code objects, from fake ones.
#include "pyagent/interpreter/code_record.hpp"

#include <string>
#include <vector>

#include "pyagent/cpython/layouts.hpp"
#include "support/catch.hpp"
#include "support/failing_memory.hpp"
#include "support/fake_objects.hpp"

using namespace pyagent;
using namespace pyagent::cpython;
using namespace pyagent::test;
using recording::CodeRecord;

namespace {

const Layout* const all_layouts[] = {&layout_v3_5,   &layout_v3_8,  &layout_v3_10, &layout_v3_11,
                                     &layout_v3_13t, &layout_v3_14, &layout_v3_15};

RawFrame frame_of(Address code, Address frame = {}) {
  return {.frame = frame, .code = code, .instruction = 0, .is_entry = false};
}

CodeRecord record_of(FakeObjects& objects, const FakeCode& values) {
  const Address code = objects.code(values);
  const auto raw = read_raw_code(objects.memory(), objects.layout(), code);
  REQUIRE(raw);
  return interpreter::read_code_record(objects.memory(), objects.layout(), frame_of(code), *raw);
}

}  // namespace

TEST_CASE("a code record holds the texts and the line table of its code object", "[interpreter]") {
  for (const Layout* layout : all_layouts) {
    FakeObjects objects{*layout};
    const CodeRecord code = record_of(objects, {.name = objects.str("work"),
                                                .qualname = objects.str(U"Wörker.work"),
                                                .filename = objects.str(U"/home/ж/file.py"),
                                                .lines = objects.bytes("\x01\x02\x03"),
                                                .names_of_locals = objects.tuple({}),
                                                .first_line = 42});
    CHECK(code.id == 0);
    CHECK(code.name == "work");
    CHECK(code.qualified_name == (layout->code.qualname != absent ? "W\u00f6rker.work" : ""));
    CHECK(code.filename == "/home/\u0436/file.py");
    CHECK(code.first_line == 42);
    CHECK(code.line_format == layout->line_table);
    CHECK(code.lines == std::vector{std::byte{1}, std::byte{2}, std::byte{3}});
  }
}

TEST_CASE("up to 3.10 a method's class is found by its first argument", "[interpreter]") {
  for (const Layout* layout : {&layout_v3_6, &layout_v3_10}) {
    FakeObjects objects{*layout};
    const Address name = objects.str("work");
    const Address code =
        objects.code({.name = name, .names_of_locals = objects.tuple({objects.str("self")}), .argcount = 1});
    const Address function = objects.object(objects.type("function"), 64);
    objects.memory().put(function + layout->function.code, code);
    const FakeEntry method{.key = name, .value = function};
    const Address worker = objects.type("Worker", objects.dict({method}));
    const Address frame = objects.memory().add(layout->frame.locals + 64);
    objects.memory().put(frame + layout->frame.locals, objects.object(worker));
    const auto raw = read_raw_code(objects.memory(), *layout, code);
    REQUIRE(raw);
    const CodeRecord record = interpreter::read_code_record(objects.memory(), *layout, frame_of(code, frame), *raw);
    CHECK(record.qualified_name == "Worker.work");
  }
}

TEST_CASE("texts beyond 4 KiB end in an ellipsis", "[interpreter]") {
  FakeObjects objects{layout_v3_14};
  const CodeRecord code = record_of(objects, {.name = objects.str(std::string(4096, 'n')),
                                              .qualname = objects.str(std::string(4097, 'q')),
                                              .filename = objects.str(std::u32string(3000, U'ж'))});
  CHECK(code.name == std::string(4096, 'n'));
  CHECK(code.qualified_name == std::string(4096, 'q').append("\u2026"));
  CHECK(code.filename.size() == 4096 + 3);
  CHECK(code.filename.substr(4094) == "\u0436\u2026");
}

TEST_CASE("a line table that is too long for a record is left out", "[interpreter]") {
  FakeObjects objects{layout_v3_12};
  constexpr std::size_t most = recording::max_record_size / 2;
  CHECK(record_of(objects, {.name = objects.str("f"), .lines = objects.bytes(std::string(most, 'x'))}).lines.size() ==
        most);
  const CodeRecord code =
      record_of(objects, {.name = objects.str("f"), .lines = objects.bytes(std::string(most + 1, 'x'))});
  CHECK(code.lines.empty());
  CHECK(code.name == "f");
}

TEST_CASE("lengths that can't be leave their field empty", "[interpreter]") {
  for (const std::uint64_t length :
       {std::uint64_t{1} << 63, ~std::uint64_t{0}, std::uint64_t{1} << 40, std::uint64_t{100'000}}) {
    FakeObjects objects{layout_v3_13};
    const Address name = objects.str("name"), lines = objects.bytes("lines");
    objects.memory().put(name + layout_v3_13.unicode.length, length);
    objects.memory().put(lines + layout_v3_13.object.var_size, length);
    const CodeRecord code =
        record_of(objects, {.name = name, .qualname = objects.str("q"), .filename = name, .lines = lines});
    CHECK(code.name.empty());
    CHECK(code.filename.empty());
    CHECK(code.lines.empty());
    CHECK(code.qualified_name == "q");
  }
}

TEST_CASE("what can't be read of a code object is empty and the rest is there", "[interpreter]") {
  for (const Layout* layout : all_layouts) {
    FakeObjects objects{*layout};
    const Address address = objects.code({.name = objects.str("work"),
                                          .qualname = objects.str("Worker.work"),
                                          .filename = objects.str("file.py"),
                                          .lines = objects.bytes("\x01\x02"),
                                          .names_of_locals = objects.tuple({}),
                                          .first_line = 42});
    const auto raw = read_raw_code(objects.memory(), *layout, address);
    int whole = 0;
    refuse_each_read(objects.memory(), [&](const auto& memory) {
      const CodeRecord code = interpreter::read_code_record(memory, *layout, frame_of(address), *raw);
      CHECK((code.name == "work" || code.name.empty()));
      CHECK((code.filename == "file.py" || code.filename.empty()));
      CHECK((code.lines.size() == 2 || code.lines.empty()));
      const int missing = code.name.empty() + code.filename.empty() + code.lines.empty();
      CHECK(missing <= 1);
      whole += missing == 0;
      CHECK(code.first_line == 42);
    });
    CHECK(whole >= 1);
  }
  FakeObjects objects{layout_v3_14};
  const CodeRecord nothing = record_of(objects, {});
  CHECK(nothing.name.empty());
  CHECK(nothing.lines.empty());
}
