// Frame pointer and stack scan: callers of code without rules; chains that show whether a guess leads on.
#include "pyagent/unwind/stack_scan.hpp"

#include <random>

#include "support/catch.hpp"
#include "support/failing_memory.hpp"
#include "support/fake_stack.hpp"

using namespace pyagent;
using test::call_in;
using test::FakeCallCode;
using test::FakeStack;
using test::rule_by_fp;
using test::rule_by_sp;
using unwind::Goal;
using unwind::StepResult;

namespace {

using Registers = unwind::BasicRegisters<unwind::X86_64>;

/// main -> work (frame of 4 words, found by its stack pointer) -> bare, which has no rule.
struct Program {
  FakeStack stack;
  FakeCallCode code;
  Address start = code.add(test::end_rule());
  Address work = code.add(rule_by_sp(48, 16));
  Address framed = code.add(rule_by_fp());
  Address bare = code.add_bare();
  Address work_sp, frame;

  Program() {
    stack.push(call_in(start));
    frame = stack.push(0x77);  // rbp
    stack.allocate(4);
    work_sp = stack.sp();
  }

  unwind::StepLimits limits() const { return {.stack = stack.range()}; }
  Registers registers(std::uint64_t fp = 0) const {
    Registers found = unwind::registers_of_blocked<unwind::X86_64>(bare, stack.sp());
    if (fp != 0) found.set(6, fp);
    return found;
  }
  bool scan(Registers& found, Goal goal = {}) {
    unsigned budget = 100;
    const auto memory = stack.memory();
    return unwind::scan_for_caller(memory, code, found, false, limits(), goal, budget);
  }
  unwind::Caller by_frame_pointer(std::uint64_t fp) {
    const auto memory = stack.memory();
    return unwind::find_caller_by_frame_pointer(memory, code, registers(fp), limits());
  }
};

}  // namespace

TEST_CASE("a frame pointer leads to a caller", "[unwind]") {
  Program program;
  program.stack.push(call_in(program.work));
  const Address frame = program.stack.push(program.frame);
  program.stack.allocate(20);
  const auto caller = program.by_frame_pointer(frame.value);
  CHECK(caller.result == StepResult::ok);
  CHECK(caller.program_counter == call_in(program.work));
  CHECK(caller.cfa == program.work_sp);
  CHECK(caller.frame_pointer == program.frame.value);
}

TEST_CASE("what is no frame pointer isn't followed", "[unwind]") {
  Program program;
  program.stack.push(call_in(program.work));
  const Address frame = program.stack.push(program.frame);
  const Address middle = program.stack.allocate(20);
  program.stack.allocate(20);
  CHECK(program.by_frame_pointer(frame.value + 4).result != StepResult::ok);  // not aligned
  CHECK(program.by_frame_pointer(middle.value).result != StepResult::ok);     // no return address there
  CHECK(program.by_frame_pointer(program.stack.sp().value - 8).result != StepResult::ok);
  CHECK(program.by_frame_pointer(program.stack.range().end.value - 8).result != StepResult::ok);
  CHECK(program.by_frame_pointer(program.stack.range().end.value).result != StepResult::ok);
  CHECK(program.by_frame_pointer(0).result != StepResult::ok);
  program.stack.write(frame + 8, program.work + 0x20);  // in code, but not behind a call
  CHECK(program.by_frame_pointer(frame.value).result != StepResult::ok);
}

TEST_CASE("a leaf that leaves the frame pointer alone doesn't hide its caller", "[unwind]") {
  Program program;
  program.stack.push(call_in(program.work));
  const Address frame = program.stack.push(program.frame);
  program.stack.allocate(20);
  program.stack.push(call_in(program.framed));
  const Address sp = program.stack.sp();
  program.stack.allocate(GENERATE(0U, 3U));  // registers that it saved
  SECTION("the record is that of a function with rules") {
    program.code.callees = {{call_in(program.work), program.framed}};
    const auto caller = program.by_frame_pointer(frame.value);
    CHECK(caller.program_counter == call_in(program.framed));
    CHECK(caller.cfa == sp + 8);
    CHECK(caller.frame_pointer == frame.value);
  }
  SECTION("the record may be its own, and what lies there old") {
    program.code.callees = GENERATE(std::vector<std::pair<Address, Address>>{},
                                    std::vector{std::pair{call_in(Program{}.work), Program{}.bare}});
    const auto caller = program.by_frame_pointer(frame.value);
    CHECK(caller.program_counter == call_in(program.work));
    CHECK(caller.cfa == frame + 16);
  }
}

TEST_CASE("a scan finds the return address behind whatever lies there", "[unwind]") {
  Program program;
  const Address word = program.stack.push(call_in(program.work));
  std::mt19937_64 random{3};
  for (int i = 0; i < 3000; ++i) program.stack.push(random() >> (random() % 64));
  program.stack.push(program.work + 0x20);    // a function pointer, say
  program.stack.push(call_in(program.bare));  // behind a call, but from there nothing leads on
  program.stack.push(call_in(program.work, 7) - 1);
  Registers registers = program.registers();
  REQUIRE(program.scan(registers));
  CHECK(registers.program_counter() == call_in(program.work));
  CHECK(registers.stack_pointer() == word + 8);
  CHECK_FALSE(registers.has_frame_pointer());
}

