// DWARF expressions: each operation, worked by hand; bounded and safe whatever the bytes are.
#include "pyagent/unwind/expression.hpp"

#include <array>
#include <random>
#include <vector>

#include "support/catch.hpp"
#include "support/failing_memory.hpp"
#include "support/fake_stack.hpp"

using namespace pyagent;
using Status = unwind::ExpressionValue::Status;

namespace {

using Registers = unwind::BasicRegisters<unwind::X86_64>;

unwind::ExpressionValue evaluate(std::initializer_list<unsigned> code, const Registers& registers = {}) {
  std::vector<std::byte> bytes;
  for (const unsigned byte : code) bytes.push_back(static_cast<std::byte>(byte));
  test::FakeStack stack{16};
  for (std::size_t i = 0; i < 16; ++i) stack.words()[i] = 0x1122'3344'5566'7700 + i;
  const auto memory = stack.memory();
  return unwind::ExpressionEvaluator{memory, registers}.evaluate(bytes);
}

std::uint64_t value(std::initializer_list<unsigned> code) {
  const auto found = evaluate(code);
  REQUIRE(found.status == Status::ok);
  return found.value;
}

constexpr std::uint64_t minus(std::uint64_t value) { return 0 - value; }

}  // namespace

TEST_CASE("constants of all sizes and signs are pushed", "[unwind]") {
  CHECK(value({0x30}) == 0);
  CHECK(value({0x4f}) == 31);
  CHECK(value({0x08, 0xfe}) == 254);
  CHECK(value({0x09, 0xfe}) == minus(2));
  CHECK(value({0x0a, 0x34, 0x12}) == 0x1234);
  CHECK(value({0x0b, 0xfe, 0xff}) == minus(2));
  CHECK(value({0x0c, 1, 2, 3, 0xff}) == 0xff03'0201);
  CHECK(value({0x0d, 0xfe, 0xff, 0xff, 0xff}) == minus(2));
  CHECK(value({0x0e, 1, 2, 3, 4, 5, 6, 7, 8}) == 0x0807'0605'0403'0201);
  CHECK(value({0x03, 1, 2, 3, 4, 5, 6, 7, 8}) == 0x0807'0605'0403'0201);
  CHECK(value({0x10, 0xe5, 0x8e, 0x26}) == 624485);  // DWARF 5, figure 7.6 is of this kind; LEB128's usual example
  CHECK(value({0x11, 0x9b, 0xf1, 0x59}) == minus(624485));
  CHECK(value({0x11, 0x80, 0x7f}) == minus(128));  // DWARF 5, table 7.8
}

TEST_CASE("the stack is shuffled as DWARF says", "[unwind]") {
  CHECK(value({0x31, 0x32, 0x1c}) == minus(1));    // 1 - 2
  CHECK(value({0x31, 0x32, 0x16, 0x1c}) == 1);     // swap: 2 - 1
  CHECK(value({0x35, 0x12, 0x22}) == 10);          // dup, plus
  CHECK(value({0x31, 0x35, 0x13}) == 1);           // drop
  CHECK(value({0x31, 0x35, 0x14, 0x1c}) == 4);     // over: 5 - 1
  CHECK(value({0x31, 0x32, 0x33, 0x15, 2}) == 1);  // pick
  // DWARF 5, 2.5.1.3: rot turns 17 29 1000 (top first) into 29 1000 17
  CHECK(value({0x3f, 0x3d, 0x31, 0x17}) == 13);
  CHECK(value({0x3f, 0x3d, 0x31, 0x17, 0x13}) == 15);
  CHECK(value({0x3f, 0x3d, 0x31, 0x17, 0x13, 0x13}) == 1);
}

TEST_CASE("numbers are calculated with and compared", "[unwind]") {
  CHECK(value({0x36, 0x33, 0x1a}) == 2);            // and
  CHECK(value({0x36, 0x33, 0x21}) == 7);            // or
  CHECK(value({0x36, 0x33, 0x27}) == 5);            // xor
  CHECK(value({0x36, 0x33, 0x1e}) == 18);           // mul
  CHECK(value({0x36, 0x1f}) == minus(6));           // neg
  CHECK(value({0x36, 0x20}) == ~std::uint64_t{6});  // not
  CHECK(value({0x09, 0xfa, 0x19}) == 6);            // abs
  CHECK(value({0x36, 0x23, 0x80, 0x01}) == 134);    // plus_uconst
  CHECK(value({0x31, 0x3f, 0x24}) == 1 << 15);      // shl
  CHECK(value({0x31, 0x08, 64, 0x24}) == 0);
  CHECK(value({0x09, 0xff, 0x08, 60, 0x25}) == 15);     // shr
  CHECK(value({0x09, 0x80, 0x32, 0x26}) == minus(32));  // shra
  CHECK(value({0x09, 0x80, 0x08, 200, 0x26}) == minus(1));
  CHECK(value({0x31, 0x32, 0x2d}) == 1);        // 1 < 2
  CHECK(value({0x09, 0xff, 0x32, 0x2a}) == 0);  // -1 >= 2: signed
  CHECK(value({0x32, 0x32, 0x2a}) == 1);
  CHECK(value({0x32, 0x31, 0x2b}) == 1);  // gt
  CHECK(value({0x32, 0x32, 0x2c}) == 1);  // le
  CHECK(value({0x32, 0x32, 0x29}) == 1);  // eq
  CHECK(value({0x32, 0x32, 0x2e}) == 0);  // ne
  CHECK(value({0x96, 0x32, 0x96}) == 2);  // nop
}

TEST_CASE("jumps go both ways, and not for ever", "[unwind]") {
  CHECK(value({0x31, 0x2f, 1, 0, 0x32}) == 1);        // skip over lit2
  CHECK(value({0x37, 0x31, 0x28, 1, 0, 0x32}) == 7);  // bra: taken
  CHECK(value({0x37, 0x30, 0x28, 1, 0, 0x32}) == 2);  // bra: not taken
  // counts 5 down to 0: lit5; (lit1 minus dup bra back)
  CHECK(value({0x35, 0x31, 0x1c, 0x12, 0x28, 0xfa, 0xff}) == 0);
  CHECK(evaluate({0x2f, 0xfd, 0xff}).status == Status::unknown_operation);        // to itself
  CHECK(evaluate({0x2f, 0x00, 0x80}).status == Status::unknown_operation);        // before the beginning
  CHECK(evaluate({0x31, 0x2f, 0x10, 0x00}).status == Status::unknown_operation);  // behind the end
}

TEST_CASE("registers and memory go into expressions", "[unwind]") {
  Registers registers;
  registers.set(7, test::FakeStack::base.value);
  registers.presume(9, 2);
  // OpenSSL's shape: *(rsp + 8 * r9 + 8) + 8; words count up from the base.
  const auto found = evaluate({0x77, 0, 0x79, 0, 0x33, 0x24, 0x22, 0x23, 8, 0x06, 0x38, 0x22}, registers);
  CHECK(found.status == Status::ok);
  CHECK(found.value == 0x1122'3344'5566'7703 + 8);
  CHECK(found.is_presumed);
  CHECK(evaluate({0x77, 0x78}, registers).value == test::FakeStack::base.value - 8);  // SLEB128 -8
  CHECK_FALSE(evaluate({0x77, 0}, registers).is_presumed);
  CHECK(evaluate({0x92, 7, 8}, registers).value == test::FakeStack::base.value + 8);
  CHECK(evaluate({0x77, 0, 0x94, 2}, registers).value == 0x7700);
  CHECK(evaluate({0x78, 0}, registers).status == Status::unknown_register);
  CHECK(evaluate({0x92, 0x80, 0x01, 0}, registers).status == Status::unknown_register);
  CHECK(evaluate({0x30, 0x06}, registers).status == Status::unreadable);
  CHECK(evaluate({0x77, 0, 0x94, 9}, registers).status == Status::unknown_operation);
}

TEST_CASE("what is no sound expression is refused", "[unwind]") {
  for (const auto& code : std::initializer_list<std::initializer_list<unsigned>>{{},
                                                                                 {0x06},
                                                                                 {0x22},
                                                                                 {0x31, 0x22},
                                                                                 {0x16},
                                                                                 {0x17},
                                                                                 {0x12},
                                                                                 {0x15, 3},
                                                                                 {0x08},
                                                                                 {0x0e, 1},
                                                                                 {0x10, 0x80},
                                                                                 {0x11, 0x80},
                                                                                 {0xf3},
                                                                                 {0x2f, 0},
                                                                                 {0x28, 0, 0}})
    CHECK(evaluate(code).status != Status::ok);
  std::vector<std::byte> deep(33, std::byte{0x31});
  const test::FakeStack stack{16};
  const auto memory = stack.memory();
  const Registers registers;
  CHECK(unwind::ExpressionEvaluator{memory, registers}.evaluate(deep).status == Status::unknown_operation);
}

TEST_CASE("any bytes at all end, and do no harm", "[unwind]") {
  std::mt19937_64 random{1};
  const test::FakeStack stack{16};
  const auto memory = stack.memory();
  Registers registers;
  for (unsigned i = 0; i < 17; ++i) registers.set(i, test::FakeStack::base.value + 8 * i);
  for (int round = 0; round < 20'000; ++round) {
    std::vector<std::byte> code(random() % 24);
    for (auto& byte : code) byte = static_cast<std::byte>(random());
    (void)unwind::ExpressionEvaluator{memory, registers}.evaluate(code);
  }
}
