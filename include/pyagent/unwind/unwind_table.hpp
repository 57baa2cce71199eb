// Unwind rules of one module, sorted by address: built elsewhere (dwarf), looked up here. signal-safe
#pragma once

#include <elf.h>  // EM_AARCH64

#include <cstddef>      // size_t
#include <cstdint>      // uint32_t
#include <optional>     // optional
#include <span>         // span
#include <type_traits>  // is_trivially_copyable_v

#include "pyagent/unwind/unwind_rule.hpp"

namespace pyagent::inline v0::unwind {

/// The registers that nearly all rules are about, by DWARF number.
struct RegisterNumbers {
  std::uint8_t stack_pointer = 7;
  std::uint8_t frame_pointer = 6;

  friend constexpr bool operator==(RegisterNumbers, RegisterNumbers) noexcept = default;
};

/// Those of a processor, by its ELF number (EM_...); x86-64's for one that is not known.
///
/// Source: System V ABI for x86-64, figure 3.36; DWARF for the Arm 64-bit architecture, 4.1
constexpr RegisterNumbers register_numbers(std::uint16_t machine) noexcept {
  if (machine == EM_AARCH64) return {31, 29};
  return {7, 6};
}

/// From `start` on this rule holds, up to the next row's start.
struct UnwindRow {
  std::uint32_t start = 0;  ///< bytes from the table's base
  std::uint32_t rule = 0;   ///< packed, see pack_rule

  friend constexpr bool operator==(const UnwindRow&, const UnwindRow&) noexcept = default;
};

/// What the lowest three bits of a packed rule say. `cfa` is bits 4 to 17, `saved` bits 18 to 31, both in units of 8
/// bytes. Bit 3: the return address is signed.
///
/// The frame pointer is untouched where `saved` is 0 in the kinds `called`, else at CFA - saved.
enum class PackedKind : std::uint8_t {
  fixed,      ///< all else zero: unknown; `cfa` 1: end
  called_sp,  ///< CFA = stack pointer + cfa, return address at CFA - 8 (x86-64's call pushed it)
  called_fp,  ///< CFA = frame pointer + cfa, otherwise the same
  leaf_sp,    ///< CFA = stack pointer + cfa; nothing is saved (aarch64, before the link register is stored)
  pair_sp,    ///< CFA = stack pointer + cfa; frame pointer at CFA - saved, return address 8 above it (aarch64's stp)
  pair_fp,    ///< CFA = frame pointer + cfa, otherwise the same
  linked_sp,  ///< CFA = stack pointer + cfa; return address at CFA - saved, frame pointer untouched
  rare,       ///< bits 3 to 31: index into the table's rare rules
};

inline constexpr std::uint32_t packed_unknown = 0;
inline constexpr std::uint32_t packed_end = 1u << 4;
/// More rare rules than this can't be named by a packed one.
inline constexpr std::uint32_t max_rare_rules = 1u << 29;

constexpr std::uint32_t pack_rare(std::uint32_t index) noexcept {
  return index << 3 | static_cast<std::uint32_t>(PackedKind::rare);
}

/// `rule` in four bytes; nothing for one that needs a place among the rare rules.
constexpr std::optional<std::uint32_t> pack_rule(const UnwindRule& rule, RegisterNumbers registers) noexcept {
  if (rule == UnwindRule{}) return packed_unknown;
  if (rule == UnwindRule{.cfa = CfaRule::end}) return packed_end;
  const SavedRegister& pointer = rule.frame_pointer;
  const SavedRegister& link = rule.return_address;
  const bool is_sp = rule.cfa_register == registers.stack_pointer, is_fp = rule.cfa_register == registers.frame_pointer;
  const auto is_plain = [](const SavedRegister& saved) {
    return saved.from == 0 && (saved.rule == SavedRule::at_cfa || (saved.rule == SavedRule::same && saved.offset == 0));
  };
  if (rule.cfa != CfaRule::offset || !(is_sp || is_fp) || rule.is_signal_frame) return std::nullopt;
  if (rule.plt_limit != 0 || rule.cfa_add != 0 || rule.expression != nullptr || rule.expression_size != 0)
    return std::nullopt;
  if (!is_plain(pointer) || !is_plain(link)) return std::nullopt;

  const bool has_pointer = pointer.rule == SavedRule::at_cfa, has_link = link.rule == SavedRule::at_cfa;
  PackedKind kind = PackedKind::fixed;
  std::int64_t saved = has_pointer ? -std::int64_t{pointer.offset} : 0;
  if (has_link && link.offset == -8 && (!has_pointer || saved != 0)) {
    kind = is_sp ? PackedKind::called_sp : PackedKind::called_fp;
  } else if (!has_link && !has_pointer && is_sp) {
    kind = PackedKind::leaf_sp;
  } else if (has_link && has_pointer && link.offset - std::int64_t{pointer.offset} == 8) {
    kind = is_sp ? PackedKind::pair_sp : PackedKind::pair_fp;
  } else if (has_link && !has_pointer && is_sp) {
    kind = PackedKind::linked_sp;
    saved = -std::int64_t{link.offset};
  } else {
    return std::nullopt;
  }
  const auto fits = [](std::int64_t bytes) { return bytes >= 0 && bytes % 8 == 0 && bytes / 8 < (1 << 14); };
  if (!fits(rule.cfa_offset) || !fits(saved)) return std::nullopt;
  return static_cast<std::uint32_t>(kind) | (rule.is_return_address_signed ? 8u : 0u) |
         static_cast<std::uint32_t>(rule.cfa_offset / 8) << 4 | static_cast<std::uint32_t>(saved / 8) << 18;
}

/// The rule that `packed` stands for; CfaRule::unknown for an index beyond `rare`.
constexpr UnwindRule unpack_rule(std::uint32_t packed, RegisterNumbers registers,
                                 std::span<const UnwindRule> rare) noexcept {
  const auto kind = static_cast<PackedKind>(packed & 7);
  UnwindRule rule;
  if (kind == PackedKind::rare) return packed >> 3 < rare.size() ? rare[packed >> 3] : rule;
  if (kind == PackedKind::fixed) {
    rule.cfa = packed == packed_end ? CfaRule::end : CfaRule::unknown;
    return rule;
  }
  const auto saved = -static_cast<std::int32_t>(packed >> 18) * 8;
  const bool is_fp = kind == PackedKind::called_fp || kind == PackedKind::pair_fp;
  const bool is_called = kind == PackedKind::called_sp || kind == PackedKind::called_fp;
  const bool is_pair = kind == PackedKind::pair_sp || kind == PackedKind::pair_fp;
  rule.cfa = CfaRule::offset;
  rule.cfa_register = is_fp ? registers.frame_pointer : registers.stack_pointer;
  rule.cfa_offset = static_cast<std::int32_t>(packed >> 4 & 0x3fff) * 8;
  rule.is_return_address_signed = (packed & 8) != 0;
  if (is_pair || (is_called && saved != 0)) rule.frame_pointer = {SavedRule::at_cfa, 0, saved};
  if (is_called) rule.return_address = {SavedRule::at_cfa, 0, -8};
  if (is_pair) rule.return_address = {SavedRule::at_cfa, 0, saved + 8};
  if (kind == PackedKind::linked_sp) rule.return_address = {SavedRule::at_cfa, 0, saved};
  return rule;
}

/// A view of sorted rows. Addresses are those of the file, before the load bias is added. What it looks at must outlive
/// it, and is not trusted: a damaged table gives wrong rules, never a read outside of it.
class UnwindTable {
 public:
  static constexpr std::uint32_t bucket_size = 256;  ///< bytes of code

