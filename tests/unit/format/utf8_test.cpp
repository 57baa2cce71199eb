// UTF-8 taken apart: good texts, and every way of being bad.
#include "pyagent/format/utf8.hpp"

#include <string>

#include "support/catch.hpp"

namespace format = pyagent::format;

namespace {

// The text with one U+FFFD for each piece that is not valid: what Python's decode("utf-8", "replace") gives.
std::string repaired(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const auto piece = format::take_utf8(text);
    out += piece.valid ? text.substr(0, piece.size) : format::replacement_character;
    text.remove_prefix(piece.size);
  }
  return out;
}

}  // namespace

TEST_CASE("take_utf8 reads code points of every length", "[format]") {
  CHECK(format::take_utf8("A").code_point == 0x41);
  CHECK(format::take_utf8("\xC3\xA9").code_point == 0xE9);
  CHECK(format::take_utf8("\xE2\x82\xAC").code_point == 0x20AC);
  CHECK(format::take_utf8("\xF0\x9F\x90\x8D").code_point == 0x1F40D);
  CHECK(format::take_utf8("\xF0\x9F\x90\x8D").size == 4);
  CHECK(format::take_utf8("\xEF\xBF\xBD").valid);
  CHECK(format::take_utf8("").size == 0);
}

TEST_CASE("Bytes that are not UTF-8 are replaced as Python replaces them", "[format]") {
  // Right-hand sides: bytes(...).decode("utf-8", "replace") of CPython 3.11.
  const std::string r{format::replacement_character};
  CHECK(repaired("\xFF") == r);
  CHECK(repaired("a\x80z") == "a" + r + "z");
  CHECK(repaired("\xC0\xAF") == r + r);                      // overlong
  CHECK(repaired("\xE0\x80\xAF") == r + r + r);              // overlong
  CHECK(repaired("\xED\xA0\x80") == r + r + r);              // a surrogate
  CHECK(repaired("\xF4\x90\x80\x80") == r + r + r + r);      // beyond U+10FFFF
  CHECK(repaired("\xE2\x82") == r);                          // cut off
  CHECK(repaired("\xF0\x9F\x90") == r);                      // cut off
  CHECK(repaired("\xF0\x9F\x90"
                 "A") == r + "A");
  CHECK(repaired("\xE2\x82\xE2\x82\xAC") == r + "\xE2\x82\xAC");
}
