// Call frame instructions: the rows that they make, and what the rows mean.
#include "pyagent/dwarf/cfi_rows.hpp"

#include <vector>

#include "support/catch.hpp"
#include "support/cfi_builder.hpp"

using namespace pyagent;
using namespace pyagent::dwarf;
using pyagent_test::append_bytes;
using pyagent_test::Bytes;
using pyagent_test::bytes_of;
using pyagent_test::CfiBuilder;
using unwind::CfaRule;
using unwind::SavedRegister;
using unwind::SavedRule;
using unwind::UnwindRule;
using Kind = CfiValue::Kind;

namespace {

constexpr std::uint64_t foo = 0x5000;

struct Row {
  std::uint64_t start;
  CfiState state;
  UnwindRule rule;
};

struct Program {
  Bytes common = bytes_of(0x0c, 7, 8, 0x90, 1);  // def_cfa rsp+8; return address at CFA-8
  std::string augmentation = "zR";
  int code_alignment = 1, data_alignment = -8, return_register = 16;
  std::uint16_t machine = EM_X86_64;
  std::uint64_t size = 0x100;
  Error error{};

  /// The rows of one function; its rules' expressions have no bytes.
  std::vector<Row> run(const Bytes& instructions) {
    CfiBuilder builder;
    const auto cie_at = builder.add_cie(common, augmentation, 0x1b, code_alignment, data_alignment, return_register);
    const auto fde_at = builder.add_fde(cie_at, foo, size, instructions);
    CfiSection section;
    section.bytes = builder.bytes;
    section.address = builder.address;
    section.machine = machine;
    const auto cie = read_cie(section, *read_entry(section, cie_at));
    REQUIRE(cie);
    const auto fde = read_fde(section, *read_entry(section, fde_at), *cie);
    REQUIRE(fde);
    CfiRunner runner{section, *cie};
    std::vector<Row> rows;
    const auto initial = runner.run_cie();
    error = initial.error();
    if (!initial) return rows;
    std::uint64_t end = foo;
    error = runner.run_fde(*fde, [&](FunctionRange range, const CfiState& state, bool) {
      CHECK(range.start == end);
      CHECK(range.end > range.start);
      end = range.end;
      rows.push_back({range.start, state, build_rule(section, *cie, state)});
      rows.back().rule.expression = nullptr;
      return true;
    });
    CHECK(end == foo + size);
    return rows;
  }

  /// The rule of the only row.
  UnwindRule run_to_rule(const Bytes& instructions) {
    const auto rows = run(instructions);
    REQUIRE(rows.size() == 1);
    return rows[0].rule;
  }
};

SavedRegister at_cfa(std::int32_t offset) { return {SavedRule::at_cfa, 0, offset}; }

}  // namespace

// The worked example of DWARF 5, appendix D.6: a machine with 4-byte instructions, registers of 4 bytes, R7 the stack
// pointer, R6 the frame pointer (as on x86-64, by luck), and the return address in R1 when the function is entered.
TEST_CASE("the standard's example has the rows of its table", "[dwarf]") {
  Program program;
  program.code_alignment = 4, program.data_alignment = -4, program.return_register = 8, program.size = 80;
  program.common =
      bytes_of(0x0c, 7, 0, 0x08, 0, 0x07, 1, 0x07, 2, 0x07, 3, 0x08, 4, 0x08, 5, 0x08, 6, 0x08, 7, 0x09, 8, 1);
  const auto rows = program.run(bytes_of(0x41, 0x0e, 12, 0x41, 0x88, 1, 0x41, 0x86, 2, 0x41, 0x0d, 6, 0x41, 0x84, 3,
                                         0x4b, 0xc4, 0x41, 0xc6, 0x0d, 7, 0x41, 0xc8, 0x41, 0x0e, 0, 0x00, 0x00));
  REQUIRE(program.error.code == Errc::ok);
  // location, CFA, R6, R8
  struct Expected {
    std::uint64_t location;
    std::uint8_t cfa;
    std::int32_t offset;
    CfiValue frame_pointer, return_address;
  };
  const CfiValue same{Kind::same}, in_r1{Kind::in_register, 1}, r6_saved{Kind::offset, 0, -8},
      r8_saved{Kind::offset, 0, -4};
  const std::vector<Expected> table = {{0, 7, 0, same, in_r1},          {4, 7, 12, same, in_r1},
                                       {8, 7, 12, same, r8_saved},      {12, 7, 12, r6_saved, r8_saved},
                                       {16, 6, 12, r6_saved, r8_saved}, {20, 6, 12, r6_saved, r8_saved},
                                       {64, 6, 12, r6_saved, r8_saved}, {68, 7, 12, same, r8_saved},
                                       {72, 7, 12, same, in_r1},        {76, 7, 0, same, in_r1}};
  REQUIRE(rows.size() == table.size());
  for (std::size_t i = 0; i < table.size(); ++i) {
    CAPTURE(table[i].location);
    CHECK(rows[i].start == foo + table[i].location);
    CHECK(rows[i].state.cfa == CfiValue{Kind::offset, table[i].cfa, table[i].offset});
    CHECK(rows[i].state.frame_pointer == table[i].frame_pointer);
    CHECK(rows[i].state.return_address == table[i].return_address);
  }
}

