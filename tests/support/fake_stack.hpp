// A native stack and code with unwind rules, made by hand: what a program would have pushed, and what its compiler
// would have said.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "pyagent/memory/buffer_memory.hpp"
#include "pyagent/unwind/registers.hpp"
#include "pyagent/unwind/unwind_rule.hpp"

namespace pyagent::test {

/// A stack that is pushed to like that of x86-64: downward, a return address by each call.
class FakeStack {
 public:
  explicit FakeStack(std::size_t words = 4096) : words_(words), sp_(words) {}

  Address push(std::uint64_t value) {
    words_[--sp_] = value;
    return sp();
  }
  Address push(Address address) { return push(address.value); }
  /// Room for `words` locals.
  Address allocate(std::size_t words) {
    sp_ -= words;
    return sp();
  }
  void write(Address at, std::uint64_t value) { words_[(at - base) / 8] = value; }
  void write(Address at, Address value) { write(at, value.value); }

  Address sp() const { return base + 8 * sp_; }
  AddressRange range() const { return {base, base + 8 * words_.size()}; }
  memory::BufferMemory memory() const { return {base, std::as_bytes(std::span{words_})}; }
  std::span<std::uint64_t> words() { return words_; }

  static constexpr Address base{0x7ffc'0000'0000};

 private:
  std::vector<std::uint64_t> words_;
  std::size_t sp_;
};

/// CFA = register + offset, return address below it; `saved`: the frame pointer at CFA - saved, or untouched if zero.
inline unwind::UnwindRule rule_by(std::uint8_t cfa_register, std::int32_t offset, std::int32_t saved = 0) {
  unwind::UnwindRule rule;
  rule.cfa = unwind::CfaRule::offset;
  rule.cfa_register = cfa_register;
  rule.cfa_offset = offset;
  rule.return_address = {unwind::SavedRule::at_cfa, 0, -8};
  if (saved != 0) rule.frame_pointer = {unwind::SavedRule::at_cfa, 0, -saved};
  return rule;
}
inline unwind::UnwindRule rule_by_sp(std::int32_t offset, std::int32_t saved = 0) { return rule_by(7, offset, saved); }
inline unwind::UnwindRule rule_by_fp() { return rule_by(6, 16, 16); }

inline unwind::UnwindRule end_rule() {
  unwind::UnwindRule rule;
  rule.cfa = unwind::CfaRule::end;
  return rule;
}

/// Functions of 256 bytes each. A return address in one ends with 8 (in hexadecimal): there the instruction before is a
/// call.
class FakeCode {
 public:
  static constexpr std::uint64_t function_size = 256;

  /// The address of a new function with this rule all over it.
  Address add(const unwind::UnwindRule& rule) {
    rules_.push_back(rule);
    return base + function_size * (rules_.size() - 1);
  }
  /// A function without a rule.
  Address add_bare() { return add({}); }

  unwind::UnwindRule find_rule(Address address) noexcept {
    ++lookups;
    return contains(address) ? rules_[(address - base) / function_size] : unwind::UnwindRule{};
  }
  bool follows_call(Address address) noexcept { return contains(address - 1) && address.value % 16 == 8; }

  std::size_t lookups = 0;
  static constexpr Address base{0x5555'0000'0000};

 private:
  bool contains(Address address) const {
    return AddressRange{base, base + function_size * rules_.size()}.contains(address);
  }

  std::vector<unwind::UnwindRule> rules_;
};

/// FakeCode that tells where calls go: `callees` of the calls before some return addresses.
class FakeCallCode : public FakeCode {
 public:
  Address find_callee(Address address) noexcept {
    for (const auto& [return_address, callee] : callees)
      if (return_address == address) return callee;
    return {};
  }
  std::vector<std::pair<Address, Address>> callees;
};

/// A return address in `function`; another for each number.
inline Address call_in(Address function, unsigned number = 1) { return function + 16 * number + 8; }

}  // namespace pyagent::test
