// Fuzz target: call frame information, compiled to a table and looked up entry by entry.
//
// An input that begins as an ELF file is taken as one. Otherwise its first byte chooses the kind of section and the
// processor (bit 0: .debug_frame, bit 1: aarch64), the second is the size of an .eh_frame_hdr in front of the section.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>

#include "pyagent/dwarf/build_unwind_table.hpp"
#include "pyagent/dwarf/find_rule.hpp"

using namespace pyagent;

namespace {

void require(bool holds) {
  if (!holds) std::abort();
}

void check_table(const dwarf::CompiledTable& table) {
  const unwind::UnwindTable view = table.view();
  require(!table.rows.empty() && table.rows.front().start == 0 && table.rows.back().rule == unwind::packed_unknown);
  for (std::size_t i = 0; i < table.rows.size(); ++i) {
    require(i == 0 || table.rows[i - 1].start < table.rows[i].start);
    require(i == 0 || table.rows[i - 1].rule != table.rows[i].rule);
    const auto rule = unpack_rule(table.rows[i].rule, table.registers, table.rare);
    require(view.find(table.base + table.rows[i].start) == rule);
    require((rule.expression != nullptr) == (rule.cfa == unwind::CfaRule::expression));
    std::size_t sum = 0;
    for (std::uint32_t byte = 0; byte < rule.expression_size; ++byte)
      sum += std::to_integer<std::size_t>(rule.expression[byte]);
    require(sum <= std::size_t{rule.expression_size} * 255);
  }
  std::uint64_t end = 0;
  for (const auto& function : table.functions) {
    require(function.size != 0 && function.start >= end);
    end = std::uint64_t{function.start} + function.size;
    const auto found = table.find_function(table.base + end - 1);
    require(found && found->end == table.base + end);
  }
}

/// Entries that one lookup finds must agree with those that all do.
void find_some(const dwarf::EhFrame& eh_frame, const dwarf::FunctionList& list) {
  const std::size_t step = std::max<std::size_t>(1, list.functions().size() / 16);
  for (std::size_t i = 0; i < list.functions().size(); i += step)
    for (const std::uint64_t address :
         {list.functions()[i].start, list.functions()[i].end - 1, list.functions()[i].end}) {
      const auto function = dwarf::find_function(eh_frame, address);
      require(!function || function->contains(address));
      const auto rule = dwarf::find_rule(eh_frame, address);
      require(function || !rule || rule->cfa == unwind::CfaRule::unknown);
    }
}

void run_file(std::span<const std::byte> bytes) {
  const auto image = elf::Image::parse(bytes);
  if (!image) return;
  if (const auto table = dwarf::build_unwind_table(*image)) check_table(*table);
  if (const auto eh_frame = dwarf::find_eh_frame(*image)) {
    dwarf::FunctionList list{{0, ~std::uint64_t{0}}};
    list.add(*eh_frame);
    find_some(*eh_frame, list);
  }
}

void run_section(std::span<const std::byte> bytes) {
  ByteCursor cursor{bytes};
  const auto kind = cursor.take<std::uint8_t>(), header_size = cursor.take<std::uint8_t>();
  dwarf::EhFrame eh_frame;
  eh_frame.header = cursor.take_bytes(std::min<std::size_t>(header_size, cursor.remaining()));
  eh_frame.header_address = 0x10000;
  eh_frame.section.bytes = cursor.take_bytes(cursor.remaining());
  eh_frame.section.address = 0x20000;
  eh_frame.section.is_debug_frame = (kind & 1) != 0;
  eh_frame.section.machine = (kind & 2) != 0 ? EM_AARCH64 : EM_X86_64;
  dwarf::FunctionList list{{0, 1 << 24}};
  list.add(eh_frame.section);
  find_some(eh_frame, list);
  eh_frame.has_exact_size = false;
  list.add(eh_frame);
  find_some(eh_frame, list);
  if (!list.functions().empty()) check_table(dwarf::detail::TableCompiler{list}.compile());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto bytes = std::as_bytes(std::span{data, size});
  if (size > 4 && data[0] == 0x7f) {
    run_file(bytes);
  } else if (size > 2) {
    run_section(bytes);
  }
  return 0;
}
