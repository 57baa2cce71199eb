// Whether frames that were guessed lead somewhere. signal-safe
#pragma once

#include <cstdint>  // uint64_t

#include "pyagent/memory/memory.hpp"
#include "pyagent/unwind/code_map.hpp"
#include "pyagent/unwind/frame_pointer.hpp"
#include "pyagent/unwind/registers.hpp"
#include "pyagent/unwind/step.hpp"

namespace pyagent::inline v0::unwind {

/// What a chain of frames has to come by: an object that is known to lie in one of them.
struct Goal {
  Address anchor;              ///< null: none, the chain must reach the outermost frame
  std::uint64_t distance = 0;  ///< from the anchor to its frame's CFA; zero: not known
};

/// How a chain of callers ended.
enum class ChainEnd : std::uint8_t {
  broken,
  at_goal,
  at_root,
  convincing,  ///< so many sound steps that it needn't be followed further
};

struct Chain {
  ChainEnd end = ChainEnd::broken;
  bool needs_frame_pointer = false;  ///< broken for want of one
};

/// Sound steps after which a chain is believed.
inline constexpr unsigned convincing_steps = 32;

/// True when what `caller` says is borne out: it was exact, or leads behind a call, to code with a rule.
template <CodeMap R>
bool is_believable(R& code, const Caller& caller) noexcept {
  if (caller.result != StepResult::ok) return false;
  if (!caller.is_presumed) return true;
  const Address pc = caller.program_counter;
  return code.follows_call(pc) && code.find_rule(lookup_address(pc, caller.is_interrupted)).cfa != CfaRule::unknown;
}

/// Follows callers from the frame with `registers`, at a return address, as long as each follows a call. Each step
/// takes one of `budget`. The outermost frame itself is no chain: a single old word would do.
template <memory::Memory M, CodeMap R, class Arch>
Chain follow_chain(const M& memory, R& code, BasicRegisters<Arch> registers, const StepLimits& limits, const Goal& goal,
                   unsigned& budget) noexcept {
  bool is_exact = false;
  for (unsigned steps = 0; steps < convincing_steps; ++steps) {
    if (budget == 0) return {};
    --budget;
    const UnwindRule rule = code.find_rule(lookup_address(registers.program_counter(), is_exact));
    Caller caller = find_caller(memory, rule, registers, limits);
    if (caller.result == StepResult::end || caller.result == StepResult::null_return)
      return {goal.anchor || steps == 0 ? ChainEnd::broken : ChainEnd::at_root};
    if (!is_believable(code, caller)) {
      const bool needs_frame_pointer = caller.result == StepResult::unknown_register && !registers.has_frame_pointer();
      caller = find_caller_by_frame_pointer(memory, code, registers, limits);
      if (caller.result != StepResult::ok) return {ChainEnd::broken, needs_frame_pointer};
    }
    if (goal.anchor && registers.stack_pointer() <= goal.anchor && goal.anchor < caller.cfa) {
      const bool fits = goal.distance == 0 || caller.cfa - goal.anchor == goal.distance;
      return {fits ? ChainEnd::at_goal : ChainEnd::broken};
    }
    if (!caller.is_interrupted && !code.follows_call(caller.program_counter)) return {};
    is_exact = caller.is_interrupted;
    if (!enter_caller(memory, caller, registers)) return {};
  }
  return {ChainEnd::convincing};
}

}  // namespace pyagent::inline v0::unwind