TEST_CASE("an entry without instructions has its CIE's rule for the whole function", "[dwarf]") {
  UnwindRule expected;
  expected.cfa = CfaRule::offset;
  expected.cfa_register = 7;
  expected.cfa_offset = 8;
  expected.return_address = at_cfa(-8);
  CHECK(Program{}.run_to_rule({}) == expected);
}

TEST_CASE("locations move by every instruction that moves them", "[dwarf]") {
  Program program;
  program.size = 0x1000000;
  const auto rows =
      program.run(bytes_of(0x41, 0x0e, 16, 0x02, 2, 0x0e, 24, 0x03, 0, 1, 0x0e, 32, 0x04, 0, 0, 1, 0, 0x0e, 40));
  REQUIRE(rows.size() == 5);
  CHECK(rows[1].start == foo + 1);
  CHECK(rows[2].start == foo + 3);
  CHECK(rows[3].start == foo + 0x103);
  CHECK(rows[4].start == foo + 0x10103);
  CHECK(rows[4].rule.cfa_offset == 40);
}

TEST_CASE("a location is set by an encoded pointer, and never goes back", "[dwarf]") {
  // CIE: 24 bytes at 0x1000; FDE at 0x1018: length, pointer, start, size, augmentation: instructions at 0x1029.
  Program program;
  const auto there = [](std::uint64_t target) { return static_cast<std::uint32_t>(target - 0x102a); };
  Bytes forward = bytes_of(0x01);
  pyagent_test::append_value(forward, there(foo + 0x40));
  append_bytes(forward, bytes_of(0x0e, 16));
  const auto rows = program.run(forward);
  REQUIRE(rows.size() == 2);
  CHECK(rows[1].start == foo + 0x40);
  CHECK(program.error.code == Errc::ok);
  Bytes back = bytes_of(0x01);
  pyagent_test::append_value(back, there(foo - 1));
  CHECK(program.run_to_rule(back) == UnwindRule{});
  CHECK(program.error.code == Errc::damaged);
}

TEST_CASE("rows end with the function, whatever the instructions say", "[dwarf]") {
  Program program;
  program.size = 4;
  const auto rows = program.run(bytes_of(0x42, 0x0e, 16, 0x42, 0x0e, 24, 0x42, 0x0e, 32));
  REQUIRE(rows.size() == 2);
  CHECK(rows[1].rule.cfa_offset == 16);
}

TEST_CASE("the CFA is defined by every instruction that defines it", "[dwarf]") {
  Program program;
  const auto cfa = [&](const Bytes& instructions) {
    const UnwindRule rule = program.run_to_rule(instructions);
    CHECK(rule.cfa == CfaRule::offset);
    return std::pair{int{rule.cfa_register}, rule.cfa_offset};
  };
  CHECK(cfa(bytes_of(0x0c, 6, 16)) == std::pair{6, 16});
  CHECK(cfa(bytes_of(0x12, 6, 0x7e)) == std::pair{6, 16});  // def_cfa_sf: -2 * -8
  CHECK(cfa(bytes_of(0x0d, 6)) == std::pair{6, 8});
  CHECK(cfa(bytes_of(0x0e, 0x80, 1)) == std::pair{7, 128});
  CHECK(cfa(bytes_of(0x13, 0x7c)) == std::pair{7, 32});
  CHECK(cfa(bytes_of(0x2e, 16)) == std::pair{7, 8});  // GNU_args_size
  CHECK(cfa(bytes_of(0x0f, 2, 0x7d, 0x20)) == std::pair{13, 32});
  CHECK(program.run_to_rule(bytes_of(0x0e, 0xff, 0xff, 0xff, 0xff, 0x0f)) == UnwindRule{});  // 2^32 - 1
  CHECK(program.run_to_rule(bytes_of(0x0c, 0x80, 2, 8)) == UnwindRule{});                    // register 256
  // After an expression the register comes back with def_cfa_register, and the offset of before with it.
  CHECK(cfa(bytes_of(0x0e, 24, 0x0f, 2, 0x7d, 0, 0x0d, 6)) == std::pair{6, 24});
}

