// From a frame of a method to the class it was written in, with fake objects of 3.5 to 3.10.
#include "pyagent/cpython/defining_class.hpp"

#include <string>   // string
#include <utility>  // pair

#include "pyagent/cpython/layouts.hpp"
#include "support/catch.hpp"
#include "support/failing_memory.hpp"
#include "support/fake_objects.hpp"

using namespace pyagent;
using namespace pyagent::cpython;
using namespace pyagent::test;

namespace {

constexpr Layout layout_v3_7_debug = with_object_header(layout_v3_7, long_object_header);
const Layout* const layouts[] = {&layout_v3_5, &layout_v3_6, &layout_v3_7_debug, &layout_v3_8, &layout_v3_10};

constexpr std::uint64_t type_subclass = std::uint64_t{1} << 31;

/// class Base: run, class Derived(Base): stop; a frame of a method whose first argument is a Derived.
struct Method {
  explicit Method(const Layout& layout, std::string_view argument = "self", std::string_view method = "run")
      : objects(layout), argument_name(objects.str(argument)), name(objects.str(method)) {
    code = objects.code({.name = name, .names_of_locals = objects.tuple({argument_name, objects.str("x")}), .argcount = 1});
    frame = objects.memory().add(layout.frame.locals + 8 * 6);
    metatype = objects.type("type", {}, type_subclass);
  }

  Address function(Address of_code) { return builtin("function", objects.layout().function.code, of_code); }
  Address builtin(std::string_view type, Offset at, Address word, std::uint64_t flags = 0) {
    const Address object = objects.object(objects.type(type, {}, flags), 64);
    objects.memory().put(object + at, word);
    return object;
  }

  Address add_class(std::string_view type_name, std::initializer_list<FakeEntry> entries) {
    const Address type = objects.type(type_name, objects.dict(entries), type_subclass);
    objects.memory().put(type + objects.layout().object.type, metatype);
    return type;
  }

  void set_local(std::size_t slot, Address value) { objects.memory().put(frame + objects.layout().frame.locals + 8 * slot, value); }

  std::string find(std::size_t room = 100) {
    const auto raw = read_raw_code(objects.memory(), objects.layout(), code);
    std::string out(room, '#');
    const auto piece = read_defining_class(objects.memory(), objects.layout(), frame, code, *raw, out);
    return piece ? out.substr(0, piece->size) : message(piece.error());
  }

  FakeObjects objects;
  Address argument_name, name, code, frame, metatype;
};

/// Memory that counts reads of what is not there: in the program's own, unchecked memory each would be a crash.
struct WildReads {
  static constexpr bool is_signal_safe = true;
  const BlockMemory& memory;
  mutable int count = 0;
  Errc read(Address address, std::span<std::byte> out) const noexcept {
    const Errc failed = memory.read(address, out);
    count += failed != Errc::ok;
    return failed;
  }
};

const std::string not_found = message(Errc::not_found);

}  // namespace

TEST_CASE("a method's class is the one whose dict holds its code", "[cpython]") {
  for (const Layout* layout : layouts) {
    Method m{*layout};
    // Derived overrides run and calls super().run(): the frame belongs to Base.
    const Address base = m.add_class("Base", {{1, m.name, m.function(m.code)}});
    const Address derived = m.add_class("Derived", {{1, m.name, m.function({0x1000})}});
    m.objects.set_mro(derived, {derived, base});
    m.set_local(0, m.objects.object(derived));
    CHECK(m.find() == "Base");
    CHECK(m.find(2) == "Ba");
    m.set_local(0, m.objects.object(base));
    CHECK(m.find() == "Base");
  }
}

TEST_CASE("a method is found in properties, class methods and static methods", "[cpython]") {
  for (const Layout* layout : layouts)
    for (const auto& [type, at] : {std::pair{"classmethod", layout->function.callable}, {"staticmethod", layout->function.callable},
                                   {"property", layout->function.property_get}, {"property", layout->function.property_get + 8},
                                   {"property", layout->function.property_get + 16}}) {
      Method m{*layout};
      const Address base = m.add_class("Base", {{1, m.name, m.builtin(type, at, m.function(m.code))}});
      const Address derived = m.add_class("Derived", {{1, m.name, m.builtin(type, at, m.function({0x1000}))}});
      m.objects.set_mro(derived, {derived, base});
      m.set_local(0, m.objects.object(derived));
      CHECK(m.find() == "Base");
    }
}

