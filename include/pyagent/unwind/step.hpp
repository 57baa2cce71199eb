// From a frame to its caller, by a rule. signal-safe
#pragma once

#include <array>    // array
#include <cstddef>  // byte
#include <cstdint>  // uint64_t
#include <cstring>  // memcpy
#include <span>     // span

#include "pyagent/memory/memory.hpp"
#include "pyagent/unwind/expression.hpp"
#include "pyagent/unwind/registers.hpp"
#include "pyagent/unwind/unwind_rule.hpp"

namespace pyagent::inline v0::unwind {

/// How a step came out.
enum class StepResult : std::uint8_t {
  ok,
  end,               ///< the outermost frame: it has no caller
  null_return,       ///< the return address is null
  unknown_rule,      ///< no rule, or one that is not understood
  unknown_register,  ///< the rule needs a register whose value isn't known
  unreadable,        ///< the memory that the rule leads to
  implausible,       ///< what it found is no caller: the frame has a wrong place or size, the pc is none
};

/// What a step must keep to.
struct StepLimits {
  AddressRange stack;                                 ///< CFAs lie in here
  std::uint64_t frame_size = std::uint64_t{1} << 20;  ///< largest frame; seen: 262,208 bytes, in libpython3.8
  std::uint64_t authentication_mask =
      NativeArch::authentication_mask;  ///< bits of a return address that are not address
};

/// The caller of a frame, as a rule tells it.
struct Caller {
  StepResult result = StepResult::unknown_rule;
  bool is_interrupted = false;  ///< by a signal: it did not call
  bool has_frame_pointer = false;
  bool is_presumed = false;  ///< found through a register that isn't exact: to be checked before it is believed
  bool is_frame_pointer_exact = false;
  bool is_cfa_exact = true;  ///< else `cfa` is the lowest address that it can have
  bool has_context = false;  ///< all its registers are at `context`
  Address cfa;               ///< of the frame itself: the caller's stack pointer
  Address program_counter;
  std::uint64_t frame_pointer = 0;
  Address context;
};

/// Lowest address at which code is believed to be; below is never mapped (vm.mmap_min_addr).
inline constexpr Address lowest_code{0x1000};
/// User space ends here on both processors, with 48-bit addresses.
inline constexpr Address end_of_code{std::uint64_t{1} << 48};

/// `pc` could be code, and not data on `stack`.
constexpr bool is_plausible_code(Address pc, AddressRange stack) noexcept {
  return lowest_code <= pc && pc < end_of_code && !stack.contains(pc);
}

namespace detail {

/// Follows one rule.
template <memory::Memory M, class Arch>
class RuleStep {
 public:
  RuleStep(const M& memory, const UnwindRule& rule, const BasicRegisters<Arch>& registers,
           const StepLimits& limits) noexcept
      : memory_(memory), rule_(rule), registers_(registers), limits_(limits) {}

  Caller run() noexcept {
    caller_.result = rule_.cfa == CfaRule::signal ? take_context() : take_frame();
    return caller_;
  }

 private:
  StepResult take_frame() noexcept {
    if (rule_.cfa == CfaRule::end || rule_.return_address.rule == SavedRule::undefined) return StepResult::end;
    std::uint64_t cfa = 0;
    if (const auto result = find_cfa(cfa); result != StepResult::ok) return result;
    caller_.cfa = Address{cfa};
    if (!is_plausible_cfa()) return StepResult::implausible;
    std::uint64_t pc = 0;
    if (const auto result = find_return_address(pc); result != StepResult::ok) return result;
    caller_.program_counter = Address{pc & ~limits_.authentication_mask};
    caller_.is_interrupted = rule_.is_signal_frame;
    if (!caller_.program_counter) return caller_.is_presumed ? StepResult::implausible : StepResult::null_return;
    if (!is_plausible_code(caller_.program_counter, limits_.stack)) return StepResult::implausible;
    find_frame_pointer();
    return StepResult::ok;
  }

  StepResult find_cfa(std::uint64_t& cfa) noexcept {
    switch (rule_.cfa) {
      case CfaRule::unknown:
      case CfaRule::end:
      case CfaRule::signal:
        return StepResult::unknown_rule;
      case CfaRule::expression:
        return evaluate(cfa);
      case CfaRule::offset:
        return find_by_record(cfa) ? StepResult::ok : add_to_register(rule_.cfa_register, rule_.cfa_offset, cfa);
      case CfaRule::deref:
        return dereference_cfa(cfa);
      case CfaRule::plt:
        break;
    }
    const bool has_pushed = (registers_.values[Arch::program_counter] & 15) >= rule_.plt_limit;
    return add_to_register(rule_.cfa_register, rule_.cfa_offset + (has_pushed ? 8 : 0), cfa);
  }

