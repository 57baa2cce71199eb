// step: every kind of rule, on stacks as a program would have pushed them; nothing implausible is believed.
#include "pyagent/unwind/step.hpp"

#include <array>
#include <cstring>
#include <random>

#include "support/catch.hpp"
#include "support/failing_memory.hpp"
#include "support/fake_stack.hpp"

using namespace pyagent;
using test::FakeStack;
using test::rule_by;
using test::rule_by_fp;
using test::rule_by_sp;
using unwind::Aarch64;
using unwind::Caller;
using unwind::CfaRule;
using unwind::SavedRule;
using unwind::StepResult;
using unwind::UnwindRule;
using unwind::X86_64;

namespace {

using Registers = unwind::BasicRegisters<X86_64>;
using ArmRegisters = unwind::BasicRegisters<Aarch64>;

constexpr Address pc{0x5555'0000'0010};
constexpr Address return_address{0x5555'0000'0128};

Registers registers_at(Address sp, std::uint64_t fp = 0x1111) {
  Registers registers;
  for (unsigned i = 0; i < X86_64::count; ++i) registers.set(i, 0xdead'0000 + i);
  registers.set(6, fp);
  registers.set(7, sp.value);
  registers.set(16, pc.value);
  return registers;
}

template <class Arch>
Caller step(const FakeStack& stack, const UnwindRule& rule, unwind::BasicRegisters<Arch>& registers) {
  const auto memory = stack.memory();
  unwind::StepLimits limits{.stack = stack.range()};
  limits.authentication_mask = Arch::authentication_mask;
  return unwind::step(memory, rule, registers, limits);
}

void check_caller(const Registers& registers, Address sp, std::uint64_t fp) {
  CHECK(registers.program_counter() == return_address);
  CHECK(registers.stack_pointer() == sp);
  CHECK(registers.frame_pointer().value == fp);
}

}  // namespace

TEST_CASE("a caller is found from the stack pointer", "[unwind]") {
  FakeStack stack;
  const Address outer = stack.sp();
  stack.push(return_address);
  stack.push(0x2222);  // rbp
  stack.allocate(3);
  Registers registers = registers_at(stack.sp());
  const Caller caller = step(stack, rule_by_sp(40, 16), registers);
  CHECK(caller.result == StepResult::ok);
  CHECK(caller.cfa == outer);
  check_caller(registers, outer, 0x2222);
  CHECK(registers.is_exact(6));
  CHECK_FALSE(caller.is_presumed);
}

TEST_CASE("a caller is found from the frame pointer", "[unwind]") {
  FakeStack stack;
  const Address outer = stack.sp();
  stack.push(return_address);
  const Address frame = stack.push(0x2222);
  stack.allocate(100);
  Registers registers = registers_at(stack.sp(), frame.value);
  CHECK(step(stack, rule_by_fp(), registers).result == StepResult::ok);
  check_caller(registers, outer, 0x2222);
}

TEST_CASE("a frame pointer that is not touched, lost, or elsewhere is known for what it is", "[unwind]") {
  FakeStack stack;
  stack.push(return_address);
  UnwindRule rule = rule_by_sp(8);
  Registers registers = registers_at(stack.sp(), 0x77);
  SECTION("untouched") {
    CHECK(step(stack, rule, registers).result == StepResult::ok);
    CHECK((registers.is_exact(6) && registers.values[6] == 0x77));
  }
  SECTION("untouched, and not exact before") {
    registers.presume(6, 0x77);
    CHECK(step(stack, rule, registers).result == StepResult::ok);
    CHECK((registers.is_known(6) && !registers.is_exact(6)));
  }
  SECTION("lost") {
    rule.frame_pointer.rule = SavedRule::undefined;
    CHECK(step(stack, rule, registers).result == StepResult::ok);
    CHECK_FALSE(registers.is_known(6));
  }
  SECTION("in another register") {
    rule.frame_pointer = {SavedRule::in_register, 12, 0};
    CHECK(step(stack, rule, registers).result == StepResult::ok);
    CHECK(registers.values[6] == 0xdead'000c);
  }
  SECTION("the CFA itself") {
    rule.frame_pointer = {SavedRule::is_cfa, 0, -16};
    CHECK(step(stack, rule, registers).result == StepResult::ok);
    CHECK(registers.values[6] == (stack.range().end - 16).value);
  }
  SECTION("where nothing can be read") {
    rule.frame_pointer = {SavedRule::at_register, 3, 0};
    CHECK(step(stack, rule, registers).result == StepResult::ok);
    CHECK_FALSE(registers.is_known(6));
  }
}

// GCC with -mavx2 and an aligned local: lea r10,[rsp+8]; and rsp,-32; push [r10-8]; push rbp; mov rbp,rsp; push r10
TEST_CASE("a realigned frame is left through the saved stack pointer", "[unwind]") {
  FakeStack stack;
  const Address outer = stack.sp();
  stack.push(return_address);
  stack.allocate(3);
  stack.push(return_address);
  const Address frame = stack.push(0x2222);
  stack.push(outer);  // r10
  stack.allocate(8);
  Registers registers = registers_at(stack.sp(), frame.value);
  UnwindRule rule;
  rule.cfa = CfaRule::deref;
  rule.cfa_register = 6;
  rule.cfa_offset = -8;
  rule.return_address = {SavedRule::at_cfa, 0, -8};
  rule.frame_pointer = {SavedRule::at_register, 6, 0};
  CHECK(step(stack, rule, registers).result == StepResult::ok);
  check_caller(registers, outer, 0x2222);
}

// GCC 12 goes on to say that rbp is at *(rbp + 0): after `pop rbp; lea rsp,[r10-8]`, and before `mov rbp,rsp`.
TEST_CASE("at the ends of a realigned frame the frame pointer is the caller's", "[unwind]") {
  FakeStack stack;
  stack.allocate(8);
  stack.write(stack.sp(), 0x3333);
  const Address frame_of_caller = stack.sp();
  stack.allocate(2);
  const Address outer = stack.sp();
  stack.push(return_address);
  stack.allocate(6);
  Registers registers = registers_at(stack.sp(), frame_of_caller.value);
  registers.set(10, outer.value);
  UnwindRule rule = rule_by(10, 0);
  rule.frame_pointer = {SavedRule::at_register, 6, 0};
  CHECK(step(stack, rule, registers).result == StepResult::ok);
  check_caller(registers, outer, frame_of_caller.value);
}

TEST_CASE("in the prologue of a realigned frame r10 is the CFA, if it is the innermost frame", "[unwind]") {
  FakeStack stack;
  const Address outer = stack.sp();
  stack.push(return_address);
  stack.allocate(3);
  Registers registers = registers_at(stack.sp());
  registers.set(10, outer.value);
  SECTION("innermost") {
    CHECK(step(stack, rule_by(10, 0), registers).result == StepResult::ok);
    check_caller(registers, outer, 0x1111);
  }
  SECTION("further out") {
    registers.presume(10, outer.value);
    CHECK(step(stack, rule_by(10, 0), registers).result == StepResult::unknown_register);
  }
}

TEST_CASE("a register that inner frames may have changed gives a caller that is to be checked", "[unwind]") {
  FakeStack stack;
  const Address outer = stack.sp();
  stack.push(return_address);
  stack.allocate(5);
  Registers registers = registers_at(stack.sp());
  registers.set(11, (outer - 16).value);
  SECTION("exact") { CHECK_FALSE(step(stack, rule_by(11, 16), registers).is_presumed); }
  SECTION("presumed") {
    registers.presume(11, (outer - 16).value);
    CHECK(step(stack, rule_by(11, 16), registers).is_presumed);
    CHECK_FALSE(registers.is_exact(11));
  }
  check_caller(registers, outer, 0x1111);
}

// OpenSSL's sha256_block_data_order: *(rsp + 88) + 8
TEST_CASE("a CFA that is stored on the stack has something added", "[unwind]") {
  FakeStack stack;
  const Address outer = stack.sp();
  stack.push(return_address);
  const Address pushed = stack.sp();
  stack.allocate(2);
  stack.push(pushed);
  stack.allocate(11);
  Registers registers = registers_at(stack.sp());
  UnwindRule rule;
  rule.cfa = CfaRule::deref;
  rule.cfa_register = 7;
  rule.cfa_offset = 88;
  rule.cfa_add = 8;
  rule.return_address = {SavedRule::at_cfa, 0, -8};
  CHECK(step(stack, rule, registers).result == StepResult::ok);
  check_caller(registers, outer, 0x1111);
}

TEST_CASE("a stub of the procedure linkage table has pushed a word or not", "[unwind]") {
  FakeStack stack;
  const Address outer = stack.sp();
  stack.push(return_address);
  UnwindRule rule;
  rule.cfa = CfaRule::plt;
  rule.cfa_register = 7;
  rule.cfa_offset = 8;
  rule.plt_limit = 11;
  rule.return_address = {SavedRule::at_cfa, 0, -8};
  const unsigned offset = GENERATE(0U, 6U, 10U, 11U, 15U);  // jmp *GOT; push index at 6; jmp at 11
  if (offset >= 11) stack.push(3);
  Registers registers = registers_at(stack.sp());
  registers.set(16, 0x5555'0000'0020 + offset);
  CHECK(step(stack, rule, registers).result == StepResult::ok);
  check_caller(registers, outer, 0x1111);
}

TEST_CASE("an expression tells the CFA", "[unwind]") {
  FakeStack stack;
  const Address outer = stack.sp();
  stack.push(return_address);
  stack.allocate(4);
  Registers registers = registers_at(stack.sp());
  static constexpr std::array code = {std::byte{0x77}, std::byte{40}};  // DW_OP_breg7 40
  UnwindRule rule;
  rule.cfa = CfaRule::expression;
  rule.expression = code.data();
  rule.return_address = {SavedRule::at_cfa, 0, -8};
  SECTION("sound") {
    rule.expression_size = 2;
    CHECK(step(stack, rule, registers).result == StepResult::ok);
    check_caller(registers, outer, 0x1111);
  }
  SECTION("cut off") {
    rule.expression_size = 1;
    CHECK(step(stack, rule, registers).result == StepResult::unknown_rule);
  }
  SECTION("missing") {
    rule.expression = nullptr;
    CHECK(step(stack, rule, registers).result == StepResult::unknown_rule);
  }
  SECTION("with a register that isn't known") {
    rule.expression_size = 2;
    registers.forget(7);
    CHECK(step(stack, rule, registers).result == StepResult::unknown_register);
  }
}

TEST_CASE("behind a signal's trampoline are the registers of what was interrupted", "[unwind]") {
  FakeStack stack;
  stack.allocate(64);
  const Address interrupted = stack.sp();
  stack.allocate(200);
  Registers registers = registers_at(stack.sp());
  for (unsigned i = 0; i < 17; ++i) {
    const unsigned number = X86_64::context_order[i];
    stack.write(stack.sp() + 40 + 8 * i, number == 7 ? interrupted.value : 0xabc000 + number);
  }
  UnwindRule rule;
  rule.cfa = CfaRule::signal;
  rule.is_signal_frame = true;
  SECTION("further out on the same stack") {
    const Caller caller = step(stack, rule, registers);
    CHECK(caller.result == StepResult::ok);
    CHECK(caller.is_interrupted);
    CHECK(registers.stack_pointer() == interrupted);
    CHECK(registers.program_counter() == Address{0xabc010});
    for (unsigned i = 0; i < 17; ++i) CHECK((i == 7 || registers.values[i] == 0xabc000 + i));
    CHECK(registers.exact == (1U << 17) - 1);
  }
  SECTION("on another stack") {
    stack.write(stack.sp() + 40 + 8 * 15, 0x7ffe'1234'5670);
    CHECK(step(stack, rule, registers).result == StepResult::ok);
    CHECK(registers.stack_pointer() == Address{0x7ffe'1234'5670});
  }
  SECTION("but not further in") {
    stack.write(stack.sp() + 40 + 8 * 15, (stack.sp() - 8).value);
    CHECK(step(stack, rule, registers).result == StepResult::implausible);
  }
}

TEST_CASE("the outermost frame has no caller", "[unwind]") {
  FakeStack stack;
  stack.push(return_address);
  Registers registers = registers_at(stack.sp());
  UnwindRule rule = rule_by_sp(8);
  CHECK(step(stack, test::end_rule(), registers).result == StepResult::end);
  rule.return_address.rule = SavedRule::undefined;
  CHECK(step(stack, rule, registers).result == StepResult::end);
  stack.write(stack.sp(), 0);
  CHECK(step(stack, rule_by_sp(8), registers).result == StepResult::null_return);
  CHECK(registers.program_counter() == pc);
}

TEST_CASE("what can't be a caller is refused, and the registers stay", "[unwind]") {
  FakeStack stack{1 << 18};
  stack.allocate(16);
  stack.push(return_address);
  const Address sp = stack.allocate((1 << 17) + 8);
  Registers registers = registers_at(sp);
  const auto result = [&](const UnwindRule& rule) {
    const auto before = registers.values;
    const auto found = step(stack, rule, registers).result;
    CHECK(registers.values == before);
    return found;
  };
  stack.write(sp, return_address);
  CHECK(result(rule_by_sp(0)) == StepResult::implausible);  // no progress
  CHECK(result(rule_by_sp(-8)) == StepResult::implausible);
  CHECK(result(rule_by_sp(12)) == StepResult::implausible);              // not aligned
  CHECK(result(rule_by_sp((1 << 20) + 72)) == StepResult::implausible);  // larger than any frame
  CHECK(result(rule_by(0, 0)) == StepResult::implausible);               // rax is no stack address
  CHECK(result(rule_by(99, 0)) == StepResult::unknown_register);
  CHECK(result({}) == StepResult::unknown_rule);
  stack.write(sp, sp);  // the "return address" is on the stack
  CHECK(result(rule_by_sp(8)) == StepResult::implausible);
  stack.write(sp, 0xfff);
  CHECK(result(rule_by_sp(8)) == StepResult::implausible);
  stack.write(sp, 0xffff'8000'0000'0000);  // not user space
  CHECK(result(rule_by_sp(8)) == StepResult::implausible);
  UnwindRule strange = rule_by_sp(8);
  strange.return_address = {};  // x86-64 keeps none in a register
  CHECK(result(strange) == StepResult::unknown_rule);
  const Address end = stack.range().end;
  registers.set(7, (end - 8).value);
  CHECK(result(rule_by_sp(16)) == StepResult::implausible);  // beyond the stack
  registers.forget(6);
  CHECK(result(rule_by_fp()) == StepResult::unknown_register);
}

TEST_CASE("a frame as large as libpython3.8's largest is left", "[unwind]") {
  FakeStack stack{1 << 16};
  const Address outer = stack.sp();
  stack.push(return_address);
  stack.allocate(262'208 / 8);
  Registers registers = registers_at(stack.sp());
  CHECK(step(stack, rule_by_sp(262'216), registers).result == StepResult::ok);
  check_caller(registers, outer, 0x1111);
}

TEST_CASE("on aarch64 a leaf's return address is in the link register, once", "[unwind]") {
  FakeStack stack;
  stack.allocate(10);
  ArmRegisters registers;
  for (unsigned i = 0; i < Aarch64::count; ++i) registers.set(i, 0x1000 * i);
  registers.set(31, stack.sp().value);
  registers.set(30, return_address.value | 0x00b5'0000'0000'0000);  // signed
  UnwindRule leaf = rule_by(31, 0);
  leaf.return_address = {};
  const Address sp = stack.sp();
  CHECK(step(stack, leaf, registers).result == StepResult::ok);
  CHECK(registers.program_counter() == return_address);
  CHECK(registers.stack_pointer() == sp);
  CHECK(registers.frame_pointer() == Address{0x1000 * 29});
  // Its caller has called: what was in the register is gone.
  CHECK(step(stack, leaf, registers).result == StepResult::unknown_register);
}

TEST_CASE("on aarch64 a frame keeps frame pointer and link register side by side", "[unwind]") {
  FakeStack stack;
  const Address outer = stack.sp();
  stack.allocate(6);
  stack.write(stack.sp(), 0x2220);                                            // x29
  stack.write(stack.sp() + 8, return_address.value | 0x0035'0000'0000'0000);  // x30, signed
  ArmRegisters registers;
  registers.set(31, stack.sp().value);
  registers.set(32, pc.value);
  UnwindRule rule = rule_by(31, 48);
  rule.frame_pointer = {SavedRule::at_cfa, 0, -48};
  rule.return_address = {SavedRule::at_cfa, 0, -40};
  CHECK(step(stack, rule, registers).result == StepResult::ok);
  CHECK(registers.program_counter() == return_address);
  CHECK(registers.stack_pointer() == outer);
  CHECK(registers.frame_pointer() == Address{0x2220});
}

TEST_CASE("on aarch64 a signal's trampoline leads to what was interrupted", "[unwind]") {
  FakeStack stack;
  stack.allocate(64);
  const Address interrupted = stack.sp();
  stack.allocate(200);
  for (unsigned i = 0; i < 33; ++i) stack.write(stack.sp() + 312 + 8 * i, i == 31 ? interrupted.value : 0xabc000 + i);
  ArmRegisters registers;
  registers.set(31, stack.sp().value);
  UnwindRule rule;
  rule.cfa = CfaRule::signal;
  const Caller caller = step(stack, rule, registers);
  CHECK(caller.result == StepResult::ok);
  CHECK(caller.is_interrupted);
  CHECK(registers.stack_pointer() == interrupted);
  CHECK(registers.program_counter() == Address{0xabc020});
  CHECK((registers.is_exact(30) && registers.values[30] == 0xabc01e));
}

TEST_CASE("memory that can't be read makes no caller", "[unwind]") {
  FakeStack stack;
  const Address outer = stack.sp();
  stack.push(return_address);
  const Address frame = stack.push(0x2222);
  stack.push(outer);
  UnwindRule rule;
  rule.cfa = CfaRule::deref;
  rule.cfa_register = 6;
  rule.cfa_offset = -8;
  rule.return_address = {SavedRule::at_cfa, 0, -8};
  rule.frame_pointer = {SavedRule::at_register, 6, 0};
  const auto memory = stack.memory();
  const auto reads = test::refuse_each_read(memory, [&](const auto& failing) {
    Registers registers = registers_at(stack.sp(), frame.value);
    const auto result = unwind::step(failing, rule, registers, {.stack = stack.range()}).result;
    CHECK((result == StepResult::unreadable || result == StepResult::ok));
    if (result == StepResult::unreadable) CHECK(registers.program_counter() == pc);
  });
  CHECK(reads == 3);
  rule.cfa = CfaRule::signal;
  stack.allocate(40);
  test::refuse_each_read(memory, [&](const auto& failing) {
    Registers registers = registers_at(stack.sp());
    const auto result = unwind::step(failing, rule, registers, {.stack = stack.range()}).result;
    if (failing.has_failed()) CHECK(result == StepResult::unreadable);
  });
}

TEST_CASE("any rule on any stack gives something, and progress", "[unwind]") {
  std::mt19937_64 random{7};
  FakeStack stack{256};
  for (auto& word : stack.words())
    word = random() % 3 != 0 ? FakeStack::base.value + random() % 2048 : random() >> (random() % 64);
  for (int round = 0; round < 50'000; ++round) {
    UnwindRule rule;
    const auto saved = [&] {
      return unwind::SavedRegister{static_cast<SavedRule>(random() % 6), static_cast<std::uint8_t>(random() % 40),
                                   static_cast<std::int32_t>(random() % 256) - 128};
    };
    rule.cfa = static_cast<CfaRule>(random() % 7);
    rule.cfa_register = static_cast<std::uint8_t>(random() % 36);
    rule.cfa_offset =
        random() % 16 == 0 ? static_cast<std::int32_t>(random()) : static_cast<std::int32_t>(random() % 512);
    rule.frame_pointer = saved();
    rule.return_address = saved();
    Registers registers = registers_at(Address{stack.range().begin + 8 * (random() % 256)});
    for (unsigned i = 0; i < 16; ++i) registers.set(i, stack.words()[random() % 256]);
    const Address sp = registers.stack_pointer();
    const Caller caller = step(stack, rule, registers);
    if (caller.result == StepResult::ok && !caller.has_context) REQUIRE(registers.stack_pointer() > sp);
    ArmRegisters others;
    for (unsigned i = 0; i < Aarch64::count; ++i) others.set(i, stack.words()[random() % 256]);
    (void)step(stack, rule, others);
  }
}
