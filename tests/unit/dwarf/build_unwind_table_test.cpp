// build_unwind_table: all functions of an ELF file as one table; gaps, doubles, damage, and where the sections come
// from.
#include "pyagent/dwarf/build_unwind_table.hpp"

#include <utility>

#include "pyagent/dwarf/find_rule.hpp"
#include "support/catch.hpp"
#include "support/cfi_builder.hpp"

using namespace pyagent;
using namespace pyagent::dwarf;
using pyagent_test::Bytes;
using pyagent_test::bytes_of;
using pyagent_test::CfiBuilder;
using pyagent_test::UnwindElf;
using unwind::CfaRule;
using unwind::UnwindRule;

namespace {

constexpr std::uint64_t code = 0x10000;  ///< UnwindElf's
const Bytes first_rule = bytes_of(0x0c, 7, 8, 0x90, 1);

/// A file whose sections `fill` writes; the number of functions has to be known.
template <class Fill>
UnwindElf file_with(std::size_t functions, Fill fill) {
  UnwindElf file;
  CfiBuilder builder;
  builder.address = file.eh_frame_address(functions);
  fill(builder, builder.add_cie(first_rule));
  REQUIRE(builder.functions.size() == functions);
  file.eh_frame = builder.bytes;
  file.header = builder.header(file.header_address());
  return file;
}

/// [0x10000, 0x10010) with two rules, [0x10020, 0x10030) with a PLT's, not in order.
UnwindElf two_functions() {
  return file_with(2, [](CfiBuilder& builder, std::uint64_t cie) {
    builder.add_fde(cie, code + 0x20, 0x10,
                    bytes_of(0x0f, 11, 0x77, 8, 0x80, 0, 0x3f, 0x1a, 0x3b, 0x2a, 0x33, 0x24, 0x22));
    builder.add_fde(cie, code, 0x10, bytes_of(0x41, 0x0e, 16));
  });
}

CompiledTable build(const Bytes& bytes, const Bytes* debug_bytes = nullptr) {
  const auto image = elf::Image::parse(bytes);
  REQUIRE(image);
  const auto debug_image = elf::Image::parse(debug_bytes != nullptr ? *debug_bytes : bytes);
  REQUIRE(debug_image);
  auto table = build_unwind_table(*image, debug_bytes != nullptr ? &*debug_image : nullptr);
  REQUIRE(table);
  return std::move(*table);
}

int cfa_offset(const CompiledTable& table, std::uint64_t address) {
  const UnwindRule rule = table.view().find(address);
  return rule.cfa == CfaRule::offset ? rule.cfa_offset : -1;
}

Error build_error(const Bytes& bytes) {
  const auto image = elf::Image::parse(bytes);
  REQUIRE(image);
  const auto table = build_unwind_table(*image);
  return table.error();
}

}  // namespace

TEST_CASE("a table has the rules of all functions, and gaps where there are none", "[dwarf]") {
  for (const bool has_section_headers : {true, false}) {
    UnwindElf file = two_functions();
    file.has_section_headers = has_section_headers;
    const CompiledTable table = build(file.build());
    CHECK(cfa_offset(table, code) == 8);
    CHECK(cfa_offset(table, code + 1) == 16);
    CHECK(cfa_offset(table, code + 0xf) == 16);
    CHECK(table.view().find(code + 0x10) == UnwindRule{});
    CHECK(table.view().find(code + 0x1f) == UnwindRule{});
    CHECK(table.view().find(code + 0x20).cfa == CfaRule::plt);
    CHECK(table.view().find(code + 0x2f).plt_limit == 11);
    CHECK(table.view().find(code + 0x30) == UnwindRule{});
    CHECK(table.counts.functions == 2);
    CHECK(table.counts.rows == 5);
    CHECK(table.counts.unknown + table.counts.damaged + table.counts.expressions == 0);
    CHECK(table.find_function(code + 0xf).value_or({}) == FunctionRange{code, code + 0x10});
    CHECK(table.find_function(code + 0x2f).value_or({}) == FunctionRange{code + 0x20, code + 0x30});
    for (const std::uint64_t gap :
         {code - 1, code + 0x10, code + 0x1f, code + 0x30, std::uint64_t{0}, ~std::uint64_t{0}})
      CHECK(table.find_function(gap).error().code == Errc::not_found);
  }
}

TEST_CASE("consecutive rows with one rule are one row", "[dwarf]") {
  const UnwindElf file = file_with(2, [](CfiBuilder& builder, std::uint64_t cie) {
    builder.add_fde(cie, code, 0x10, bytes_of(0x41, 0x83, 2, 0x41, 0x8c, 3));  // other registers are saved
    builder.add_fde(cie, code + 0x10, 0x10, {});
  });
  const CompiledTable table = build(file.build());
  CHECK(table.counts.rows == 2);
  CHECK(cfa_offset(table, code + 0x1f) == 8);
}

