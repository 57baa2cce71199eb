// Values of every kind, in the layouts of several versions.
#include "pyagent/interpreter/object_text.hpp"

#include "pyagent/cpython/layouts.hpp"
#include "support/catch.hpp"
#include "support/failing_memory.hpp"
#include "support/fake_values.hpp"

using namespace pyagent;
using namespace pyagent::cpython;
using namespace pyagent::interpreter;
using namespace pyagent::test;

namespace {

const Layout* const layouts[] = {&layout_v3_5,  &layout_v3_8,   &layout_v3_10,  &layout_v3_11,
                                 &layout_v3_12, &layout_v3_13t, &layout_v3_14t, &layout_v3_15};

std::string text(FakeValues& values, Address object, const TextLimits& limits = {}) {
  return object_text(values.memory(), values.runtime(), object, limits);
}

std::string address(std::string_view what, Address object) {
  std::string out = "<" + std::string{what} + " at 0x";
  interpreter::detail::append_hex(out, object.value, 0);
  return out + ">";
}

/// One value of each kind that holds others.
Address build_everything(FakeValues& values) {
  const Address class_type = values.builtin("Thing", heap_type);
  return values.list({values.integer(1), values.floating(2.5), values.string("three"), values.byte_string("4"),
                      values.typed_tuple({values.boolean(true), values.none()}), values.set({values.integer(6)}),
                      values.typed_dict({{0, values.string("k"), values.integer(7)}}), values.object(class_type),
                      values.integer(true, {0, 0, 8})});
}

}  // namespace

TEST_CASE("object_text shows single values as repr does", "[interpreter]") {
  for (const Layout* layout : layouts) {
    FakeValues values{*layout};
    INFO("3." << int{layout->version.minor});
    CHECK(text(values, values.none()) == "None");
    CHECK(text(values, values.boolean(true)) == "True");
    CHECK(text(values, values.boolean(false)) == "False");
    CHECK(text(values, values.integer(0)) == "0");
    CHECK(text(values, values.integer(42)) == "42");
    CHECK(text(values, values.integer(true, {0, 0, 0, 1024})) == "-1267650600228229401496703205376");
    CHECK(text(values, values.floating(-0.1)) == "-0.1");
    CHECK(text(values, values.number("complex", std::array{1.0, -2.0})) == "(1-2j)");
    CHECK(text(values, values.string("it's")) == "\"it's\"");
    CHECK(text(values, values.string(U"\u20ac \U0001F600 \x1b")) == "'\xe2\x82\xac \xf0\x9f\x98\x80 \\x1b'");
    CHECK(text(values, values.string(U"\xe9")) == "'\xc3\xa9'");
    CHECK(text(values, values.string("")) == "''");
    CHECK(text(values, values.byte_string("a\xff")) == "b'a\\xff'");
    CHECK(text(values, values.object(values.builtin("ellipsis"))) == "Ellipsis");
    CHECK(text(values, values.object(values.builtin("NotImplementedType"))) == "NotImplemented");
  }
}

TEST_CASE("object_text shows containers as repr does", "[interpreter]") {
  for (const Layout* layout : layouts) {
    FakeValues values{*layout};
    INFO("3." << int{layout->version.minor});
    const Address one = values.integer(1), two = values.string("two");
    CHECK(text(values, values.list({})) == "[]");
    CHECK(text(values, values.list({one, two})) == "[1, 'two']");
    CHECK(text(values, values.typed_tuple({})) == "()");
    CHECK(text(values, values.typed_tuple({one})) == "(1,)");
    CHECK(text(values, values.typed_tuple({one, two})) == "(1, 'two')");
    CHECK(text(values, values.typed_dict({})) == "{}");
    CHECK(text(values, values.typed_dict({{0, two, one}, {}, {0, one, values.list({two})}})) ==
          "{'two': 1, 1: ['two']}");
    CHECK(text(values, values.typed_dict({{0, two, one}}, FakeTable::split)) == "{'two': 1}");
    CHECK(text(values, values.set({one, two})) == "{1, 'two'}");
    CHECK(text(values, values.set({})) == "set()");
    CHECK(text(values, values.set({one}, "frozenset")) == "frozenset({1})");
    CHECK(text(values, values.as(values.builtin("frozendict"), values.dict({{0, two, one}}))) ==
          "frozendict({'two': 1})");
    CHECK(text(values, values.as(values.builtin("frozendict"), values.dict({}))) == "frozendict()");
  }
}