TEST_CASE("a register is saved by every instruction that saves it", "[dwarf]") {
  Program program;
  const auto pointer = [&](const Bytes& instructions) { return program.run_to_rule(instructions).frame_pointer; };
  CHECK(pointer(bytes_of(0x86, 2)) == at_cfa(-16));
  CHECK(pointer(bytes_of(0x05, 6, 2)) == at_cfa(-16));
  CHECK(pointer(bytes_of(0x11, 6, 0x7e)) == at_cfa(16));
  CHECK(pointer(bytes_of(0x2f, 6, 2)) == at_cfa(16));
  CHECK(pointer(bytes_of(0x14, 6, 2)) == SavedRegister{SavedRule::is_cfa, 0, -16});
  CHECK(pointer(bytes_of(0x15, 6, 0x7f)) == SavedRegister{SavedRule::is_cfa, 0, 8});
  CHECK(pointer(bytes_of(0x09, 6, 10)) == SavedRegister{SavedRule::in_register, 10});
  CHECK(pointer(bytes_of(0x10, 6, 2, 0x76, 0)) == SavedRegister{SavedRule::at_register, 6, 0});
  CHECK(pointer(bytes_of(0x16, 6, 2, 0x7a, 0)) == SavedRegister{SavedRule::in_register, 10});
  CHECK(pointer(bytes_of(0x08, 6)) == SavedRegister{SavedRule::same});
  // lost: nothing understands where it is
  CHECK(pointer(bytes_of(0x07, 6)) == SavedRegister{SavedRule::undefined});
  CHECK(pointer(bytes_of(0x16, 6, 2, 0x7a, 8)) == SavedRegister{SavedRule::undefined});
  CHECK(pointer(bytes_of(0x10, 6, 3, 0x76, 0, 0x06)) == SavedRegister{SavedRule::undefined});
  CHECK(pointer(bytes_of(0x05, 6, 0xff, 0xff, 0xff, 0xff, 0x0f)) == SavedRegister{SavedRule::undefined});
  CHECK(pointer(bytes_of(0x09, 6, 0x80, 2)) == SavedRegister{SavedRule::undefined});
  // other registers are of no interest
  CHECK(pointer(bytes_of(0x83, 2, 0x10, 3, 2, 0x77, 0, 0x16, 3, 2, 0x77, 0, 0x07, 3, 0x09, 3, 10)) == SavedRegister{});
}

TEST_CASE("restoring gives what the CIE said", "[dwarf]") {
  Program program;
  append_bytes(program.common, bytes_of(0x86, 3));
  CHECK(program.run_to_rule(bytes_of(0x86, 2, 0xc6)).frame_pointer == at_cfa(-24));
  CHECK(program.run_to_rule(bytes_of(0x86, 2, 0x06, 6)).frame_pointer == at_cfa(-24));
  CHECK(program.run_to_rule(bytes_of(0x90, 5, 0xd0)).return_address == at_cfa(-8));
}

