// Prints the unwind rules of an ELF file: `print_unwind_rows FILE [DEBUG_FILE]`. test_unwind_rows.py compares them.
//
//   ADDRESS CFA FRAME_POINTER RETURN_ADDRESS   the rule that holds from there on, written as readelf would
//   ! ...                                      find_rule or find_function and the table say different things
//   = functions=N rows=N ...                   counts
//
// `print_unwind_rows --time FILE` prints what building the table and finding rules cost instead.
#include <algorithm>
#include <chrono>
#include <cinttypes>
#include <cstdio>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "pyagent/dwarf/build_unwind_table.hpp"
#include "pyagent/dwarf/find_rule.hpp"
#include "pyagent/elf/mapped_file.hpp"

using namespace pyagent;
using unwind::CfaRule;
using unwind::SavedRegister;
using unwind::SavedRule;
using unwind::UnwindRule;

namespace {

std::string register_name(std::uint16_t machine, unsigned number) {
  static constexpr const char* x86_64[] = {"rax", "rdx", "rcx", "rbx", "rsi", "rdi", "rbp", "rsp", "r8",
                                           "r9",  "r10", "r11", "r12", "r13", "r14", "r15", "rip"};
  if (machine == EM_X86_64 && number < std::size(x86_64)) return x86_64[number];
  if (machine == EM_AARCH64 && number == 31) return "sp";
  if (machine == EM_AARCH64 && number < 31) return "x" + std::to_string(number);
  return "r" + std::to_string(number);
}

std::string with_sign(std::int32_t number) { return (number < 0 ? "" : "+") + std::to_string(number); }

class RulePrinter {
 public:
  explicit RulePrinter(std::uint16_t machine) : machine_(machine) {}

  std::string text(const UnwindRule& rule) const {
    return cfa(rule) + " " + saved(rule.frame_pointer) + " " +
           (rule.cfa == CfaRule::end ? "u" : saved(rule.return_address)) +
           (rule.is_return_address_signed ? " signed" : "");
  }

 private:
  std::string cfa(const UnwindRule& rule) const {
    const std::string place = register_name(machine_, rule.cfa_register) + with_sign(rule.cfa_offset);
    switch (rule.cfa) {
      case CfaRule::unknown:
        return "unknown";
      case CfaRule::end:
        return "end";
      case CfaRule::offset:
        return place;
      case CfaRule::deref:
        return "*(" + place + ")" + with_sign(rule.cfa_add);
      case CfaRule::plt:
        return "plt(" + place + "," + std::to_string(rule.plt_limit) + ")";
      case CfaRule::expression:
        return "exp" + std::to_string(rule.expression_size);
      case CfaRule::signal:
        return "signal";
    }
    return "?";
  }

  std::string saved(const SavedRegister& saved) const {
    switch (saved.rule) {
      case SavedRule::same:
        return "u";
      case SavedRule::undefined:
        return "undefined";
      case SavedRule::at_cfa:
        return "c" + with_sign(saved.offset);
      case SavedRule::at_register:
        return "*(" + register_name(machine_, saved.from) + with_sign(saved.offset) + ")";
      case SavedRule::is_cfa:
        return "v" + with_sign(saved.offset);
      case SavedRule::in_register:
        return register_name(machine_, saved.from);
    }
    return "?";
  }