TEST_CASE("object_text names the class of instances of subclasses", "[interpreter]") {
  for (const Layout* layout : layouts) {
    FakeValues values{*layout};
    INFO("3." << int{layout->version.minor});
    const Address one = values.integer(1);
    const auto subclass = [&](std::string_view name, std::uint64_t flag) {
      return values.builtin(name, flag | heap_type);
    };
    CHECK(text(values, values.as(subclass("Count", int_subclass), values.integer(5))) == "Count(5)");
    CHECK(text(values, values.as(subclass("bool", int_subclass), values.integer(5))) ==
          "bool(5)");  // a class of that name
    CHECK(text(values, values.as(subclass("Name", str_subclass), values.str("x", {.is_subclass = true}))) ==
          "Name('x')");
    CHECK(text(values, values.as(subclass("Point", tuple_subclass), values.tuple({one}))) == "Point(1)");
    CHECK(text(values, values.as(subclass("Stack", list_subclass), values.list({one}))) == "Stack([1])");
    CHECK(text(values, values.as(subclass("OrderedDict", dict_subclass), values.dict({{0, one, one}}))) ==
          "OrderedDict({1: 1})");

    const Address bag = values.builtin("Bag", heap_type);
    values.set_mro(bag, {bag, values.builtin("set"), values.builtin("object")});
    CHECK(text(values, values.as(bag, values.set({one}))) == "Bag({1})");
    const Address unknown = values.object(values.builtin("float ", heap_type));
    CHECK(text(values, unknown) == address("float ", unknown));
  }
}

TEST_CASE("object_text names classes, functions, modules and what it knows nothing about", "[interpreter]") {
  for (const Layout* layout : layouts) {
    FakeValues values{*layout};
    INFO("3." << int{layout->version.minor});
    const Address thing = values.as(values.builtin("type", type_subclass), values.builtin("Thing", heap_type));
    CHECK(text(values, thing) == "<class 'Thing'>");
    const Address instance = values.object(thing);
    CHECK(text(values, instance) == address("Thing", instance));
    const Address function = values.object(values.builtin("function"), layout->function.qualname + 8);
    values.memory().put(function + layout->function.qualname, values.string("Thing.run"));
    CHECK(text(values, function) == address("function Thing.run", function));
    const Address module = values.object(values.builtin("module"), layout->module.dict + 8);
    values.memory().put(module + layout->module.dict,
                        values.dict({{0, values.str("__name__"), values.str("json.tool")}}));
    CHECK(text(values, module) == "<module 'json.tool'>");
    const Address array = values.object(values.builtin("bytearray"), layout->bytearray.start + 8);
    values.memory().put(array + layout->object.var_size, std::uint64_t{2});
    values.memory().put(array + layout->bytearray.start, values.byte_string("abc") + layout->bytes.data + 1);
    CHECK(text(values, array) == "bytearray(b'bc')");
  }
}

TEST_CASE("object_text shows the scalars of numpy", "[interpreter]") {
  FakeValues values{layout_v3_12};
  CHECK(text(values, values.number("numpy.int8", std::int8_t{-5})) == "numpy.int8(-5)");
  CHECK(text(values, values.number("numpy.int64", std::int64_t{-5})) == "numpy.int64(-5)");
  CHECK(text(values, values.number("numpy.uint16", std::uint16_t{65535})) == "numpy.uint16(65535)");
  CHECK(text(values, values.number("numpy.uint64", ~std::uint64_t{0})) == "numpy.uint64(18446744073709551615)");
  CHECK(text(values, values.number("numpy.float32", 0.1f)) == "numpy.float32(0.1)");
  CHECK(text(values, values.number("numpy.float64", 0.1)) == "numpy.float64(0.1)");
  CHECK(text(values, values.number("numpy.bool_", std::uint8_t{1})) == "numpy.bool_(True)");
}

TEST_CASE("object_text ends where its limits say", "[interpreter]") {
  FakeValues values{layout_v3_13};
  const Address one = values.integer(1);
  const Address list = values.list({one, one, one, one, one, one});
  CHECK(text(values, list, {.items = 3}) == "[1, 1, 1, ...]");
  CHECK(text(values, list, {.items = 6}) == "[1, 1, 1, 1, 1, 1]");
  CHECK(text(values, list, {.characters = 8}) == "[1, 1, 1, ...]");
  CHECK(text(values, values.set({one, values.integer(2), values.integer(3)}), {.items = 2}) == "{1, 2, ...}");
  CHECK(text(values, values.typed_dict({{0, one, one}, {0, list, one}}), {.items = 1}) == "{1: 1, ...}");
  CHECK(text(values, values.list({values.list({values.list({one}), values.list({})})}), {.depth = 2}) ==
        "[[[...], []]]");
  CHECK(text(values, values.string("abcdefghij"), {.characters = 6}) == "'abcde'...");
  CHECK(text(values, values.byte_string("abcdefghij"), {.characters = 6}) == "b'abcd'...");
  CHECK(text(values, list, {.reads = 20}) == "[1, 1, 1, ..., ...]");
}