  /// aarch64: a caller found by its frame record has no certain stack pointer. But the frame pointer points to where
  /// the rule says that the caller's is saved.
  bool find_by_record(std::uint64_t& cfa) noexcept {
    if (Arch::has_record_below_cfa || registers_.is_exact(Arch::stack_pointer)) return false;
    const bool is_by_sp = rule_.cfa_register == Arch::stack_pointer && rule_.frame_pointer.rule == SavedRule::at_cfa;
    if (!is_by_sp || !registers_.is_exact(Arch::frame_pointer)) return false;
    caller_.is_presumed = true;
    cfa = registers_.values[Arch::frame_pointer] - extend(rule_.frame_pointer.offset);
    return true;
  }

  StepResult dereference_cfa(std::uint64_t& cfa) noexcept {
    std::uint64_t at = 0;
    if (const auto result = add_to_register(rule_.cfa_register, rule_.cfa_offset, at); result != StepResult::ok)
      return result;
    if (!read(at, cfa)) return StepResult::unreadable;
    cfa += extend(rule_.cfa_add);
    return StepResult::ok;
  }

  StepResult evaluate(std::uint64_t& cfa) noexcept {
    using Status = ExpressionValue::Status;
    if (rule_.expression == nullptr) return StepResult::unknown_rule;
    const auto found = ExpressionEvaluator{memory_, registers_}.evaluate({rule_.expression, rule_.expression_size});
    cfa = found.value;
    caller_.is_presumed = caller_.is_presumed || found.is_presumed;
    switch (found.status) {
      case Status::ok:
        return StepResult::ok;
      case Status::unknown_operation:
        return StepResult::unknown_rule;
      case Status::unknown_register:
        return StepResult::unknown_register;
      case Status::unreadable:
        break;
    }
    return StepResult::unreadable;
  }

  StepResult add_to_register(unsigned number, std::int32_t offset, std::uint64_t& sum) noexcept {
    if (!registers_.is_known(number)) return StepResult::unknown_register;
    if (!registers_.is_exact(number)) {
      if ((Arch::prologue_registers >> number & 1) != 0) return StepResult::unknown_register;
      caller_.is_presumed = true;
    }
    sum = registers_.values[number] + extend(offset);
    return StepResult::ok;
  }

  bool is_plausible_cfa() const noexcept {
    const Address sp = registers_.stack_pointer();
    // A leaf of aarch64 may have no frame at all; its caller differs in the pc, and can't be such a leaf again.
    const bool is_frameless = Arch::has_link_register && caller_.cfa == sp && keeps_link();
    return caller_.cfa.value % 8 == 0 && (caller_.cfa > sp || is_frameless) && caller_.cfa - sp <= limits_.frame_size &&
           caller_.cfa <= limits_.stack.end && caller_.cfa >= limits_.stack.begin;
  }

  bool keeps_link() const noexcept { return rule_.return_address.rule == SavedRule::same; }

  StepResult find_return_address(std::uint64_t& pc) noexcept {
    if (!Arch::has_link_register && keeps_link()) return StepResult::unknown_rule;
    bool is_exact = true;
    const auto result = find_saved(rule_.return_address, Arch::return_address, pc, is_exact);
    caller_.is_presumed = caller_.is_presumed || !is_exact;
    return result;
  }

  /// A frame pointer that can't be found is no reason to stop: most rules do without.
  void find_frame_pointer() noexcept {
    bool is_exact = true;
    SavedRegister saved = rule_.frame_pointer;
    if (saved.rule == SavedRule::at_register && saved.from == Arch::frame_pointer && !points_into_frame()) saved = {};
    caller_.has_frame_pointer =
        find_saved(saved, Arch::frame_pointer, caller_.frame_pointer, is_exact) == StepResult::ok;
    caller_.is_frame_pointer_exact = is_exact && !caller_.is_presumed;
  }

  /// GCC 12 says of realigned frames that rbp is saved at *(rbp + 0), one instruction before that is so, and for those
  /// after it was restored: then rbp is the caller's.
  bool points_into_frame() const noexcept {
    const Address pointer = registers_.frame_pointer();
    return registers_.stack_pointer() <= pointer && pointer < caller_.cfa;
  }