TEST_CASE("a scan takes what called another function only if there is nothing else", "[unwind]") {
  Program program;
  program.stack.push(call_in(program.work, 2));
  program.stack.allocate(5);
  program.stack.push(call_in(program.work, 3));
  program.stack.allocate(5);
  program.code.callees = {{call_in(program.work, 3), program.framed}};
  Registers registers = program.registers();
  REQUIRE(program.scan(registers));
  CHECK(registers.program_counter() == call_in(program.work, 2));
  // Where the frame's own code has a rule, it may be that function.
  registers = program.registers();
  const auto memory = program.stack.memory();
  unsigned budget = 100;
  REQUIRE(unwind::scan_for_caller(memory, program.code, registers, true, program.limits(), {}, budget));
  CHECK(registers.program_counter() == call_in(program.work, 3));
  program.code.callees.emplace_back(call_in(program.work, 2), program.framed);
  program.code.callees.emplace_back(call_in(program.start), program.framed);
  registers = program.registers();
  REQUIRE(program.scan(registers));
  CHECK(registers.program_counter() == call_in(program.work, 3));
}

TEST_CASE("a scan goes no further than its limit", "[unwind]") {
  Program program;
  program.stack = FakeStack{1 << 14};
  program.stack.push(call_in(program.start));
  program.stack.push(0x77);
  program.stack.allocate(4);
  program.stack.push(call_in(program.work));
  Registers registers;
  SECTION("within") {
    program.stack.allocate(unwind::max_scan / 8 - 1);
    registers = program.registers();
    CHECK(program.scan(registers));
  }
  SECTION("beyond") {
    program.stack.allocate(unwind::max_scan / 8);
    registers = program.registers();
    CHECK_FALSE(program.scan(registers));
    CHECK(registers.program_counter() == program.bare);
  }
}

TEST_CASE("a return address whose rule needs the frame pointer is found with one", "[unwind]") {
  Program program;
  program.stack.push(call_in(program.work));
  const Address frame = program.stack.push(program.frame);
  program.stack.allocate(10);
  const Address word = program.stack.push(call_in(program.framed));
  Registers registers;
  SECTION("that the code between has saved") {
    program.stack.push(0x1234);
    program.stack.push(program.stack.sp());
    program.stack.push(frame);
    program.stack.allocate(5);
    registers = program.registers();
  }
  SECTION("that the code between has left alone") { registers = program.registers(frame.value); }
  REQUIRE(program.scan(registers));
  CHECK(registers.program_counter() == call_in(program.framed));
  CHECK(registers.stack_pointer() == word + 8);
  CHECK(registers.frame_pointer() == frame);
}

TEST_CASE("a scan that has an anchor to come by isn't led astray", "[unwind]") {
  Program program;
  const Address eval = program.code.add(rule_by_sp(32));
  program.stack.push(call_in(program.work));
  const Address cfa = program.stack.sp() + 8;
  const Address anchor = program.stack.allocate(3);
  program.stack.push(call_in(eval));
  program.stack.allocate(4);
  program.stack.push(call_in(program.work, 9));  // old: leads to a frame that ends in the middle of eval's
  program.stack.allocate(4);
  Registers registers = program.registers();
  REQUIRE(program.scan(registers, {anchor, cfa - anchor}));
  CHECK(registers.program_counter() == call_in(eval));
  registers = program.registers();
  CHECK_FALSE(program.scan(registers, {anchor, 8}));              // there is no frame of that shape
  CHECK_FALSE(program.scan(registers, {program.stack.sp(), 0}));  // nothing may be left out
}

TEST_CASE("a scan does with what can be read", "[unwind]") {
  Program program;
  program.stack.push(call_in(program.work));
  program.stack.allocate(200);
  const auto memory = program.stack.memory();
  std::size_t found = 0;
  const auto reads = test::refuse_each_read(memory, [&](const auto& failing) {
    unsigned budget = 100;
    Registers registers = program.registers();
    if (unwind::scan_for_caller(failing, program.code, registers, false, program.limits(), {}, budget)) {
      ++found;
      const Address pc = registers.program_counter();
      CHECK((pc == call_in(program.work) || pc == call_in(program.start)));
    } else {
      CHECK(registers.program_counter() == program.bare);
    }
  });
  CHECK(reads > 8);
  CHECK(found > 0);
  // A copy that ends in the middle of a block is read to its last word.
  const std::size_t used = (program.stack.range().end - program.stack.sp()) / 8;
  const auto whole = std::as_bytes(program.stack.words().last(used));
  Registers registers = program.registers();
  unsigned budget = 100;
  const memory::BufferMemory short_copy{program.stack.sp(), whole.first(8 * 207)};  // as far as main's return address
  CHECK(unwind::scan_for_caller(short_copy, program.code, registers, false, program.limits(), {}, budget));
}

TEST_CASE("the outermost function alone is no chain", "[unwind]") {
  Program program;
  unsigned budget = 100;
  const auto memory = program.stack.memory();
  const auto registers = unwind::registers_of_blocked<unwind::X86_64>(call_in(program.start), program.stack.sp());
  CHECK(unwind::follow_chain(memory, program.code, registers, program.limits(), {}, budget).end ==
        unwind::ChainEnd::broken);
}

TEST_CASE("a chain ends at its goal, at the root, or when it has convinced", "[unwind]") {
  Program program;
  const auto follow = [&](Goal goal, unsigned budget = 100) {
    const auto memory = program.stack.memory();
    auto registers = unwind::registers_of_blocked<unwind::X86_64>(call_in(program.work), program.stack.sp());
    return unwind::follow_chain(memory, program.code, registers, program.limits(), goal, budget).end;
  };
  using unwind::ChainEnd;
  CHECK(follow({}) == ChainEnd::at_root);
  CHECK(follow({}, 1) == ChainEnd::broken);
  CHECK(follow({program.stack.sp() + 8}) == ChainEnd::at_goal);
  CHECK(follow({program.stack.sp() - 8}) == ChainEnd::broken);
  for (int i = 0; i < 40; ++i) {
    program.stack.push(call_in(program.work));
    program.stack.allocate(5);
  }
  CHECK(follow({}) == ChainEnd::convincing);
}
