// capture_native: whole walks over stacks made by hand: rules, the ladder below them, and Python's anchors.
#include "pyagent/capture/native_capture.hpp"

#include <array>
#include <random>
#include <vector>

#include "support/catch.hpp"
#include "support/failing_memory.hpp"
#include "support/fake_stack.hpp"

using namespace pyagent;
using capture::FoundBy;
using capture::NativeEnd;
using capture::NativeFrame;
using capture::NativeWalk;
using test::call_in;
using test::FakeCode;
using test::FakeStack;
using test::rule_by_fp;
using test::rule_by_sp;

namespace {

using Registers = unwind::BasicRegisters<unwind::X86_64>;

/// A program that calls itself deeper and deeper: each `call_…` pushes what the machine would.
struct Program {
  FakeStack stack;
  FakeCode code;
  Address start = code.add(test::end_rule());
  Address work = code.add(rule_by_sp(48, 16));  // saves rbp, 4 words of locals
  Address eval = code.add(rule_by_sp(96, 16));  // the same with 10 words
  Address framed = code.add(rule_by_fp());
  Address bare = code.add_bare();
  Address pc = start;  // of the running function
  std::uint64_t fp = 0x77;
  std::vector<Address> anchors;  // innermost first
  capture::AnchorDistance learned;
  std::array<NativeFrame, 64> out{};

  /// The running function calls `function`, which keeps the frame pointer and makes room for `locals`.
  Address call(Address function, std::size_t locals, unsigned site = 1) {
    stack.push(call_in(pc, site));
    if (function != bare) stack.push(fp);
    if (function == framed) fp = stack.sp().value;
    pc = function + 0x30;
    return stack.allocate(locals);
  }
  void call_work() { call(work, 4); }
  void call_framed() { call(framed, 6); }
  void call_bare(std::size_t words = 5) { call(bare, words); }
  /// An eval loop, with an anchor in its frame.
  void call_eval() {
    call(eval, 10);
    anchors.insert(anchors.begin(), stack.sp() + 40);
  }

