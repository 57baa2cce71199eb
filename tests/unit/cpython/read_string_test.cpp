// Strings of every kind, from fake objects.
#include "pyagent/cpython/read_string.hpp"

#include <array>   // array
#include <string>  // string

#include "pyagent/cpython/layouts.hpp"
#include "support/catch.hpp"
#include "support/failing_memory.hpp"
#include "support/fake_objects.hpp"

using namespace pyagent;
using namespace pyagent::cpython;
using namespace pyagent::test;

namespace {

const Layout* const layouts[] = {&layout_v3_5, &layout_v3_11, &layout_v3_12, &layout_v3_13t, &layout_v3_14t, &layout_v3_15};

struct Text {
  std::string utf8;
  bool is_cut = false;
  Errc error = Errc::ok;
  friend bool operator==(const Text&, const Text&) = default;
};

Text read(FakeObjects& objects, Address string, std::size_t room = 1000) {
  std::string out(room, '#');
  const auto piece = read_string(objects.memory(), objects.layout(), string, out);
  if (!piece) return {{}, false, piece.error().code};
  return {out.substr(0, piece->size), piece->is_cut, Errc::ok};
}

Text whole(std::string utf8) { return {std::move(utf8)}; }
Text cut(std::string utf8) { return {std::move(utf8), true}; }
Text failed(Errc code) { return {{}, false, code}; }

}  // namespace

TEST_CASE("read_string gives UTF-8 for characters of one, two and four bytes", "[cpython]") {
  for (const Layout* layout : layouts) {
    FakeObjects objects{*layout};
    for (const bool is_subclass : {false, true}) {
      const FakeStr as{.is_subclass = is_subclass};
      CHECK(read(objects, objects.str("", as)) == whole(""));
      CHECK(read(objects, objects.str("<module>", as)) == whole("<module>"));
      CHECK(read(objects, objects.str(U"caf\u00e9 \u00ff", as)) == whole("caf\xc3\xa9 \xc3\xbf"));
      CHECK(read(objects, objects.str(U"\u03a9\u20ac\u07ff\u0800\uffff", as)) ==
            whole("\xce\xa9\xe2\x82\xac\xdf\xbf\xe0\xa0\x80\xef\xbf\xbf"));
      CHECK(read(objects, objects.str(U"a\U0001f40d\U0010ffffz", as)) == whole("a\xf0\x9f\x90\x8d\xf4\x8f\xbf\xbfz"));
      CHECK(read(objects, objects.str(U"a\U00010000", as)) == whole("a\xf0\x90\x80\x80"));
    }
  }
}

TEST_CASE("read_string keeps zeros, which end no Python string", "[cpython]") {
  FakeObjects objects{layout_v3_12};
  CHECK(read(objects, objects.str(std::string{"a\0b", 3})) == whole(std::string{"a\0b", 3}));
  CHECK(read(objects, objects.str(std::u32string{U'\u20ac', 0, 'b'})) == whole(std::string{"\xe2\x82\xac\0b", 5}));
}

TEST_CASE("read_string writes U+FFFD for lone surrogates and for what is no code point", "[cpython]") {
  for (const Layout* layout : layouts) {
    FakeObjects objects{*layout};
    const std::u32string surrogates = {0xd7ff, 0xd800, 0xdbff, 0xdc00, 0xdfff, 0xe000};
    const std::string expected = "\xed\x9f\xbf\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xee\x80\x80";
    CHECK(read(objects, objects.str(surrogates)) == whole(expected));
    CHECK(read(objects, objects.str(surrogates, {.kind = 4})) == whole(expected));
    const std::u32string beyond = {0x10ffff, 0x110000, 0xffffffff, 'x'};
    CHECK(read(objects, objects.str(beyond)) == whole("\xf4\x8f\xbf\xbf\xef\xbf\xbd\xef\xbf\xbdx"));
  }
}

TEST_CASE("read_string cuts what is too long, but no character", "[cpython]") {
  for (const Layout* layout : layouts) {
    FakeObjects objects{*layout};
    const Address ascii = objects.str("hello");
    CHECK(read(objects, ascii, 5) == whole("hello"));
    CHECK(read(objects, ascii, 4) == cut("hell"));
    CHECK(read(objects, ascii, 0) == cut(""));
    const Address euros = objects.str(U"\u20ac\u20ac");
    CHECK(read(objects, euros, 6) == whole("\xe2\x82\xac\xe2\x82\xac"));
    for (const std::size_t room : {3u, 4u, 5u}) CHECK(read(objects, euros, room) == cut("\xe2\x82\xac"));
    CHECK(read(objects, euros, 2) == cut(""));
    CHECK(read(objects, objects.str(U"a\U0001f40d"), 4) == cut("a"));
  }
}