TEST_CASE("ints that are too long for the limit say how long they are", "[interpreter]") {
  FakeValues values{layout_v3_14};
  std::vector<std::uint32_t> digits(1000, 0);
  digits.back() = 2;
  CHECK(text(values, values.integer(false, digits)) == "<int of 29972 bits>");
  CHECK(text(values, values.integer(false, digits), {.characters = 20000}).size() == 9023);  // len(str(1 << 29971))
}

TEST_CASE("object_text stops at containers that hold themselves", "[interpreter]") {
  for (const Layout* layout : layouts) {
    FakeValues values{*layout};
    const Address table = values.memory().add(16);
    const Address list = values.list(2, table);
    const Address dict = values.typed_dict({{0, values.string("self"), values.list({list})}});
    values.memory().put(table, list);
    values.memory().put(table + 8, dict);
    CHECK(text(values, list) == "[[...], {'self': [[...]]}]");
  }
}

TEST_CASE("lengths that can't be true cost nothing and are not believed", "[interpreter]") {
  for (const Layout* layout : layouts) {
    FakeValues values{*layout};
    INFO("3." << int{layout->version.minor});
    for (const std::uint64_t length :
         {std::uint64_t{1} << 62, ~std::uint64_t{0}, (std::uint64_t{1} << 63) + 1, std::uint64_t{1} << 32}) {
      const auto lie = [&](Address object, std::uint64_t value) {
        values.memory().put(object + layout->object.var_size, value);
        return text(values, object);
      };
      CHECK(lie(values.integer(5), length).size() < 100);
      const Address list = values.list(length, values.memory().add(16));
      CHECK(text(values, list) == address("unreadable list", list));
      const Address tuple = values.typed_tuple({values.none()});
      CHECK(lie(tuple, length) == address("unreadable tuple", tuple));
      const Address bytes = values.byte_string("abc");
      CHECK(lie(bytes, length) == address("unreadable bytes", bytes));
      const Address string = values.string("abc");
      values.memory().put(string + layout->unicode.length, length);
      CHECK(text(values, string) == address("unreadable str", string));
      const Address set = values.set(length, length, values.memory().add(16 * 64));
      CHECK(text(values, set) == address("unreadable set", set));
    }
  }
}

TEST_CASE("a table without end is left when the reads that are allowed are used up", "[interpreter]") {
  FakeValues values{layout_v3_13};
  const Address set = values.set(5, ~std::uint64_t{0} - 1, values.memory().add(16 * 4096));
  CHECK(text(values, set, {.reads = 50}) == "{...}");
  std::vector<FakeEntry> nothing(400);
  const Address dict = values.as(values.builtin("dict", dict_subclass), values.dict(nothing));
  CHECK(text(values, dict, {.reads = 50}) == "{...}");
}

TEST_CASE("containers that hold each other many times over cost no more than the limit", "[interpreter]") {
  FakeValues values{layout_v3_13};
  Address layer = values.list({});
  for (int i = 0; i < 40; ++i) layer = values.list({layer, layer, layer, layer});
  CHECK(text(values, layer, {.characters = 1 << 20, .items = 1 << 20, .depth = 100, .reads = 5000}).size() < 20000);
}

TEST_CASE("one ObjectWriter reads no more than it is allowed for all its texts", "[interpreter]") {
  FakeValues values{layout_v3_13};
  ObjectWriter<BlockMemory> writer{values.memory(), values.runtime(), {.all_reads = 40}};
  const Address list = values.list({values.integer(1), values.integer(2)});
  CHECK(writer.text(list) == "[1, 2]");
  for (int i = 0; i < 20; ++i) CHECK(writer.text(list).size() < 40);
  CHECK(writer.text(list) == "...");
}

TEST_CASE("object_text shows what it can when any read fails", "[interpreter]") {
  for (const Layout* layout : layouts) {
    FakeValues values{*layout};
    const Address everything = build_everything(values);
    CHECK(text(values, everything).substr(0, 66) ==
          "[1, 2.5, 'three', b'4', (True, None), {6}, {'k': 7}, <Thing at 0x7");
    std::size_t has_said = 0;
    const std::size_t reads = refuse_each_read(values.memory(), [&](const FailingMemory<BlockMemory>& failing) {
      const std::string shown = object_text(failing, values.runtime(), everything);
      CHECK(shown.size() > 20);
      CHECK(shown.size() < 300);
      has_said += shown.find("unreadable") != shown.npos;
    });
    CHECK(reads > 40);
    CHECK(has_said > reads - 10);  // all but the base classes of Thing
  }
}