TEST_CASE("a decorated method's class is the first that has its name", "[cpython]") {
  for (const Layout* layout : layouts) {
    Method m{*layout};
    const Address root = m.add_class("Root", {{1, m.name, m.function({0x1000})}});
    const Address base = m.add_class("Base", {{1, m.name, m.function({0x2000})}});
    const Address derived = m.add_class("Derived", {});
    m.objects.set_mro(derived, {derived, base, root});
    m.set_local(0, m.objects.object(derived));
    CHECK(m.find() == "Base");
  }
}

TEST_CASE("a private method is found by its code, for its name is another there", "[cpython]") {
  for (const Layout* layout : layouts) {
    Method m{*layout, "self", "__run"};
    const Address base = m.add_class("Base", {{1, m.objects.str("_Base__run"), m.function(m.code)}});
    m.set_local(0, m.objects.object(base));
    CHECK(m.find() == "Base");
  }
  // What is not private is not searched by code: a decorator's inner function lies in classes under others' names.
  Method m{layout_v3_8, "self", "wrapper"};
  const Address base = m.add_class("Base", {{1, m.objects.str("run"), m.function(m.code)}});
  m.set_local(0, m.objects.object(base));
  CHECK(m.find() == not_found);
}

TEST_CASE("no word of a class's entry is followed unless its type says that it is a pointer", "[cpython]") {
  for (const Layout* layout : layouts)
    for (const std::string_view method : {"run", "__run"}) {
      Method m{*layout, "self", method};
      constexpr Address wild{1};  // ob_size of a small int lies where a function has its code
      const Offset at = layout->function.code;
      const Address heap_type_instance = m.builtin("property", at, wild, 1 << 9);
      const Address wild_getter = m.builtin("property", layout->function.property_get, m.builtin("int", at, wild));
      for (const Address value : {m.builtin("int", at, wild), heap_type_instance, wild_getter, m.builtin("functools.partial", at, wild)}) {
        const Address type = m.add_class("Class", {{1, m.objects.str("_Class__other"), value}, {1, m.name, value}});
        m.set_local(0, m.objects.object(type));
        const auto raw = read_raw_code(m.objects.memory(), *layout, m.code);
        std::array<char, 20> out;
        const WildReads memory{m.objects.memory()};
        const auto piece = read_defining_class(memory, *layout, m.frame, m.code, *raw, out);
        CHECK(memory.count == 0);
        CHECK(bool{piece} == (method == "run"));  // by its name, as a decorated one
      }
    }
}

TEST_CASE("a class method's class is found from cls, and a metaclass's method from the class of cls", "[cpython]") {
  for (const Layout* layout : layouts) {
    Method m{*layout, "cls"};
    const Address base = m.add_class("Base", {{1, m.name, m.builtin("classmethod", layout->function.callable, m.function(m.code))}});
    m.set_local(0, base);
    CHECK(m.find() == "Base");

    Method meta{*layout, "cls"};
    const Address plain = meta.add_class("Plain", {});
    const Address metaclass = meta.add_class("Meta", {{1, meta.name, meta.function(meta.code)}});
    meta.objects.memory().put(metaclass + layout->object.type, meta.metatype);
    meta.objects.memory().put(plain + layout->object.type, metaclass);
    meta.set_local(0, plain);
    CHECK(meta.find() == "Meta");

    Method odd{*layout, "cls"};  // a first argument called cls that is no class
    const Address type = odd.objects.type("Odd", odd.objects.dict({{1, odd.name, odd.function(odd.code)}}));
    const Address object = odd.objects.object(type, 400);
    odd.objects.memory().put(object + layout->type.mro, odd.objects.tuple({odd.add_class("Trap", {{1, odd.name, {8}}})}));
    odd.set_local(0, object);
    CHECK(odd.find() == "Odd");
  }
}

