// Tests of symbol/code_symbol.hpp.
#include "pyagent/symbol/code_symbol.hpp"

#include "pyagent/profile/build_profile.hpp"
#include "support/catch.hpp"

using namespace pyagent;

static_assert(profile::CodeSymbolizer<symbol::CodeSymbols>);

namespace {

std::vector<std::byte> bytes(std::initializer_list<int> values) {
  std::vector<std::byte> result;
  for (const int value : values) result.push_back(static_cast<std::byte>(value));
  return result;
}

recording::CodeRecord code_of_method() {
  recording::CodeRecord code;
  code.id = 1;
  code.name = "method";
  code.qualified_name = "Class.method";
  code.filename = "/home/me/run.py";
  code.first_line = 10;
  return code;
}

}  // namespace

TEST_CASE("code is shown by its qualified name where that is known", "[symbol]") {
  recording::CodeRecord code = code_of_method();
  const symbol::CodeSymbols symbols;
  CHECK(symbols.name(code) == "Class.method");
  code.qualified_name.clear();
  CHECK(symbols.name(code) == "method");
  code.name.clear();
  CHECK(symbols.name(code) == "[unnamed code]");
}

TEST_CASE("positions count lines and columns from one", "[symbol]") {
  recording::CodeRecord code = code_of_method();
  code.line_format = cpython::LineTable::locations;
  // Objects/locations.md: one unit at line + 1, columns 4 to 9 (form 11); one unit without location (form 15).
  code.lines = bytes({0x80 | 11 << 3, 4, 9, 0x80 | 15 << 3});
  const symbol::CodeSymbols symbols;
  CHECK(symbols.position(code, 0) == symbol::Position{11, 5});
  CHECK(symbols.position(code, 2) == symbol::Position{11, 0});
  CHECK(symbols.position(code, -1) == symbol::Position{10, 0});
}

TEST_CASE("versions without columns give lines", "[symbol]") {
  recording::CodeRecord code = code_of_method();
  code.line_format = cpython::LineTable::lnotab_signed;
  code.lines = bytes({0, 1, 4, 2, 6, 0xff});
  const symbol::CodeSymbols symbols;
  CHECK(symbols.position(code, 0) == symbol::Position{11, 0});
  CHECK(symbols.position(code, 4) == symbol::Position{13, 0});
  CHECK(symbols.position(code, 10) == symbol::Position{12, 0});
}

TEST_CASE("file names are shortened", "[symbol]") {
  symbol::CodeSymbols symbols;
  CHECK(symbols.short_filename(code_of_method()) == "run.py");
}