TEST_CASE("states are remembered as a stack, the CFA with the registers", "[dwarf]") {
  Program program;
  const auto rows = program.run(bytes_of(0x0a, 0x0e, 16, 0x86, 2, 0x41, 0x0a, 0x0c, 6, 24, 0x41, 0x0b, 0x41, 0x0b));
  REQUIRE(rows.size() == 4);
  CHECK(rows[0].rule.cfa_offset == 16);
  CHECK(rows[1].rule.cfa_register == 6);
  CHECK(rows[2].rule == rows[0].rule);
  CHECK(rows[3].rule.cfa_offset == 8);
  CHECK(rows[3].rule.frame_pointer == SavedRegister{});
  CHECK(program.error.code == Errc::ok);

  Bytes deep(max_remembered_states, std::byte{0x0a});
  CHECK(program.run_to_rule(deep).cfa == CfaRule::offset);
  deep.push_back(std::byte{0x0a});
  CHECK(program.run_to_rule(deep) == UnwindRule{});
  CHECK(program.error.code == Errc::damaged);
  CHECK(program.run_to_rule(bytes_of(0x0b)) == UnwindRule{});
  CHECK(program.error.code == Errc::damaged);
}

TEST_CASE("from a damaged instruction on a function's rule is unknown", "[dwarf]") {
  for (const Bytes& damaged : {bytes_of(0x17), bytes_of(0x3f), bytes_of(0x2d), bytes_of(0x0b), bytes_of(0x0f, 0x7f)}) {
    Program program;
    Bytes instructions = bytes_of(0x41, 0x0e, 16, 0x41, 0x0e, 24);
    append_bytes(instructions, damaged);
    const auto rows = program.run(instructions);
    CHECK(program.error.code == Errc::damaged);
    REQUIRE(rows.size() == 3);
    CHECK(rows[1].rule.cfa_offset == 16);
    CHECK(rows[2].start == foo + 2);
    CHECK(rows[2].rule == UnwindRule{});
  }
}

TEST_CASE("a CIE whose instructions are damaged, or move, is refused", "[dwarf]") {
  Program program;
  for (const Bytes& damaged : {bytes_of(0x17), bytes_of(0x41), bytes_of(0x0b)}) {
    program.common = damaged;
    CHECK(program.run({}).empty());
    CHECK(program.error.code == Errc::damaged);
  }
}

TEST_CASE("instructions that end anywhere do no harm", "[dwarf]") {
  const Bytes all = bytes_of(0x41, 0x0e, 0x80, 1, 0x02, 1, 0x86, 0x80, 1, 0x03, 1, 0, 0x0c, 6, 0x90, 1, 0x04, 1, 0, 0,
                             0, 0x0f, 3, 0x77, 8, 0x06, 0x41, 0x10, 6, 2, 0x76, 0);
  for (std::size_t size = 0; size <= all.size(); ++size) {
    CfiSection section;
    const Bytes cut(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(size));
    section.bytes = cut;
    Cie cie;
    cie.return_register = 16;
    CfiRunner runner{section, cie};
    Fde fde;
    fde.range = {foo, foo + 0x1000};
    fde.instructions = cut;
    std::uint64_t end = foo;
    (void)runner.run_fde(fde, [&](FunctionRange row, const CfiState& state, bool) {
      CHECK(row.start == end);
      end = row.end;
      (void)build_rule(section, cie, state);
      return true;
    });
    CHECK(end == foo + 0x1000);
  }
}

TEST_CASE("an undefined return address is the end of the stack", "[dwarf]") {
  UnwindRule end;
  end.cfa = CfaRule::end;
  CHECK(Program{}.run_to_rule(bytes_of(0x07, 16)) == end);
}

TEST_CASE("without a CFA or a return address nothing is known", "[dwarf]") {
  Program program;
  CHECK(program.run_to_rule(bytes_of(0x10, 16, 3, 0x77, 0, 0x06)) == UnwindRule{});
  CHECK(program.run_to_rule(bytes_of(0x08, 16)) == UnwindRule{});
  program.common = bytes_of(0x90, 1);
  CHECK(program.run_to_rule({}) == UnwindRule{});
}

