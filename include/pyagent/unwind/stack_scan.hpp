// Looks for a caller among the words of a stack. signal-safe
#pragma once

#include <algorithm>  // min
#include <array>      // array
#include <cstddef>    // byte, size_t
#include <cstdint>    // uint64_t
#include <cstring>    // memcpy
#include <span>       // span

#include "pyagent/memory/memory.hpp"
#include "pyagent/unwind/chain.hpp"
#include "pyagent/unwind/code_map.hpp"
#include "pyagent/unwind/registers.hpp"
#include "pyagent/unwind/step.hpp"

namespace pyagent::inline v0::unwind {

/// How far above the stack pointer a return address is looked for. Seen: 26 KiB, in OpenBLAS's kernels.
inline constexpr std::uint64_t max_scan = 64 * 1024;

namespace detail {

/// Words of a stack from low to high addresses, read in blocks; by ever smaller ones where memory ends.
template <memory::Memory M>
class StackWords {
 public:
  StackWords(const M& memory, AddressRange range) noexcept : memory_(memory), range_(range) {}

  bool read(Address at, std::uint64_t& word) noexcept {
    if (!held_.contains(at, 8) && !fill(at)) return false;
    std::memcpy(&word, bytes_.data() + (at - held_.begin), sizeof word);
    return true;
  }

 private:
  bool fill(Address at) noexcept {
    if (!range_.contains(at, 8)) return false;
    for (auto size = std::min<std::uint64_t>(bytes_.size(), (range_.end - at) & ~std::uint64_t{7}); size != 0;
         size = size / 16 * 8) {
      held_ = {at, at + size};
      if (memory_.read(at, std::span{bytes_}.first(size)) == Errc::ok) return true;
    }
    held_ = {};
    return false;
  }

  const M& memory_;
  AddressRange range_;
  AddressRange held_;
  std::array<std::byte, 256> bytes_;
};

/// Tries words as return addresses, from the lowest on.
template <memory::Memory M, CodeMap R, class Arch>
class StackScan {
 public:
  StackScan(const M& memory, R& code, const StepLimits& limits, const Goal& goal, unsigned& budget) noexcept
      : memory_(memory), code_(code), limits_(limits), goal_(goal), budget_(budget) {}

  bool run(BasicRegisters<Arch>& registers, [[maybe_unused]] bool has_rule) noexcept {
    // What is left of an earlier call often tells that by the function that it called: not this one, which has no rule.
    return (CallMap<R> && !has_rule && scan(registers, true)) || scan(registers, false);
  }

 private:
  bool scan(BasicRegisters<Arch>& registers, bool is_strict) noexcept {
    const Address begin{(registers.stack_pointer().value + 7) & ~std::uint64_t{7}};
    Address end = std::min(limits_.stack.end, begin + max_scan);
    if (goal_.anchor) end = std::min(end, goal_.anchor);
    StackWords<M> words{memory_, {begin, end}};
    std::uint64_t word = 0;
    for (Address at = begin; at < end && budget_ != 0 && words.read(at, word); at = at + 8) {
      const Address pc{word & ~limits_.authentication_mask};
      if (!is_plausible_code(pc, limits_.stack) || !code_.follows_call(pc)) continue;
      if (code_.find_rule(lookup_address(pc, false)).cfa == CfaRule::unknown) continue;
      if (is_strict && has_called_ruled(code_, pc)) continue;
      if (try_return_address(at, pc, registers)) return true;
    }
    return false;
  }

  /// Words below a return address that are tried as the frame pointer that was saved with it.
  static constexpr unsigned max_saved_words = 16;

  bool try_return_address(Address at, Address pc, BasicRegisters<Arch>& registers) noexcept {
    BasicRegisters<Arch> candidate;
    candidate.set(Arch::program_counter, pc.value);
    candidate.set(Arch::stack_pointer, at.value + 8);
    if (!Arch::has_record_below_cfa) return try_record(at, candidate, registers);
    const std::uint64_t inner = registers.values[Arch::frame_pointer];
    const bool may_keep = registers.has_frame_pointer() && is_plausible_frame_pointer(inner, at + 8, limits_);
    const Chain chain = follow(candidate);
    if (chain.end != ChainEnd::broken) {
      // The code between may have left the frame pointer alone.
      if (may_keep) candidate.presume(Arch::frame_pointer, inner);
      registers = candidate;
      return true;
    }
    if (!chain.needs_frame_pointer) return false;
    if (may_keep && try_frame_pointer(inner, candidate, registers)) return true;
    for (unsigned i = 1; i <= max_saved_words && budget_ != 0; ++i) {
      if (at < registers.stack_pointer() + 8 * i) return false;
      const auto saved = memory::read_value<std::uint64_t>(memory_, at - 8 * i);
      if (!saved) return false;
      if (is_plausible_frame_pointer(*saved, at + 8, limits_) && try_frame_pointer(*saved, candidate, registers))
        return true;
    }
    return false;
  }

  /// aarch64: the frame pointer is stored right below the return address, and the frame may go on above.
  bool try_record(Address at, BasicRegisters<Arch>& candidate, BasicRegisters<Arch>& registers) noexcept {
    candidate.presume(Arch::stack_pointer, at.value + 8);
    if (at <= registers.stack_pointer()) return false;
    const auto saved = memory::read_value<std::uint64_t>(memory_, at - 8);
    return saved && is_plausible_frame_pointer(*saved, at + 8, limits_) &&
           try_frame_pointer(*saved, candidate, registers);
  }

  bool try_frame_pointer(std::uint64_t value, BasicRegisters<Arch>& candidate,
                         BasicRegisters<Arch>& registers) noexcept {
    candidate.set(Arch::frame_pointer, value);
    if (follow(candidate).end == ChainEnd::broken) return false;
    registers = candidate;
    return true;
  }

  Chain follow(const BasicRegisters<Arch>& candidate) noexcept {
    return follow_chain(memory_, code_, candidate, limits_, goal_, budget_);
  }

  const M& memory_;
  R& code_;
  const StepLimits& limits_;
  const Goal& goal_;
  unsigned& budget_;
};

}  // namespace detail

/// Makes of the `registers` of a frame without a rule (or with one that doesn't help: `has_rule`) those of its caller:
/// found as the lowest word above the stack pointer from which callers can be followed to the goal. False, and
/// unchanged, when there is none. What old calls left behind on the stack may be taken for a caller: rarely more than
/// the innermost frame or two are wrong.
template <memory::Memory M, CodeMap R, class Arch>
bool scan_for_caller(const M& memory, R& code, BasicRegisters<Arch>& registers, bool has_rule, const StepLimits& limits,
                     const Goal& goal, unsigned& budget) noexcept {
  return detail::StackScan<M, R, Arch>{memory, code, limits, goal, budget}.run(registers, has_rule);
}

}  // namespace pyagent::inline v0::unwind