  UnwindTable() = default;
  /// `rows` begin with one that starts at 0 and end with an unknown one where the module's last function ends;
  /// `buckets[i]` is the last row that starts at or before base + 256 * i.
  UnwindTable(std::uint64_t base, std::span<const UnwindRow> rows, std::span<const std::uint32_t> buckets,
              std::span<const UnwindRule> rare, RegisterNumbers registers = {}) noexcept
      : base_(base), rows_(rows), buckets_(buckets), rare_(rare), registers_(registers) {}

  /// The rule that holds at `address`; CfaRule::unknown where there is none.
  UnwindRule find(std::uint64_t address) const noexcept { return unpack_rule(find_packed(address), registers_, rare_); }

  std::uint64_t base() const noexcept { return base_; }
  std::span<const UnwindRow> rows() const noexcept { return rows_; }
  bool empty() const noexcept { return rows_.empty(); }

 private:
  std::uint32_t find_packed(std::uint64_t address) const noexcept {
    const std::uint64_t offset = address - base_;  // wraps, and is then beyond all buckets
    const std::uint64_t bucket = offset / bucket_size;
    if (bucket >= buckets_.size() || buckets_[bucket] >= rows_.size()) return packed_unknown;
    std::size_t row = buckets_[bucket];
    // At most bucket_size rows start in a bucket: they start at different bytes.
    while (row + 1 < rows_.size() && rows_[row + 1].start <= offset) ++row;
    return rows_[row].rule;
  }

  std::uint64_t base_ = 0;
  std::span<const UnwindRow> rows_;
  std::span<const std::uint32_t> buckets_;
  std::span<const UnwindRule> rare_;
  RegisterNumbers registers_;
};
static_assert(std::is_trivially_copyable_v<UnwindTable>);

}  // namespace pyagent::inline v0::unwind