TEST_CASE("a first argument that inner functions use is found in its cell", "[cpython]") {
  for (const Layout* layout : layouts) {
    Method m{*layout};
    const Address base = m.add_class("Base", {{1, m.name, m.function(m.code)}});
    m.objects.memory().put(m.code + layout->code.names_of_locals + 16, m.objects.tuple({m.objects.str("y"), m.argument_name}));
    const Address cell = m.objects.object({}, 8);
    m.objects.memory().put(cell + layout->object.size, m.objects.object(base));
    m.set_local(0, {});
    m.set_local(3, cell);  // two locals, then the cells of y and self
    CHECK(m.find() == "Base");
    m.objects.memory().put(cell + layout->object.size, Address{});
    CHECK(m.find() == not_found);
  }
}

TEST_CASE("what follows the last dot of a type's name is its name", "[cpython]") {
  Method m{layout_v3_9};
  const Address base = m.add_class("package.module.Base", {{1, m.name, m.function(m.code)}});
  m.set_local(0, m.objects.object(base));
  CHECK(m.find() == "Base");
}

TEST_CASE("no class is found without self or cls, or when they lead elsewhere", "[cpython]") {
  for (const Layout* layout : layouts) {
    Method other{*layout, "this"};
    const Address type = other.add_class("Base", {{1, other.name, other.function(other.code)}});
    other.set_local(0, other.objects.object(type));
    CHECK(other.find() == not_found);

    Method rebound{*layout};
    rebound.set_local(0, rebound.objects.object(rebound.add_class("Other", {})));
    CHECK(rebound.find() == not_found);

    Method deleted{*layout};
    deleted.objects.memory().put(deleted.code + layout->code.names_of_locals + 16, deleted.objects.tuple({}));
    CHECK(deleted.find() == not_found);

    Method plain{*layout};
    plain.objects.memory().put(plain.code + layout->code.argcount, std::uint32_t{0});
    plain.set_local(0, plain.objects.object(plain.add_class("Base", {{1, plain.name, plain.function(plain.code)}})));
    CHECK(plain.find() == not_found);
  }
}

TEST_CASE("read_defining_class survives each read that fails", "[cpython]") {
  for (const Layout* layout : layouts)
    for (const std::string_view method : {"run", "__run"}) {
      Method m{*layout, "cls", method};
      const Address base = m.add_class("Base", {{1, m.objects.str("_Base__run"), m.function(m.code)}, {1, m.name, m.function(m.code)}});
      const Address derived = m.add_class("Derived", {{1, m.name, m.function({0x1000})}});
      m.objects.set_mro(derived, {derived, base});
      m.set_local(0, derived);
      const auto raw = read_raw_code(m.objects.memory(), *layout, m.code);
      std::array<char, 20> out;
      std::string last;
      refuse_each_read(m.objects.memory(), [&](const auto& memory) {
        const auto piece = read_defining_class(memory, *layout, m.frame, m.code, *raw, out);
        last = piece ? std::string(out.data(), piece->size) : message(piece.error());
      });
      CHECK(last == "Base");
    }
}

TEST_CASE("read_c_string stops at its zero, its room, and the end of memory", "[cpython]") {
  FakeObjects objects{layout_v3_9};
  const auto read = [&](Address string, std::size_t room) {
    std::string out(room, '#');
    const auto piece = read_c_string(objects.memory(), string, out);
    return piece ? out.substr(0, piece->size) + (piece->is_cut ? "|" : "") : message(piece.error());
  };
  const Address string = objects.c_string("caf\xc3\xa9 au lait");
  CHECK(read(string, 20) == "caf\xc3\xa9 au lait");
  CHECK(read(string + 3, 20) == "\xc3\xa9 au lait");
  CHECK(read(string, 13) == "caf\xc3\xa9 au lait");
  CHECK(read(string, 5) == "caf\xc3\xa9|");
  CHECK(read(string, 4) == "caf|");
  CHECK(read(string, 0) == "|");
  const Address endless = objects.memory().add(8);
  objects.memory().put(endless, ~std::uint64_t{0});
  CHECK(read(endless, 20) == message(Errc::unreadable));
  CHECK(read(endless, 8) == message(Errc::unreadable));
}