  std::uint16_t machine_;
};

bool is_same(UnwindRule a, UnwindRule b) {
  const bool same_bytes = a.expression_size == b.expression_size &&
                          (a.expression_size == 0 || std::memcmp(a.expression, b.expression, a.expression_size) == 0);
  a.expression = b.expression = nullptr;
  return same_bytes && a == b;
}

void print_rows(const dwarf::CompiledTable& table, const elf::Image& image) {
  const RulePrinter printer{image.machine()};
  for (const unwind::UnwindRow& row : table.rows)
    std::printf("%" PRIx64 " %s\n", table.base + row.start,
                printer.text(unpack_rule(row.rule, table.registers, table.rare)).c_str());
  const dwarf::CompileCounts& counts = table.counts;
  std::printf(
      "= functions=%zu rows=%zu unknown=%zu expressions=%zu damaged=%zu empty=%zu discarded=%zu duplicates=%zu "
      "rare=%zu\n",
      counts.functions, counts.rows, counts.unknown, counts.expressions, counts.damaged, counts.left_out.empty,
      counts.left_out.discarded, counts.left_out.duplicates, table.rare.size());
}

/// The first and the last byte of every row by both ways.
void compare_ways(const dwarf::CompiledTable& table, const dwarf::EhFrame& eh_frame, std::uint16_t machine) {
  const RulePrinter printer{machine};
  const unwind::UnwindTable view = table.view();
  for (std::size_t i = 0; i < table.rows.size(); ++i) {
    const std::uint64_t start = table.base + table.rows[i].start;
    const std::uint64_t last = i + 1 < table.rows.size() ? table.base + table.rows[i + 1].start - 1 : start;
    const UnwindRule expected = unpack_rule(table.rows[i].rule, table.registers, table.rare);
    for (const std::uint64_t address : {start, last}) {
      const UnwindRule looked_up = view.find(address);
      const auto found = dwarf::find_rule(eh_frame, address);
      if (!is_same(expected, looked_up))
        std::printf("! %" PRIx64 " lookup %s, row %s\n", address, printer.text(looked_up).c_str(),
                    printer.text(expected).c_str());
      if (!found || !is_same(*found, expected))
        std::printf("! %" PRIx64 " find_rule %s, row %s\n", address,
                    found ? printer.text(*found).c_str() : message(found.error()), printer.text(expected).c_str());
      const auto by_entry = dwarf::find_function(eh_frame, address), by_table = table.find_function(address);
      if (static_cast<bool>(by_entry) != static_cast<bool>(by_table) ||
          (by_entry && by_entry->start != by_table->start))
        std::printf("! %" PRIx64 " find_function\n", address);
    }
  }
}

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

/// Addresses spread over the functions, in an order that caches do not like.
std::vector<std::uint64_t> spread_addresses(const dwarf::CompiledTable& table) {
  std::vector<std::uint64_t> addresses(100'000);
  std::uint64_t state = 1;
  for (std::uint64_t& address : addresses) {
    state = state * 6364136223846793005 + 1442695040888963407;
    const auto& function = table.functions[(state >> 33) % table.functions.size()];
    address = table.base + function.start + (state >> 20) % function.size;
  }
  return addresses;
}

void print_times(const elf::Image& image, const dwarf::EhFrame& eh_frame) {
  double build = 1e9;
  dwarf::CompiledTable table;
  for (int round = 0; round < 5; ++round) {
    const auto start = std::chrono::steady_clock::now();
    auto built = dwarf::build_unwind_table(image);
    build = std::min(build, seconds_since(start));
    if (!built) return;
    table = std::move(*built);
  }
  const auto addresses = spread_addresses(table);
  const unwind::UnwindTable view = table.view();
  std::size_t known = 0;
  auto start = std::chrono::steady_clock::now();
  for (const std::uint64_t address : addresses) known += view.find(address).cfa != CfaRule::unknown;
  const double lookup = seconds_since(start);
  start = std::chrono::steady_clock::now();
  for (const std::uint64_t address : addresses) known += dwarf::find_rule(eh_frame, address)->cfa != CfaRule::unknown;
  const double interpret = seconds_since(start);
  const auto count = static_cast<double>(addresses.size());
  const auto rows = static_cast<double>(table.rows.size());
  std::printf(
      "%zu functions, %zu rows, %zu rare; build %.2f ms, %.1f ns per row; lookup %.1f ns, find_rule %.1f ns (%zu "
      "known)\n",
      table.functions.size(), table.rows.size(), table.rare.size(), 1e3 * build, 1e9 * build / rows,
      1e9 * lookup / count, 1e9 * interpret / count, known);
}

}  // namespace

int main(int argc, char** argv) {
  const bool is_timed = argc == 3 && std::strcmp(argv[1], "--time") == 0;
  if (argc < 2 || argc > 3) return std::fputs("usage: print_unwind_rows [--time] FILE [DEBUG_FILE]\n", stderr), 2;
  const auto file = elf::MappedFile::open(argv[is_timed ? 2 : 1]);
  const auto debug_file =
      argc == 3 && !is_timed ? elf::MappedFile::open(argv[2]) : Result<elf::MappedFile>{Error{Errc::not_found}};
  const auto image = file ? elf::Image::parse(file->bytes()) : Result<elf::Image>{file.error()};
  const auto debug_image = debug_file ? elf::Image::parse(debug_file->bytes()) : Result<elf::Image>{debug_file.error()};
  if (!image) return std::fprintf(stderr, "print_unwind_rows: %s\n", message(image.error())), 1;
  const auto eh_frame = dwarf::find_eh_frame(*image);
  if (is_timed && eh_frame) return print_times(*image, *eh_frame), 0;
  const auto table = dwarf::build_unwind_table(*image, debug_image ? &*debug_image : nullptr);
  if (!table) return std::fprintf(stderr, "print_unwind_rows: %s\n", message(table.error())), 1;
  print_rows(*table, *image);
  const bool is_all_eh_frame = image->find_section(".debug_frame") == nullptr && !debug_image;
  if (eh_frame && is_all_eh_frame) compare_ways(*table, *eh_frame, image->machine());
}
