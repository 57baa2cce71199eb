// Compiles a module's call frame information into a table of unwind rules. May allocate.
#pragma once

#include <algorithm>      // max, min, upper_bound
#include <cstddef>        // byte, size_t
#include <cstdint>        // uint32_t
#include <span>           // span
#include <string_view>    // string_view
#include <unordered_map>  // unordered_map
#include <utility>        // move
#include <vector>         // vector

#include "pyagent/dwarf/find_eh_frame.hpp"
#include "pyagent/dwarf/function_list.hpp"
#include "pyagent/elf/section_bytes.hpp"
#include "pyagent/unwind/unwind_table.hpp"

namespace pyagent::inline v0::dwarf {

/// The code of one module is not larger; it could not be called by 32-bit distances.
inline constexpr std::uint64_t largest_code = std::uint64_t{2} << 30;

/// What went into a table, and what did not.
struct CompileCounts {
  std::size_t functions = 0;
  std::size_t rows = 0;
  std::size_t unknown = 0;      ///< rows inside of functions whose rule is not understood
  std::size_t expressions = 0;  ///< rows with CfaRule::expression
  std::size_t damaged = 0;      ///< entries, or their instructions from somewhere on
  FunctionListCounts left_out;
};

/// A module's unwind rules and functions. It owns all it needs: the file may go.
struct CompiledTable {
  struct Function {
    std::uint32_t start = 0;  ///< bytes from base
    std::uint32_t size = 0;
  };

  std::uint64_t base = 0;  ///< address in the file of the first function
  unwind::RegisterNumbers registers;
  std::vector<unwind::UnwindRow> rows;
  std::vector<std::uint32_t> buckets;
  std::vector<unwind::UnwindRule> rare;
  std::vector<std::vector<std::byte>> expressions;  ///< that rare rules point to
  std::vector<Function> functions;                  ///< by start
  CompileCounts counts;

  CompiledTable() = default;
  CompiledTable(CompiledTable&&) = default;
  CompiledTable& operator=(CompiledTable&&) = default;
  CompiledTable(const CompiledTable&) = delete;  // the copy's rules would point into the original
  CompiledTable& operator=(const CompiledTable&) = delete;

  /// Good as long as this object, or one that it was moved to, lives.
  unwind::UnwindTable view() const noexcept { return {base, rows, buckets, rare, registers}; }

  /// The function at `address`, as it is in the file.
  ///
  /// Errors: not_found between functions.
  Result<FunctionRange> find_function(std::uint64_t address) const noexcept {
    const std::uint64_t offset = address - base;
    const auto after =
        std::upper_bound(functions.begin(), functions.end(), offset,
                         [](std::uint64_t wanted, const Function& function) { return wanted < function.start; });
    if (after == functions.begin()) return Error{Errc::not_found, Address{address}};
    const Function& found = *(after - 1);
    if (offset - found.start >= found.size) return Error{Errc::not_found, Address{address}};
    return FunctionRange{base + found.start, base + found.start + found.size};
  }
};

namespace detail {

class TableCompiler {
 public:
  explicit TableCompiler(const FunctionList& list) : list_(list) {}

  CompiledTable compile() {
    const auto& functions = list_.functions();
    if (functions.empty()) return std::move(table_);
    table_.base = functions.front().start;
    table_.registers = unwind::register_numbers(list_.sections().front().machine);
    table_.functions.reserve(functions.size());
    std::uint64_t covered = table_.base;
    for (std::size_t i = 0; i < functions.size(); ++i) {
      // Where two overlap the later one holds from its start on, as a search by start finds it.
      const std::uint64_t next = i + 1 < functions.size() ? functions[i + 1].start : ~std::uint64_t{0};
      const std::uint64_t end = std::min(functions[i].end, next);
      if (covered < functions[i].start) push(covered, unwind::packed_unknown);
      compile_function(functions[i], end);
      table_.functions.push_back({offset_of(functions[i].start), static_cast<std::uint32_t>(end - functions[i].start)});
      covered = end;
    }
    // Always a row, so that the last function's rule ends somewhere.
    if (table_.rows.back().rule != unwind::packed_unknown) push(covered, unwind::packed_unknown);
    fill_buckets();
    table_.counts.functions = functions.size();
    table_.counts.rows = table_.rows.size();
    table_.counts.left_out = list_.counts();
    table_.counts.damaged += list_.counts().damaged;
    return std::move(table_);
  }

 private:
  std::uint32_t offset_of(std::uint64_t address) const noexcept {
    return static_cast<std::uint32_t>(address - table_.base);
  }

  void push(std::uint64_t address, std::uint32_t rule) {
    if (table_.rows.empty() || table_.rows.back().rule != rule) table_.rows.push_back({offset_of(address), rule});
  }