  Registers registers() const {
    auto found = unwind::registers_of_blocked<unwind::X86_64>(pc, stack.sp());
    for (unsigned i = 0; i < 16; ++i)
      if (i != 7) found.set(i, 0xdead'0000 + i);
    found.set(6, fp);
    return found;
  }

  template <class M>
  NativeWalk walk(const M& memory, const Registers& from, std::size_t room = 64, bool are_spilled = false) {
    const std::array eval_code = {AddressRange{eval, eval + FakeCode::function_size}};
    const capture::PythonAnchors python{anchors, are_spilled, eval_code};
    return capture::capture_native(memory, code, from, stack.range(), python, learned, std::span{out}.first(room));
  }
  NativeWalk walk() { return walk(stack.memory(), registers()); }
  NativeWalk walk_spilled() { return walk(stack.memory(), registers(), 64, true); }

  /// Functions by their first letter, from the innermost on; an eval loop that was claimed is E, one not found is _.
  std::string names(const NativeWalk& walk) const {
    std::string text;
    for (const NativeFrame& frame : std::span{out}.first(walk.depth)) {
      if (!frame.pc) {
        text += frame.is_eval ? '_' : '0';
        continue;
      }
      const Address at = unwind::lookup_address(frame.pc, frame.is_exact);
      const auto is_in = [&](Address function) { return AddressRange{function, function + 256}.contains(at); };
      const char name = is_in(start)    ? 's'
                        : is_in(work)   ? 'w'
                        : is_in(eval)   ? 'e'
                        : is_in(framed) ? 'f'
                        : is_in(bare)   ? 'b'
                                        : '?';
      text += frame.is_eval && name == 'e' ? 'E' : frame.is_eval ? '!' : name;
    }
    return text;
  }
  /// How they were found: r(egisters), by rules (.), p(ointer), s(can), a(nchor).
  std::string found_by(const NativeWalk& walk) const {
    std::string text;
    for (const NativeFrame& frame : std::span{out}.first(walk.depth)) text += "r.psa"[static_cast<int>(frame.found_by)];
    return text;
  }
};

/// A context as the kernel leaves it above a trampoline's stack pointer.
void write_context(FakeStack& stack, Address sp, const Registers& registers) {
  for (unsigned i = 0; i < 17; ++i) stack.write(sp + 40 + 8 * i, registers.values[unwind::X86_64::context_order[i]]);
}

unwind::UnwindRule trampoline_rule() {
  unwind::UnwindRule rule;
  rule.cfa = unwind::CfaRule::signal;
  rule.is_signal_frame = true;
  return rule;
}

}  // namespace

TEST_CASE("a stack is unwound by rules from the registers to the root", "[capture]") {
  Program program;
  program.call_work();
  program.call_framed();
  program.call_work();
  program.call_eval();
  const NativeWalk walk = program.walk();
  CHECK(walk.end == NativeEnd::root);
  CHECK(program.names(walk) == "Ewfws");
  CHECK(program.found_by(walk) == "r....");
  CHECK(walk.claimed == 1);
  CHECK(program.out[0].is_exact);
  CHECK_FALSE(program.out[1].is_exact);
  CHECK(program.out[0].pc == program.pc);
  CHECK(program.out[4].pc == call_in(program.start));
  CHECK(program.out[0].cfa == program.stack.sp() + 96);
  CHECK_FALSE((walk.used_frame_pointer || walk.scanned || walk.resumed));
}

// A call of a function that never returns is often its function's last instruction.
TEST_CASE("a first function without a rule is the root where the frame pointer is zero", "[capture]") {
  for (const std::uint64_t frame_pointer : {std::uint64_t{0}, std::uint64_t{0x77}}) {
    Program program;
    program.pc = program.bare;
    program.fp = frame_pointer;
    program.call_work();
    program.call_work();
    const NativeWalk walk = program.walk();
    CHECK(program.names(walk) == "wwb");
    CHECK((walk.end == NativeEnd::root) == (frame_pointer == 0));
  }
}

TEST_CASE("a caller is looked up before its return address", "[capture]") {
  Program program;
  const Address last = program.code.add(rule_by_sp(24));
  (void)program.code.add(rule_by_sp(8));  // what follows in memory has another rule
  program.stack.push(call_in(program.start));
  program.stack.allocate(2);
  program.stack.push(last + FakeCode::function_size);
  program.pc = program.code.add(rule_by_sp(8));
  const NativeWalk walk = program.walk();
  CHECK(walk.end == NativeEnd::root);
  CHECK(walk.depth == 3);
  CHECK(program.out[2].pc == call_in(program.start));
}

TEST_CASE("a frame that a signal interrupted is looked up at its own pc", "[capture]") {
  Program program;
  program.call_work();
  const Address first = program.code.add(rule_by_sp(8));  // interrupted at its first instruction
  const Address trampoline = program.code.add(trampoline_rule());
  program.stack.push(call_in(program.work));
  program.pc = first;
  const Registers interrupted = program.registers();
  program.stack.allocate(16);  // red zone
  const Address context = program.stack.allocate(60);
  write_context(program.stack, context, interrupted);
  program.stack.push(trampoline +
                     1);  // the return address of a handler is the trampoline's beginning; rules begin before
  program.stack.push(0x55);
  program.stack.allocate(4);
  program.pc = program.work + 0x40;
  const NativeWalk walk = program.walk();
  CHECK(walk.end == NativeEnd::root);
  REQUIRE(walk.depth == 5);
  CHECK(program.out[2].pc == first);
  CHECK(program.out[2].is_exact);
  CHECK(program.out[3].pc == call_in(program.work));
  CHECK_FALSE(program.out[3].is_exact);
}

TEST_CASE("from a signal stack the walk goes on where the signal came", "[capture]") {
  Program program;
  program.stack = FakeStack{1 << 19};  // 4 MiB: the two are further apart than another stack is followed
  program.call_work();
  program.call_eval();
  const Registers interrupted = program.registers();
  const Address trampoline = program.code.add(trampoline_rule());
  // The other stack lies in the same memory, but outside the range that is called the thread's.
  const Address end = program.stack.range().begin + 8 * 2048;
  const Address context = end - 8 * 60;
  write_context(program.stack, context, interrupted);
  program.stack.write(context - 8, trampoline + 1);
  Registers start = program.registers();
  start.set(7, (context - 48).value);
  start.set(16, (program.work + 0x30).value);
  const AddressRange own{end, program.stack.range().end};
  const auto memory = program.stack.memory();
  const NativeWalk walk = capture::capture_native(memory, program.code, start, own, {program.anchors, false, {}},
                                                  program.learned, program.out);
  CHECK(walk.end == NativeEnd::root);
  CHECK(program.names(walk) == "w?Ews");
  CHECK(walk.claimed == 1);
}

TEST_CASE("a blocked thread without a frame pointer is unwound where rules do without", "[capture]") {
  Program program;
  program.call_work();
  program.call_framed();
  program.call_work();
  program.call_work();
  const auto start = unwind::registers_of_blocked<unwind::X86_64>(program.pc, program.stack.sp());
  CHECK(program.names(program.walk(program.stack.memory(), start)) == "wwfws");
}

TEST_CASE("each eval loop is known by the anchor in its frame", "[capture]") {
  Program program;
  program.call_work();
  program.call_eval();
  program.call_work();
  program.call_eval();
  program.call_eval();
  program.call_work();
  const NativeWalk walk = program.walk();
  CHECK(program.names(walk) == "wEEwEws");
  CHECK(walk.claimed == 3);
  CHECK(walk.skipped == 0);
  CHECK(program.learned.is_known());
  CHECK(program.learned.distance() == 96 - 40);
  CHECK(program.learned.shape().frame_pointer == -16);
}

TEST_CASE("an eval loop whose frame isn't linked yet is just a frame", "[capture]") {
  Program program;
  program.call_work();
  program.call_eval();
  program.call_eval();
  program.anchors.erase(program.anchors.begin());
  CHECK(program.names(program.walk()) == "eEws");
}

TEST_CASE("anchors of other stacks claim nothing, and shift nothing", "[capture]") {
  Program program;
  const Address elsewhere{GENERATE(0x5555'1234'5670U, 0x7fff'1234'5670U)};
  program.call_work();
  program.call_eval();
  program.call_work();
  program.call_eval();
  SECTION("further out") {
    program.anchors.push_back(elsewhere);
    CHECK(program.walk().claimed == 2);
    CHECK(program.names(program.walk()) == "EwEws");
  }
  SECTION("in between: its Python frames stay between the others") {
    program.anchors.insert(program.anchors.begin() + 1, elsewhere);
    const NativeWalk walk = program.walk();
    CHECK(program.names(walk) == "Ew_Ews");
    CHECK(walk.claimed == 3);
    CHECK(walk.skipped == 1);
  }
  SECTION("none of this stack's") {
    program.anchors = {elsewhere, Address{}};
    CHECK(program.walk().claimed == 0);
    CHECK(program.names(program.walk()) == "ewews");
  }
}

TEST_CASE("an anchor below all frames comes before them", "[capture]") {
  Program program;
  program.call_eval();
  program.call_work();
  program.anchors.insert(program.anchors.begin(), program.stack.sp() - 64);
  const NativeWalk walk = program.walk();
  CHECK(program.names(walk) == "w_Es");
  CHECK(walk.claimed == 2);
}

TEST_CASE("several anchors in one frame keep their order", "[capture]") {
  Program program;
  program.call_eval();
  program.anchors.insert(program.anchors.begin(), {program.stack.sp() + 8, program.stack.sp() + 16});
  const NativeWalk walk = program.walk();
  CHECK(program.names(walk) == "__Es");
  CHECK(walk.claimed == 3);
  CHECK(walk.skipped == 2);
  CHECK_FALSE(program.learned.is_known());
}

TEST_CASE("anchors in no order do no harm", "[capture]") {
  Program program;
  program.call_eval();
  program.call_work();
  program.call_eval();
  std::swap(program.anchors[0], program.anchors[1]);
  const NativeWalk walk = program.walk();
  CHECK(walk.end == NativeEnd::root);
  CHECK(program.names(walk) == "ewEs");
}

TEST_CASE("code without rules is left by its frame pointer", "[capture]") {
  Program program;
  program.call_work();
  program.call_eval();
  program.call_work();
  program.call(program.bare, 0);
  program.stack.push(program.fp);  // push rbp; mov rbp, rsp, but no word about it
  program.fp = program.stack.sp().value;
  program.stack.allocate(20);
  const NativeWalk walk = program.walk();
  CHECK(program.names(walk) == "bwEws");
  CHECK(program.found_by(walk) == "rp...");
  CHECK(walk.used_frame_pointer);
  CHECK_FALSE(program.learned.is_known());  // nothing is learned from frames that were guessed
}

TEST_CASE("code without rules is left by a scan", "[capture]") {
  Program program;
  program.call_work();
  program.call_eval();
  program.call_work();
  program.call_bare(3000);
  const NativeWalk walk = program.walk();
  CHECK(program.names(walk) == "bwEws");
  CHECK(program.found_by(walk) == "rs...");
  CHECK(walk.scanned);
  CHECK(walk.claimed == 1);
}

TEST_CASE("code that nothing gets across is left at the next anchor", "[capture]") {
  Program program;
  program.call_work();
  program.call_eval();
  program.call_work();
  program.call_eval();
  REQUIRE(program.names(program.walk()) == "EwEws");
  REQUIRE(program.learned.is_known());
  const Address known = program.stack.sp();
  program.call_work();
  program.call_bare(200);
  for (Address at = program.stack.sp(); at < known; at = at + 8) program.stack.write(at, 0);
  const NativeWalk walk = program.walk();
  CHECK(program.names(walk) == "b_wEws");
  CHECK(program.found_by(walk) == "raa...");
  CHECK(walk.resumed);
  CHECK(walk.claimed == 2);
  CHECK(walk.skipped == 1);
  CHECK(walk.end == NativeEnd::root);
  CHECK(program.out[1].cfa == program.anchors[0] + program.learned.distance());
}

TEST_CASE("without a constant distance there is no going on at an anchor", "[capture]") {
  capture::AnchorDistance learned;
  CHECK_FALSE(learned.is_known());
  learned.learn({144, -16, -8});
  CHECK_FALSE(learned.is_known());
  learned.learn({144, -16, -8});
  CHECK(learned.distance() == 144);
  for (int i = 0; i < 1000; ++i) {
    learned.learn({144U + 32 * static_cast<unsigned>(i % 2), -16, -8});
    if (i > 0) REQUIRE_FALSE(learned.is_known());
  }
}

TEST_CASE("a distance that was wrong once is learned after all", "[capture]") {
  capture::AnchorDistance learned;
  learned.learn({64, -16, -8});
  for (int i = 0; i < 40; ++i) learned.learn({144, -16, -8});
  CHECK(learned.distance() == 144);
  learned.learn({64, -16, -8});
  CHECK(learned.distance() == 144);
}

TEST_CASE("a walk that can't go on says why, and keeps what it has", "[capture]") {
  Program program;
  program.call_eval();
  program.call_work();
  program.call_bare(8);
  for (auto& word : program.stack.words()) word = 0;
  program.call_work();
  const NativeWalk walk = program.walk();
  CHECK(program.names(walk) == "wb");
  CHECK(walk.end == NativeEnd::truncated);
  CHECK(walk.stop == unwind::StepResult::unknown_rule);
  CHECK(walk.claimed == 0);
}

TEST_CASE("frames beyond the room are left out", "[capture]") {
  Program program;
  for (int i = 0; i < 50; ++i) program.call_work();
  for (std::size_t room = 0; room < 51; ++room) {
    const NativeWalk walk = program.walk(program.stack.memory(), program.registers(), room);
    REQUIRE(walk.end == NativeEnd::too_deep);
    REQUIRE(walk.depth == room);
  }
  CHECK(program.walk(program.stack.memory(), program.registers(), 51).end == NativeEnd::root);
  // Nor is there room for an eval loop that wasn't found.
  Program other;
  other.call_eval();
  other.anchors.insert(other.anchors.begin(), other.stack.sp());
  CHECK(other.walk(other.stack.memory(), other.registers(), 1).end == NativeEnd::too_deep);
}

TEST_CASE("a null return address is the root of a sound stack only", "[capture]") {
  Program program;
  program.stack.push(std::uint64_t{0});
  program.pc = program.code.add(rule_by_sp(8));
  CHECK(program.walk().end == NativeEnd::root);
}

TEST_CASE("a register that an inner frame changed isn't believed", "[capture]") {
  Program program;
  program.call_work();
  program.call_work();
  const Address odd = program.code.add(test::rule_by(3, 16));  // CFA = rbx + 16, as in ld.so's resolver
  program.call(odd, 4);
  program.stack.write(program.stack.sp(), 0);
  program.call_work();
  Registers start = program.registers();
  SECTION("it is the right value") {
    start.set(3, (program.stack.sp() + 48 + 32).value);  // the frame pointer of `odd`, as it were
    const NativeWalk walk = program.walk(program.stack.memory(), start);
    CHECK(program.names(walk) == "w?wws");
    CHECK(program.found_by(walk) == "r....");
  }
  SECTION("it is some other address on the stack") {
    start.set(3, (program.stack.sp() + 48 + 8).value);
    const NativeWalk walk = program.walk(program.stack.memory(), start);
    CHECK(program.names(walk) == "w?wws");
    CHECK(program.found_by(walk) == "r.s..");
  }
}

TEST_CASE("a stack of aarch64 is unwound from a leaf, by rules and by frame records", "[capture]") {
  FakeStack stack;
  FakeCode code;
  const Address start = code.add(test::end_rule());
  unwind::UnwindRule pair = test::rule_by(31, 64);  // stp x29, x30, [sp, #-64]!; mov x29, sp
  pair.frame_pointer = {unwind::SavedRule::at_cfa, 0, -64};
  pair.return_address = {unwind::SavedRule::at_cfa, 0, -56};
  const Address work = code.add(pair), bare = code.add_bare();
  unwind::UnwindRule leaf = test::rule_by(31, 0);
  leaf.return_address = {};
  const Address last = code.add(leaf);
  std::uint64_t fp = 0;
  Address link = call_in(start);
  const auto call = [&](Address function, std::size_t words) {
    stack.allocate(words);
    stack.write(stack.sp(), fp);
    stack.write(stack.sp() + 8, link.value | 0x0077'0000'0000'0000);  // signed
    fp = stack.sp().value;
    link = call_in(function);
  };
  call(work, 8);
  call(work, 8);
  const bool has_bare = GENERATE(false, true);
  if (has_bare) call(bare, 20);
  call(work, 8);
  unwind::BasicRegisters<unwind::Aarch64> registers;
  registers.set(29, fp);
  registers.set(30, link.value);
  registers.set(31, stack.sp().value);
  registers.set(32, last.value);
  capture::AnchorDistance learned;
  std::array<NativeFrame, 16> out;
  const auto memory = stack.memory();
  // An anchor in the outermost `work`; and then what is learned of its shape is used.
  const std::array anchors = {stack.range().end - 24};
  for (int round = 0; round < 2; ++round) {
    const auto walk =
        capture::capture_native(memory, code, registers, stack.range(), {anchors, false, {}}, learned, out);
    CHECK(walk.end == NativeEnd::root);
    REQUIRE(walk.depth == (has_bare ? 6U : 5U));
    CHECK(out[0].pc == last);
    CHECK(out[1].pc == call_in(work));
    CHECK(out[2].pc == call_in(has_bare ? bare : work));
    CHECK(out[walk.depth - 1].pc == call_in(start));
    CHECK(out[walk.depth - 2].is_eval);
    CHECK(walk.used_frame_pointer == has_bare);
    CHECK(walk.claimed == 1);
  }
  CHECK(learned.is_known() == !has_bare);
}

// _dl_runtime_resolve: push rbx; mov rbx,rsp; and rsp,-64; and then it calls _dl_fixup, which pushes rbx.
TEST_CASE("a register that the callee has pushed is found there", "[capture]") {
  Program program;
  program.call_work();
  program.call_work();
  const Address resolver = program.code.add(test::rule_by(3, 24));
  program.stack.push(call_in(program.pc));
  program.stack.push(std::uint64_t{2});  // pushed by the stub
  const Address base = program.stack.push(std::uint64_t{0x1234});
  program.stack.allocate(20);
  program.stack.push(call_in(program.work, 4));  // old
  program.stack.allocate(20);
  program.pc = resolver;
  program.stack.push(call_in(resolver));
  program.stack.push(program.fp);
  const bool is_pushed = GENERATE(true, false);
  // Else a word from which another frame could be reached, further out.
  program.stack.push(is_pushed ? base.value : program.stack.range().end.value - 72);
  program.stack.allocate(3);
  program.pc = program.work + 0x30;
  Registers start = program.registers();
  start.set(3, is_pushed ? program.stack.sp().value : base.value);
  const NativeWalk walk = program.walk(program.stack.memory(), start);
  CHECK(walk.end == NativeEnd::root);
  CHECK(program.names(walk) == "w?wws");
  CHECK(program.found_by(walk) == "r....");
}

namespace {

/// Up to 3.9: eval loops that keep their frame objects on the stack.
struct OldProgram : Program {
  std::uint64_t objects = 0;
  static constexpr Address heap{0x7f11'0000'0000};

  Address object(std::uint64_t number) const { return heap + 0x200 * number; }
  void call_eval(bool is_linked = true, bool is_spilled = true) {
    call(eval, 10);
    const Address own = object(++objects);
    if (is_spilled) stack.write(stack.sp() + 24, own);
    if (is_linked) anchors.insert(anchors.begin(), own);
  }
};

}  // namespace

TEST_CASE("up to 3.9 eval loops and frame objects are paired one to one", "[capture]") {
  OldProgram program;
  program.call_eval();
  program.call_work();
  program.call_eval();
  program.call_eval();
  program.call_work();
  const NativeWalk walk = program.walk_spilled();
  CHECK(program.names(walk) == "wEEwEs");
  CHECK(walk.claimed == 3);
  CHECK(walk.skipped == 0);
}

TEST_CASE("up to 3.9 an eval loop that has no frame object yet is left alone", "[capture]") {
  OldProgram program;
  program.call_eval();
  program.call_work();
  program.call_eval();
  program.call_eval(false);
  // What its caller had in registers is on its stack, and what earlier calls left there.
  program.stack.write(program.stack.sp() + 96 - 24, program.anchors[0]);
  program.stack.write(program.stack.sp() + 8, program.anchors[0]);
  const NativeWalk walk = program.walk_spilled();
  CHECK(program.names(walk) == "eEwEs");
  CHECK(walk.claimed == 2);
}

TEST_CASE("up to 3.9 a truncated stack is paired by what most eval loops say", "[capture]") {
  OldProgram program;
  program.call_bare();
  for (int i = 0; i < 9; ++i) program.stack.push(std::uint64_t{0});
  for (int i = 0; i < 5; ++i) program.call_eval();
  program.anchors.push_back(Address{0x7f11'ffff'0000});
  program.anchors.push_back(Address{0x7f11'ffff'0200});
  program.anchors.push_back(Address{0x7f11'ffff'0400});
  program.stack.write(program.stack.range().end - 8, 0);  // nothing leads to the root
  SECTION("all confirmed") { CHECK(program.names(program.walk_spilled()) == "EEEEEb"); }
  SECTION("the innermost isn't linked, and holds its caller's") {
    program.anchors.erase(program.anchors.begin());
    program.stack.write(program.stack.sp() + 8, program.anchors[0]);
    CHECK(program.names(program.walk_spilled()) == "eEEEEb");
  }
  SECTION("the innermost has left already") {
    program.anchors.insert(program.anchors.begin(), Address{0x7f11'eeee'0000});
    const NativeWalk walk = program.walk_spilled();
    CHECK(program.names(walk) == "_EEEEEb");
    CHECK(walk.claimed == 6);
    CHECK(walk.skipped == 1);
  }
  SECTION("no one confirms anything") {
    for (auto& anchor : program.anchors) anchor = anchor + 8;
    CHECK(program.names(program.walk_spilled()) == "eeeeeb");
    CHECK(program.walk_spilled().claimed == 0);
  }
}

TEST_CASE("up to 3.9 one that isn't confirmed is paired between two that are", "[capture]") {
  OldProgram program;
  program.call_eval();
  program.call_eval(true, false);
  program.call_eval();
  SECTION("as many on both sides") { CHECK(program.names(program.walk_spilled()) == "EEEs"); }
  SECTION("more frame objects than eval loops: counted from the root") {
    program.anchors.insert(program.anchors.begin() + 1, program.object(77));
    const NativeWalk walk = program.walk_spilled();
    CHECK(program.names(walk) == "_EEEs");
    CHECK(walk.skipped == 1);
  }
}

TEST_CASE("up to 3.9 pairs that a later one contradicts are undone, where the root was not reached", "[capture]") {
  OldProgram program;
  program.call_bare();
  for (int i = 0; i < 9; ++i) program.stack.push(std::uint64_t{0});
  program.call_eval();
  program.call_eval(true, false);
  program.call_eval();
  program.stack.write(program.stack.range().end - 8, 0);
  program.anchors.insert(program.anchors.begin() + 1, program.object(77));
  const NativeWalk walk = program.walk_spilled();
  CHECK(program.names(walk) == "Ee__Eb");
  CHECK(walk.claimed == 4);
  CHECK(walk.skipped == 2);
}

TEST_CASE("up to 3.9 the caller's registers at the top of a frame confirm nothing", "[capture]") {
  OldProgram program;
  program.call_bare();
  for (int i = 0; i < 9; ++i) program.stack.push(std::uint64_t{0});
  program.call_eval();
  program.call_eval(false);
  program.stack.write(program.stack.sp() + 96 - 24, program.anchors[0]);
  program.stack.write(program.stack.range().end - 8, 0);
  for (std::uint64_t i = 0; i < 4; ++i) program.anchors.push_back(program.object(50 + i));
  CHECK(program.names(program.walk_spilled()) == "eEb");
}

TEST_CASE("up to 3.9 a frame object may be in a register of the innermost frame", "[capture]") {
  OldProgram program;
  program.call_eval();
  program.call_eval(true, false);
  program.anchors.push_back(program.object(50));
  program.anchors.push_back(program.object(51));
  program.anchors.push_back(program.object(52));
  Registers start = program.registers();
  start.set(12, program.anchors[0].value);
  CHECK(program.names(program.walk(program.stack.memory(), start, 64, true)) == "EEs");
}

TEST_CASE("memory that fails anywhere leaves a walk that ends", "[capture]") {
  const bool are_spilled = GENERATE(false, true);
  OldProgram program;
  program.call_work();
  program.Program::call_eval();
  program.call_framed();
  program.Program::call_eval();
  if (are_spilled) {
    program.anchors.clear();
    program.call_eval();
  }
  program.call_bare(40);
  const auto memory = program.stack.memory();
  const auto reads = test::refuse_each_read(memory, [&](const auto& failing) {
    program.learned = {};
    const NativeWalk walk = program.walk(failing, program.registers(), 64, are_spilled);
    CHECK(walk.depth >= 1);
    CHECK(walk.depth <= 64);
    CHECK(program.out[0].pc == program.pc);
  });
  CHECK(reads > 7);
}

TEST_CASE("a copy that ends early gives the part that it has", "[capture]") {
  Program program;
  for (int i = 0; i < 20; ++i) program.call_work();
  const std::size_t used = (program.stack.range().end - program.stack.sp()) / 8;
  for (std::size_t words = 0; words <= used; ++words) {
    const auto held = std::as_bytes(program.stack.words().last(used).first(words));
    const NativeWalk walk = program.walk(memory::BufferMemory{program.stack.sp(), held}, program.registers());
    REQUIRE(walk.end == (words == used ? NativeEnd::root : NativeEnd::truncated));
    // Each frame has six words, the last of them the return address.
    REQUIRE(walk.depth == 1 + words / 6);
  }
}

TEST_CASE("a stack of garbage ends soon", "[capture]") {
  std::mt19937_64 random{11};
  Program program;
  for (int i = 0; i < 20; ++i) program.code.add(i % 3 == 0 ? rule_by_fp() : rule_by_sp(8 * (1 + i % 9), i % 2 * 16));
  program.code.add(trampoline_rule());
  const auto any_code = [&] { return FakeCode::base.value + random() % (27 * 256); };
  const auto any_stack = [&] { return FakeStack::base.value + 8 * (random() % 4096); };
  for (int round = 0; round < 300; ++round) {
    for (auto& word : program.stack.words()) {
      const auto kind = random() % 4;
      word = kind == 0   ? (any_code() & ~std::uint64_t{15}) + 8
             : kind == 1 ? any_stack()
             : kind == 2 ? any_code()
                         : random();
    }
    Registers start;
    for (unsigned i = 0; i < 16; ++i) start.set(i, any_stack());
    start.set(16, any_code());
    program.anchors.clear();
    for (int i = 0; i < 20; ++i) program.anchors.push_back(Address{random() % 8 == 0 ? random() : any_stack()});
    if (round % 2 == 0) std::sort(program.anchors.begin(), program.anchors.end());
    program.code.lookups = 0;
    const NativeWalk walk = program.walk(program.stack.memory(), start, 64, round % 5 == 0);
    REQUIRE(walk.depth <= 64);
    REQUIRE(program.code.lookups < 60'000);
    std::uint32_t evals = 0;
    for (const NativeFrame& frame : std::span{program.out}.first(walk.depth)) evals += frame.is_eval ? 1 : 0;
    REQUIRE(evals == walk.claimed);
    REQUIRE(walk.claimed <= program.anchors.size());
  }
}

TEST_CASE("frames that lead back to each other end", "[capture]") {
  Program program;
  program.call_framed();
  const Address frame{program.fp};
  program.call_framed();
  program.stack.write(Address{program.fp}, program.fp);  // its saved frame pointer is itself
  program.stack.write(frame + 8, call_in(program.framed));
  const NativeWalk walk = program.walk();
  CHECK(walk.end == NativeEnd::truncated);
  CHECK(walk.depth <= 3);
}