TEST_CASE("of two entries for one address the first holds; of overlapping ones each from its start on", "[dwarf]") {
  const UnwindElf file = file_with(5, [](CfiBuilder& builder, std::uint64_t cie) {
    builder.add_fde(cie, code, 0x20, bytes_of(0x0e, 16, 0x54, 0x0e, 8));  // another row at 0x14
    builder.add_fde(cie, code, 0x40, bytes_of(0x0e, 24));
    builder.add_fde(cie, code + 0x10, 8, bytes_of(0x0e, 32));
    builder.add_fde(cie, code + 0x30, 0, bytes_of(0x0e, 40));
    builder.add_fde(cie, code + 0x40, 0x10, bytes_of(0x0e, 48));
  });
  const CompiledTable table = build(file.build());
  CHECK(table.counts.functions == 3);
  CHECK(table.counts.left_out.duplicates == 1);
  CHECK(table.counts.left_out.empty == 1);
  CHECK(cfa_offset(table, code) == 16);
  CHECK(cfa_offset(table, code + 0x10) == 32);
  CHECK(cfa_offset(table, code + 0x17) == 32);
  CHECK(cfa_offset(table, code + 0x18) == -1);
  CHECK(cfa_offset(table, code + 0x30) == -1);
  CHECK(cfa_offset(table, code + 0x4f) == 48);
  // so does a search by start
  const Bytes bytes = file.build();
  const auto image = elf::Image::parse(bytes);
  const auto eh_frame = find_eh_frame(*image);
  REQUIRE(eh_frame);
  CHECK(find_rule(*eh_frame, code + 0x10)->cfa_offset == 32);
  CHECK(find_rule(*eh_frame, code + 0x18).value_or({.cfa = CfaRule::end}) == UnwindRule{});
}

TEST_CASE("functions outside of the code are left out", "[dwarf]") {
  const UnwindElf file = file_with(4, [](CfiBuilder& builder, std::uint64_t cie) {
    builder.add_fde(cie, 0, 0x20, bytes_of(0x0e, 16));  // a section that the linker dropped
    builder.add_fde(cie, code, 0x20, bytes_of(0x0e, 24));
    builder.add_fde(cie, code + 0x10000, 0x20, bytes_of(0x0e, 32));
    builder.add_fde(cie, code + 0xfff0, 0x20, bytes_of(0x0e, 40));
  });
  const CompiledTable table = build(file.build());
  CHECK(table.counts.functions == 1);
  CHECK(table.counts.left_out.discarded == 3);
  CHECK(table.base == code);
}

TEST_CASE("damaged entries are left out and counted, the others stay", "[dwarf]") {
  UnwindElf file = file_with(3, [](CfiBuilder& builder, std::uint64_t cie) {
    builder.add_fde(cie, code, 0x10, bytes_of(0x0e, 16));
    builder.add_fde(cie, code + 0x10, 0x10, bytes_of(0x41, 0x0e, 24, 0x17));  // no such instruction
    builder.add_fde(cie, code + 0x20, 0x10, bytes_of(0x0e, 32));
  });
  const CompiledTable table = build(file.build());
  CHECK(cfa_offset(table, code + 0x0f) == 16);
  CHECK(cfa_offset(table, code + 0x10) == 8);
  CHECK(table.view().find(code + 0x11) == UnwindRule{});
  CHECK(cfa_offset(table, code + 0x20) == 32);
  CHECK(table.counts.damaged == 1);
  CHECK(table.counts.unknown == 1);

  file.eh_frame[8] = std::byte{77};  // the CIE's version
  CHECK(build_error(file.build()).code == Errc::not_found);
}

TEST_CASE("a table that ends with code that nothing describes ends there", "[dwarf]") {
  const UnwindElf file = file_with(
      1, [](CfiBuilder& builder, std::uint64_t cie) { builder.add_fde(cie, code, 0x1000, bytes_of(0x44, 0x17)); });
  const CompiledTable table = build(file.build());
  CHECK(cfa_offset(table, code) == 8);
  CHECK(table.view().find(code + 4) == UnwindRule{});
  CHECK(table.view().find(code + 0xfff) == UnwindRule{});
  CHECK(table.rows.size() == 2);
}

