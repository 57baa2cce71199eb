// Expected texts are what repr() gave in CPython 3.11.
#include "pyagent/interpreter/literal.hpp"

#include <limits>  // numeric_limits

#include "support/catch.hpp"

using namespace pyagent;
using namespace pyagent::interpreter;

namespace {

template <class Float>
std::string float_text(Float value) {
  std::string out;
  append_float(out, value);
  return out;
}

std::string complex_text(double real, double imaginary) {
  std::string out;
  append_complex(out, real, imaginary);
  return out;
}

std::string int_text(bool is_negative, std::vector<std::uint32_t> digits) {
  std::string out;
  append_int(out, is_negative, digits);
  return out;
}

std::string str_text(std::u32string_view characters, std::size_t limit = 1000) {
  std::string out;
  if (!append_str(out, characters, limit)) out += "...";
  return out;
}

std::string bytes_text(std::string_view bytes, std::size_t limit = 1000) {
  std::string out;
  if (!append_bytes(out, std::as_bytes(std::span{bytes}), limit)) out += "...";
  return out;
}

}  // namespace

TEST_CASE("floats are written in the shortest form that reads back", "[interpreter]") {
  CHECK(float_text(0.1) == "0.1");
  CHECK(float_text(0.1 + 0.2) == "0.30000000000000004");
  CHECK(float_text(1.0) == "1.0");
  CHECK(float_text(-0.0) == "-0.0");
  CHECK(float_text(123456789012345680.0) == "1.2345678901234568e+17");
  CHECK(float_text(1e15) == "1000000000000000.0");
  CHECK(float_text(1e16) == "1e+16");
  CHECK(float_text(1.5e-5) == "1.5e-05");
  CHECK(float_text(0.0001) == "0.0001");
  CHECK(float_text(0.00012345) == "0.00012345");
  CHECK(float_text(-2.5e300) == "-2.5e+300");
  CHECK(float_text(5e-324) == "5e-324");
  CHECK(float_text(1.7976931348623157e308) == "1.7976931348623157e+308");
  CHECK(float_text(std::numeric_limits<double>::infinity()) == "inf");
  CHECK(float_text(-std::numeric_limits<double>::infinity()) == "-inf");
  CHECK(float_text(std::numeric_limits<double>::quiet_NaN()) == "nan");
  CHECK(float_text(0.1f) == "0.1");
}

TEST_CASE("complex numbers are written as Python does", "[interpreter]") {
  CHECK(complex_text(0.0, 2.0) == "2j");
  CHECK(complex_text(-0.0, 2.0) == "(-0+2j)");
  CHECK(complex_text(1.5, -2.0) == "(1.5-2j)");
  CHECK(complex_text(1e16, 1e-5) == "(1e+16+1e-05j)");
  CHECK(complex_text(std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::quiet_NaN()) ==
        "(nan+nanj)");
}

TEST_CASE("ints of any size are written in decimal", "[interpreter]") {
  CHECK(int_text(false, {}) == "0");
  CHECK(int_text(false, {7}) == "7");
  CHECK(int_text(true, {0x3fffffff}) == "-1073741823");
  CHECK(int_text(false, {0, 0, 16}) == "18446744073709551616");                  // 2**64
  CHECK(int_text(true, {0, 0, 0, 1024}) == "-1267650600228229401496703205376");  // 2**100
  CHECK(int_text(false, {1000000000}) == "1000000000");
  CHECK(int_text(false, {660865024 | 3u << 30, 931322574}) ==
        "1000000000000000000");  // 10**18; bits above the 30 are no digits
}

TEST_CASE("decimal_digits is never too small, and stays small for impossible sizes", "[interpreter]") {
  CHECK(decimal_digits(0) == 1);
  CHECK(decimal_digits(64) >= 20);
  CHECK(decimal_digits(1000) >= 302);
  CHECK(decimal_digits(std::uint64_t{1} << 63) > std::uint64_t{1} << 60);
}

TEST_CASE("a str is quoted and escaped as repr does", "[interpreter]") {
  CHECK(str_text(U"") == "''");
  CHECK(str_text(U"it's") == "\"it's\"");
  CHECK(str_text(U"it's \"quoted\"") == "'it\\'s \"quoted\"'");
  CHECK(str_text(std::u32string_view{U"a\tb\nc\rd\\e\0f", 11}) == "'a\\tb\\nc\\rd\\\\e\\x00f'");
  CHECK(str_text(U"\x1b[31m\x7f\x9b") == "'\\x1b[31m\\x7f\\x9b'");
  CHECK(str_text(U"caf\u00e9 \u03a9 \u20ac \U0001F600") == "'caf\xc3\xa9 \xce\xa9 \xe2\x82\xac \xf0\x9f\x98\x80'");
  CHECK(str_text(U"\u00a0\u00ad\u200b\u202e\u2028\ufeff") == "'\\xa0\\xad\\u200b\\u202e\\u2028\\ufeff'");
  CHECK(str_text(std::u32string{U'\xdc80', U'\xe000', U'\U000e0001'}) == "'\\udc80\\ue000\\U000e0001'");
}

TEST_CASE("a str that is too long is cut and closed", "[interpreter]") {
  CHECK(str_text(U"abcdef", 4) == "'abc'...");
  CHECK(str_text(U"abc", 4) == "'abc'");
  CHECK(str_text(U"\n\n\n", 4) == "'\\n\\n'...");
}

TEST_CASE("bytes are written as repr does", "[interpreter]") {
  CHECK(bytes_text("") == "b''");
  CHECK(bytes_text("it's") == "b\"it's\"");
  CHECK(bytes_text(std::string_view{"\x00\t\xff~\x7f\"'", 7}) == "b'\\x00\\t\\xff~\\x7f\"\\''");
  CHECK(bytes_text("abcdef", 4) == "b'ab'...");
}