  StepResult find_saved(const SavedRegister& saved, unsigned number, std::uint64_t& value, bool& is_exact) noexcept {
    const auto take = [&](unsigned from, std::int32_t offset) {
      if (!registers_.is_known(from)) return StepResult::unknown_register;
      is_exact = registers_.is_exact(from);
      value = registers_.values[from] + extend(offset);
      return StepResult::ok;
    };
    switch (saved.rule) {
      case SavedRule::same:
        return take(number, 0);
      case SavedRule::undefined:
        return StepResult::unknown_register;
      case SavedRule::in_register:
        return take(saved.from, 0);
      case SavedRule::is_cfa:
        value = caller_.cfa.value + extend(saved.offset);
        return StepResult::ok;
      case SavedRule::at_cfa:
        return read(caller_.cfa.value + extend(saved.offset), value) ? StepResult::ok : StepResult::unreadable;
      case SavedRule::at_register:
        break;
    }
    std::uint64_t at = 0;
    if (const auto result = take(saved.from, saved.offset); result != StepResult::ok) return result;
    at = value;
    return read(at, value) ? StepResult::ok : StepResult::unreadable;
  }

  StepResult take_context() noexcept {
    caller_.context = registers_.stack_pointer() + Arch::context_offset;
    std::uint64_t sp = 0, pc = 0;
    for (unsigned i = 0; i < Arch::count; ++i) {
      const bool is_sp = Arch::context_order[i] == Arch::stack_pointer;
      if (!is_sp && Arch::context_order[i] != Arch::program_counter) continue;
      if (!read(caller_.context.value + 8 * i, is_sp ? sp : pc)) return StepResult::unreadable;
    }
    caller_.cfa = Address{sp};
    caller_.program_counter = Address{pc};
    caller_.is_interrupted = caller_.has_context = true;
    // A handler may run on a stack of its own (sigaltstack); on the same one the interrupted frame lies further out.
    const bool is_same_stack = limits_.stack.contains(caller_.cfa);
    const bool is_plausible = sp % 8 == 0 && (!is_same_stack || caller_.cfa > registers_.stack_pointer());
    return is_plausible ? StepResult::ok : StepResult::implausible;
  }

  bool read(std::uint64_t at, std::uint64_t& value) const noexcept {
    std::byte bytes[8];
    if (memory_.read(Address{at}, bytes) != Errc::ok) return false;
    std::memcpy(&value, bytes, sizeof value);
    return true;
  }

  static constexpr std::uint64_t extend(std::int32_t offset) noexcept {
    return static_cast<std::uint64_t>(std::int64_t{offset});
  }

  const M& memory_;
  const UnwindRule& rule_;
  const BasicRegisters<Arch>& registers_;
  const StepLimits& limits_;
  Caller caller_;
};

}  // namespace detail

/// The caller of the frame with `registers`, by the rule for its pc. Reads only what the rule leads to.
///
/// Errors: Caller::result; anything but `ok` leaves the caller unknown.
template <memory::Memory M, class Arch>
Caller find_caller(const M& memory, const UnwindRule& rule, const BasicRegisters<Arch>& registers,
                   const StepLimits& limits) noexcept {
  return detail::RuleStep<M, Arch>{memory, rule, registers, limits}.run();
}

/// Makes of a frame's `registers` those of its `caller`; false, and unchanged, when they can't be read.
template <memory::Memory M, class Arch>
bool enter_caller(const M& memory, const Caller& caller, BasicRegisters<Arch>& registers) noexcept {
  if (caller.has_context) {
    std::array<std::uint64_t, Arch::count> words;
    if (memory.read(caller.context, std::as_writable_bytes(std::span{words})) != Errc::ok) return false;
    registers = registers_of_context<Arch>(std::span<const std::uint64_t>{words});
    return true;
  }
  registers.exact = 0;
  if (caller.is_cfa_exact) {
    registers.set(Arch::stack_pointer, caller.cfa.value);
  } else {
    registers.presume(Arch::stack_pointer, caller.cfa.value);
  }
  registers.set(Arch::program_counter, caller.program_counter.value);
  if constexpr (Arch::has_link_register) registers.forget(Arch::return_address);
  if (!caller.has_frame_pointer) {
    registers.forget(Arch::frame_pointer);
  } else if (caller.is_frame_pointer_exact) {
    registers.set(Arch::frame_pointer, caller.frame_pointer);
  } else {
    registers.presume(Arch::frame_pointer, caller.frame_pointer);
  }
  return true;
}

/// One step outward: find_caller and enter_caller.
template <memory::Memory M, class Arch>
Caller step(const M& memory, const UnwindRule& rule, BasicRegisters<Arch>& registers,
            const StepLimits& limits) noexcept {
  Caller caller = find_caller(memory, rule, registers, limits);
  if (caller.result == StepResult::ok && !enter_caller(memory, caller, registers))
    caller.result = StepResult::unreadable;
  return caller;
}

}  // namespace pyagent::inline v0::unwind