TEST_CASE("expressions become rules of their shapes, or keep their bytes", "[dwarf]") {
  Program program;
  UnwindRule rule = program.run_to_rule(bytes_of(0x0f, 11, 0x77, 8, 0x80, 0, 0x3f, 0x1a, 0x3b, 0x2a, 0x33, 0x24, 0x22));
  CHECK(rule.cfa == CfaRule::plt);
  CHECK(rule.cfa_register == 7);
  CHECK(rule.cfa_offset == 8);
  CHECK(rule.plt_limit == 11);
  rule = program.run_to_rule(bytes_of(0x0f, 3, 0x76, 0x58, 0x06, 0x10, 6, 2, 0x76, 0));
  CHECK(rule.cfa == CfaRule::deref);
  CHECK(rule.cfa_register == 6);
  CHECK(rule.cfa_offset == -40);
  CHECK(rule.frame_pointer == SavedRegister{SavedRule::at_register, 6, 0});
  rule = program.run_to_rule(bytes_of(0x0f, 5, 0x77, 16, 0x06, 0x23, 8));
  CHECK(rule.cfa == CfaRule::deref);
  CHECK(rule.cfa_add == 8);
  rule = program.run_to_rule(bytes_of(0x0f, 10, 0x77, 8, 0x79, 0, 0x38, 0x1e, 0x22, 0x06, 0x23, 8));
  CHECK(rule.cfa == CfaRule::expression);
  CHECK(rule.expression_size == 10);
  CHECK(program.run_to_rule(bytes_of(0x0f, 0)) == UnwindRule{});
}

// glibc 2.36's __restore_rt, in part: `readelf --debug-dump=frames libc.so.6` (augmentation zRS)
TEST_CASE("glibc's signal trampoline is known by its expressions and its augmentation", "[dwarf]") {
  const Bytes trampoline = bytes_of(0x0f, 4, 0x77, 0xa0, 1, 0x06, 0x10, 8, 2, 0x77, 0x28, 0x10, 6, 3, 0x77, 0xf8, 0,
                                    0x10, 16, 3, 0x77, 0xa8, 1);
  Program program;
  program.common = {};
  program.augmentation = "zRS";
  const UnwindRule rule = program.run_to_rule(trampoline);
  CHECK(rule.cfa == CfaRule::signal);
  CHECK(rule.is_signal_frame);
  CHECK(rule.frame_pointer == SavedRegister{SavedRule::at_register, 7, 120});
  CHECK(rule.return_address == SavedRegister{SavedRule::at_register, 7, 168});
  program.augmentation = "zR";
  CHECK(program.run_to_rule(trampoline).cfa == CfaRule::deref);
  program.augmentation = "zRS";
  Bytes other = trampoline;
  other.back() = std::byte{2};  // the return address elsewhere
  CHECK(program.run_to_rule(other).cfa == CfaRule::deref);
  program.machine = EM_AARCH64;
  CHECK(program.run_to_rule(trampoline).cfa == CfaRule::deref);
}

// A function that aarch64-linux-gnu-gcc 12 -O2 -mbranch-protection=pac-ret made: paciasp; stp x29, x30, [sp, -16]!; ...
TEST_CASE("on aarch64 the return address is in the link register, and may be signed", "[dwarf]") {
  Program program;
  program.machine = EM_AARCH64;
  program.code_alignment = 4, program.return_register = 30;
  program.common = bytes_of(0x0c, 31, 0);
  const auto rows =
      program.run(bytes_of(0x41, 0x2d, 0x41, 0x0e, 16, 0x9d, 2, 0x9e, 1, 0x44, 0xdd, 0xde, 0x0e, 0, 0x41, 0x2d));
  REQUIRE(rows.size() == 5);
  CHECK(rows[0].rule.cfa == CfaRule::offset);
  CHECK(rows[0].rule.cfa_register == 31);
  CHECK(rows[0].rule.return_address.rule == SavedRule::same);
  CHECK_FALSE(rows[0].rule.is_return_address_signed);
  CHECK(rows[1].rule.is_return_address_signed);
  CHECK(rows[2].start == foo + 8);
  CHECK(rows[2].rule.cfa_offset == 16);
  CHECK(rows[2].rule.frame_pointer == at_cfa(-16));
  CHECK(rows[2].rule.return_address == at_cfa(-8));
  CHECK(rows[2].rule.is_return_address_signed);
  CHECK(rows[3].rule == rows[1].rule);
  CHECK(rows[4].rule == rows[0].rule);
  CHECK(program.run(bytes_of(0x2c))[0].rule.is_return_address_signed);
  CHECK(program.run_to_rule(bytes_of(0x07, 30)).cfa == CfaRule::end);
  // Register 16 is not the program counter there.
  CHECK(program.run_to_rule(bytes_of(0x0f, 11, 0x77, 8, 0x80, 0, 0x3f, 0x1a, 0x3b, 0x2a, 0x33, 0x24, 0x22)).cfa ==
        CfaRule::expression);
}
