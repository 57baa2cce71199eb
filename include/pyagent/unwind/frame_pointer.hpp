// From a frame to its caller, by the frame pointer. signal-safe
#pragma once

#include <cstdint>  // uint64_t

#include "pyagent/memory/memory.hpp"
#include "pyagent/unwind/code_map.hpp"
#include "pyagent/unwind/registers.hpp"
#include "pyagent/unwind/step.hpp"

namespace pyagent::inline v0::unwind {

namespace detail {

/// Words from the stack pointer on in which the return address of a leaf may be: behind registers that it saved.
inline constexpr unsigned max_leaf_words = 8;
/// Largest function in which the caller of a leaf is believed to be; _PyEval_EvalFrameDefault has up to 100 KiB.
inline constexpr std::uint64_t max_function = std::uint64_t{1} << 20;

/// `value` could be a frame pointer of a frame at `sp`: the record that it points to lies on the stack above.
constexpr bool is_plausible_frame_pointer(std::uint64_t value, Address sp, const StepLimits& limits) noexcept {
  const Address record{value};
  return value % 8 == 0 && record >= sp && limits.stack.contains(record, 16) && record - sp <= limits.frame_size;
}

/// Code that doesn't touch the frame pointer (a kernel in assembler) still has its caller's: then following it would
/// leave the caller out. That is so if the record's return address is behind a call of a function that has rules; the
/// caller is in that function, its return address lies among the lowest words, and its rule leads to the same record.
template <memory::Memory M, CallMap R, class Arch>
bool find_caller_of_leaf(const M& memory, R& code, const BasicRegisters<Arch>& registers, const StepLimits& limits,
                         Caller& caller) noexcept {
  const Address fp = registers.frame_pointer();
  const Address function = code.find_callee(caller.program_counter);
  if (!function || code.find_rule(function).cfa == CfaRule::unknown) return false;
  BasicRegisters<Arch> candidate = registers;
  for (unsigned i = 0; i < max_leaf_words; ++i) {
    const Address at = registers.stack_pointer() + 8 * i;
    if (at >= fp) return false;
    const auto word = memory::read_value<std::uint64_t>(memory, at);
    if (!word) return false;
    const Address pc{*word};
    if (!is_plausible_code(pc, limits.stack) || !code.follows_call(pc)) continue;
    if (pc <= function || pc - function > max_function || has_called_ruled(code, pc)) continue;
    const UnwindRule rule = code.find_rule(lookup_address(pc, false));
    if (rule.cfa != CfaRule::offset || rule.cfa_register != Arch::frame_pointer) continue;
    candidate.set(Arch::stack_pointer, at.value + 8);
    candidate.set(Arch::program_counter, pc.value);
    const Caller next = find_caller(memory, rule, candidate, limits);
    if (next.result != StepResult::ok || next.cfa != fp + 16) continue;
    caller.cfa = at + 8;
    caller.program_counter = pc;
    caller.frame_pointer = fp.value;
    return true;
  }
  return false;
}

}  // namespace detail

/// The caller of a frame without a rule, if its frame pointer is one: on the stack above the frame, and with a return
/// address that follows a call.
///
/// Errors: Caller::result is unknown_rule when it isn't.
template <memory::Memory M, CodeMap R, class Arch>
Caller find_caller_by_frame_pointer(const M& memory, R& code, const BasicRegisters<Arch>& registers,
                                    const StepLimits& limits) noexcept {
  Caller caller;
  caller.has_frame_pointer = caller.is_frame_pointer_exact = true;
  caller.is_cfa_exact = Arch::has_record_below_cfa;
  if (!registers.has_frame_pointer()) return caller;
  const Address record = registers.frame_pointer();
  if (!detail::is_plausible_frame_pointer(record.value, registers.stack_pointer(), limits)) return caller;
  const auto frame_pointer = memory::read_value<std::uint64_t>(memory, record);
  const auto return_address = memory::read_value<std::uint64_t>(memory, record + 8);
  if (!frame_pointer || !return_address) return caller;
  const Address pc{*return_address & ~limits.authentication_mask};
  if (!is_plausible_code(pc, limits.stack) || !code.follows_call(pc)) return caller;
  caller.result = StepResult::ok;
  caller.cfa = record + 16;
  caller.program_counter = pc;
  caller.frame_pointer = *frame_pointer;
  if constexpr (CallMap<R> && Arch::has_record_below_cfa)
    (void)detail::find_caller_of_leaf(memory, code, registers, limits, caller);
  return caller;
}

}  // namespace pyagent::inline v0::unwind