TEST_CASE("read_string reads long strings piece by piece", "[cpython]") {
  FakeObjects objects{layout_v3_13t};
  std::u32string text;
  std::string expected;
  for (int i = 0; i < 100; ++i) text += U"x\u20ac\u00e9", expected += "x\xe2\x82\xac\xc3\xa9";
  CHECK(read(objects, objects.str(text)) == whole(expected));
  CHECK(read(objects, objects.str(text, {.kind = 4})) == whole(expected));
  CHECK(read(objects, objects.str(std::u32string(400, U'\u00e9'))).utf8.size() == 800);
  CHECK(read(objects, objects.str(std::string(100'000, 'a')), 4000) == cut(std::string(4000, 'a')));
}

TEST_CASE("read_string refuses objects that can't be strings", "[cpython]") {
  for (const Layout* layout : layouts) {
    FakeObjects objects{*layout};
    const Address string = objects.str("abc");
    const unsigned shift = layout->string_state == StringState::free_threaded ? 8 : 2;
    for (const std::uint32_t bits : {0u | 8, 3u | 8, 5u, 6u, 7u | 8 | 16, 2u | 8 | 16, 4u | 16}) {
      objects.memory().put(string + layout->unicode.state, bits << shift);
      CHECK(read(objects, string) == failed(Errc::wrong_type));
    }
    objects.memory().put(string + layout->unicode.state, (1u | 8 | 16) << shift);
    CHECK(read(objects, string) == whole("abc"));
    objects.memory().put(string + layout->unicode.length, ~std::uint64_t{0});
    CHECK(read(objects, string) == failed(Errc::wrong_type));
    objects.memory().put(string + layout->unicode.length, std::uint64_t{4000});
    CHECK(read(objects, string) == failed(Errc::unreadable));
    CHECK(read(objects, Address{}) == failed(Errc::unreadable));
  }
  FakeObjects objects{layout_v3_9};
  Layout ancient = layout_v3_9;
  ancient.string_state = StringState::byte_string;
  std::array<char, 8> out;
  CHECK(read_string(objects.memory(), ancient, objects.str("abc"), out).error().code == Errc::unsupported_version);
}

TEST_CASE("read_string survives each read that fails", "[cpython]") {
  for (const Layout* layout : layouts) {
    FakeObjects objects{*layout};
    const Address string = objects.str(std::u32string(100, U'\u20ac'), {.is_subclass = true});
    std::array<char, 1000> out;
    bool is_read = false;
    const auto reads = refuse_each_read(objects.memory(), [&](const auto& memory) {
      is_read = static_cast<bool>(read_string(memory, *layout, string, out));
      CHECK(is_read != memory.has_failed());
    });
    CHECK(is_read);
    CHECK(reads == 2 + (200 + 63) / 64);
  }
}

TEST_CASE("is_string compares content", "[cpython]") {
  for (const Layout* layout : layouts) {
    FakeObjects objects{*layout};
    const auto is = [&](Address string, std::string_view text) { return is_string(objects.memory(), *layout, string, text); };
    CHECK(is(objects.str("self"), "self"));
    CHECK(is(objects.str("self", {.is_subclass = true}), "self"));
    CHECK(is(objects.str(""), ""));
    CHECK_FALSE(is(objects.str("self"), "sell"));
    CHECK_FALSE(is(objects.str("self"), "sel"));
    CHECK_FALSE(is(objects.str("self"), "selfs"));
    CHECK_FALSE(is(objects.str(U"sel\u00e9"), "self"));
    CHECK_FALSE(is(Address{8}, "self"));
    const std::string text = std::string(64, 'a') + std::string(64, 'b');
    CHECK(is(objects.str(text), text));
    CHECK_FALSE(is(objects.str(text.substr(0, 127) + 'x'), text));
    const Address string = objects.str("self");
    refuse_each_read(objects.memory(), [&](const auto& memory) {
      const bool is_self = is_string(memory, *layout, string, "self");
      CHECK(is_self != memory.has_failed());
    });
  }
}

TEST_CASE("read_string_identity differs when the text does", "[cpython]") {
  for (const Layout* layout : layouts) {
    FakeObjects objects{*layout};
    const auto identity = [&](auto text, FakeStr as = {}) {
      return *read_string_identity(objects.memory(), *layout, objects.str(text, as));
    };
    CHECK(identity("f_17") == identity("f_17"));
    CHECK(identity("f_17") != identity("f_18"));
    CHECK(identity("f_17") != identity("f_170"));
    CHECK(identity(U"\u00e9") != identity(U"\u20ac"));
    CHECK(identity("f", {.hash = 17}) == identity("f", {.hash = 17}));
    CHECK(identity("f", {.hash = 17}) != identity("f", {.hash = 18}));
    const std::string path = "/usr/lib/python3/dist-packages/" + std::string(100, 'x');
    CHECK(identity(path + "a.py") != identity(path + "b.py"));
    CHECK(identity("a" + path) != identity("b" + path));
    const Address string = objects.str(path, {.is_subclass = true});
    const auto reads = refuse_each_read(objects.memory(), [&](const auto& memory) {
      const auto read = read_string_identity(memory, *layout, string);
      CHECK(static_cast<bool>(read) != memory.has_failed());
    });
    CHECK(reads == 4);
  }
}