  void compile_function(const FunctionList::Function& function, std::uint64_t end) {
    const CfiSection& section = list_.sections()[function.section];
    const FunctionList::Common& common = list_.commons()[function.common];
    const auto entry = read_entry(section, function.entry);
    const auto fde = entry ? read_fde(section, *entry, common.cie) : Result<Fde>{entry.error()};
    if (!fde) {
      ++table_.counts.damaged;
      return push(function.start, unwind::packed_unknown);
    }
    CfiRunner runner{section, common.cie, common.initial};
    const Error failed = runner.run_fde(*fde, [&](FunctionRange row, const CfiState& state, bool is_changed) {
      if (row.start >= end) return false;
      if (is_changed) push_state(row.start, section, common.cie, state);
      return true;
    });
    table_.counts.damaged += failed.code != Errc::ok;
  }

  void push_state(std::uint64_t address, const CfiSection& section, const Cie& cie, const CfiState& state) {
    const unwind::UnwindRule rule = build_rule(section, cie, state);
    table_.counts.unknown += rule.cfa == unwind::CfaRule::unknown;
    table_.counts.expressions += rule.cfa == unwind::CfaRule::expression;
    const auto packed = unwind::pack_rule(rule, table_.registers);
    push(address, packed ? *packed : pack_rare(rule));
  }

  std::uint32_t pack_rare(unwind::UnwindRule rule) {
    if (rule.expression != nullptr) keep_expression(rule);
    const auto [place, is_new] = rare_index_.try_emplace(rule, static_cast<std::uint32_t>(table_.rare.size()));
    if (is_new && table_.rare.size() == unwind::max_rare_rules) return unwind::packed_unknown;
    if (is_new) table_.rare.push_back(rule);
    return unwind::pack_rare(place->second);
  }

  /// Lets `rule` point to a copy of its expression, one for all that are equal.
  void keep_expression(unwind::UnwindRule& rule) {
    const std::string_view text{reinterpret_cast<const char*>(rule.expression), rule.expression_size};
    const auto [place, is_new] = expression_index_.try_emplace(text, table_.expressions.size());
    if (is_new) table_.expressions.emplace_back(rule.expression, rule.expression + rule.expression_size);
    rule.expression = table_.expressions[place->second].data();
  }

  void fill_buckets() {
    constexpr std::uint32_t size = unwind::UnwindTable::bucket_size;
    const auto& rows = table_.rows;
    table_.buckets.resize(rows.back().start / size + 1);
    std::uint32_t row = 0;
    for (std::size_t i = 0; i < table_.buckets.size(); ++i) {
      while (row + 1 < rows.size() && rows[row + 1].start <= i * size) ++row;
      table_.buckets[i] = row;
    }
  }

  struct RuleHash {
    std::size_t operator()(const unwind::UnwindRule& rule) const noexcept {
      const auto mix = [](std::size_t seed, std::uint64_t value) { return (seed ^ value) * 0x9e3779b97f4a7c15; };
      std::size_t hash = mix(static_cast<std::size_t>(rule.cfa), rule.cfa_register);
      for (const std::int32_t value :
           {rule.cfa_offset, rule.cfa_add, rule.frame_pointer.offset, rule.return_address.offset})
        hash = mix(hash, static_cast<std::uint32_t>(value));
      return mix(hash, reinterpret_cast<std::uintptr_t>(rule.expression));
    }
  };

  const FunctionList& list_;
  CompiledTable table_;
  std::unordered_map<unwind::UnwindRule, std::uint32_t, RuleHash> rare_index_;
  std::unordered_map<std::string_view, std::size_t> expression_index_;
};

/// From the first to the last byte of executable segments.
inline FunctionRange code_range(const elf::Image& image) noexcept {
  FunctionRange code{~std::uint64_t{0}, 0};
  for (const elf::Segment& segment : image.segments()) {
    if (!segment.executable) continue;
    code.start = std::min(code.start, segment.address);
    code.end = std::max(code.end, segment.address + segment.memory_size);
  }
  return code;
}

}  // namespace detail

/// Compiles the call frame information of `image`: .eh_frame, and of .debug_frame what that does not describe. A
/// .debug_frame that `image` has not is taken from `debug_file`, the separate file with its debug information.
///
/// Errors: not_found when there is none; unsupported_build for a processor other than x86-64 and aarch64; too_large;
///         otherwise what is damaged is left out and counted.
inline Result<CompiledTable> build_unwind_table(const elf::Image& image, const elf::Image* debug_file = nullptr) {
  if (image.machine() != EM_X86_64 && image.machine() != EM_AARCH64) return Error{Errc::unsupported_build};
  const FunctionRange code = detail::code_range(image);
  if (code.start < code.end && code.end - code.start > largest_code) return Error{Errc::too_large, Address{code.start}};
  FunctionList list{code};
  const auto eh_frame = find_eh_frame(image);
  if (eh_frame) list.add(*eh_frame);
  auto debug_frame = elf::read_section_bytes(image, ".debug_frame");
  if (!debug_frame && debug_file != nullptr) debug_frame = elf::read_section_bytes(*debug_file, ".debug_frame");
  if (debug_frame)
    list.add(CfiSection{.bytes = debug_frame->bytes(), .is_debug_frame = true, .machine = image.machine()});
  if (list.functions().empty()) return Error{Errc::not_found};
  return detail::TableCompiler{list}.compile();
}

}  // namespace pyagent::inline v0::dwarf