TEST_CASE("an expression is kept, once for all that are equal, and moves with the table", "[dwarf]") {
  const Bytes expression = bytes_of(0x77, 8, 0x79, 0, 0x38, 0x1e, 0x22, 0x06, 0x23, 8);
  CompiledTable moved;
  {
    const UnwindElf file = file_with(2, [&](CfiBuilder& builder, std::uint64_t cie) {
      Bytes instructions = bytes_of(0x0f, 10);
      pyagent_test::append_bytes(instructions, expression);
      builder.add_fde(cie, code, 0x10, instructions);
      builder.add_fde(cie, code + 0x20, 0x10, instructions);
    });
    const Bytes bytes = file.build();
    moved = build(bytes);
  }
  CHECK(moved.counts.expressions == 2);
  CHECK(moved.expressions.size() == 1);
  CHECK(moved.rare.size() == 1);
  const UnwindRule rule = moved.view().find(code + 0x20);
  REQUIRE(rule.cfa == CfaRule::expression);
  CHECK(Bytes(rule.expression, rule.expression + rule.expression_size) == expression);
}

TEST_CASE(".debug_frame adds what .eh_frame does not describe, from the file or the one with its debug information",
          "[dwarf]") {
  CfiBuilder debug;
  debug.is_debug_frame = true;
  const auto cie = debug.add_cie(first_rule, "");
  debug.add_fde(cie, code + 0x100, 0x20, bytes_of(0x42, 0x0e, 40));
  debug.add_fde(cie, code + 0x8, 0x20, bytes_of(0x0e, 48));  // overlaps two functions of .eh_frame
  debug.add_fde(cie, code + 0x20, 0x10, bytes_of(0x0e, 48));
  debug.add_fde(cie, code + 0x10, 0x10, bytes_of(0x0e, 56));  // just fits
  debug.add_fde(cie, 0, 0x10, {});
  const auto check = [](const CompiledTable& table) {
    CHECK(table.counts.functions == 4);
    CHECK(table.counts.left_out.duplicates == 2);
    CHECK(table.counts.left_out.discarded == 1);
    CHECK(cfa_offset(table, code + 0x0f) == 16);
    CHECK(cfa_offset(table, code + 0x10) == 56);
    CHECK(table.view().find(code + 0x20).cfa == CfaRule::plt);
    CHECK(cfa_offset(table, code + 0x101) == 8);
    CHECK(cfa_offset(table, code + 0x102) == 40);
    CHECK(table.view().find(code + 0x120) == UnwindRule{});
  };
  UnwindElf file = two_functions(), separate;
  const Bytes alone = file.build();
  separate.debug_frame = debug.bytes;
  const Bytes debug_file = separate.build();
  check(build(alone, &debug_file));
  file.debug_frame = debug.bytes;
  check(build(file.build()));

  const CompiledTable only_debug = build(debug_file);
  CHECK(only_debug.counts.functions == 4);  // only what another section describes is left out
  CHECK(cfa_offset(only_debug, code + 0x1f) == 56);
  CHECK(cfa_offset(only_debug, code + 0x101) == 8);
}

TEST_CASE("files without call frame information, or for another processor, are refused", "[dwarf]") {
  UnwindElf file;
  CHECK(build_error(file.build()).code == Errc::not_found);
  file = two_functions();
  file.machine = EM_RISCV;
  CHECK(build_error(file.build()).code == Errc::unsupported_build);
  file = two_functions();
  file.code_size = largest_code + 1;
  CHECK(build_error(file.build()).code == Errc::too_large);
}

TEST_CASE("a file without section headers is read through its table, and entries that overlap are refused", "[dwarf]") {
  UnwindElf file = two_functions();
  file.has_section_headers = false;
  // Both entries of the table lead to the same FDE.
  std::memcpy(file.header.data() + 12 + 4, file.header.data() + 20 + 4, 4);
  const CompiledTable table = build(file.build());
  CHECK(table.counts.functions == 1);
  CHECK(table.counts.damaged == 1);
}

TEST_CASE("a file whose sections end anywhere does no harm", "[dwarf]") {
  const UnwindElf whole = two_functions();
  for (const bool has_section_headers : {true, false})
    for (std::size_t size = 0; size < whole.eh_frame.size(); ++size) {
      UnwindElf file = whole;
      file.has_section_headers = has_section_headers;
      file.eh_frame.resize(size);
      const Bytes bytes = file.build();
      const auto image = elf::Image::parse(bytes);
      REQUIRE(image);
      const auto table = build_unwind_table(*image);
      const bool has_first = size >= whole.eh_frame.size() - 24;              // the entry of two is the longer one
      if (has_section_headers) CHECK(static_cast<bool>(table) == has_first);  // else the file's next bytes follow
    }
}
