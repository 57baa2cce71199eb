// What unwinding asks about code. signal-safe
#pragma once

#include <concepts>  // same_as

#include "pyagent/base/address.hpp"
#include "pyagent/unwind/unwind_rule.hpp"

namespace pyagent::inline v0::unwind {

/// Knows the code of a process: `find_rule` gives the rule that holds at an address, CfaRule::unknown where there is
/// none; `follows_call` says whether an address is in code, and the instruction before it can be a call
/// (X86_64::ends_with_call, Aarch64::ends_with_call).
template <class R>
concept CodeMap = requires(R& map, Address address) {
  { map.find_rule(address) }
  noexcept->std::same_as<UnwindRule>;
  { map.follows_call(address) }
  noexcept->std::same_as<bool>;
};

/// May also know where a direct call goes that returns to an address; null when it isn't direct, or goes to a stub of
/// the procedure linkage table (find_call_target and is_stub of X86_64 and Aarch64). Guesses about code without rules
/// get better.
template <class R>
concept CallMap = CodeMap<R> && requires(R& map, Address address) {
  { map.find_callee(address) }
  noexcept->std::same_as<Address>;
};

/// The call before `return_address` certainly called a function with a rule.
template <CodeMap R>
bool has_called_ruled([[maybe_unused]] R& code, [[maybe_unused]] Address return_address) noexcept {
  if constexpr (CallMap<R>) {
    const Address callee = code.find_callee(return_address);
    return callee && code.find_rule(callee).cfa != CfaRule::unknown;
  }
  return false;
}

/// Where to look up a frame. A return address points after the call: when that is the last instruction of its function
/// (the callee never returns), it is the next function already. A frame that was interrupted has its own pc.
constexpr Address lookup_address(Address pc, bool is_exact) noexcept { return is_exact || !pc ? pc : pc - 1; }

}  // namespace pyagent::inline v0::unwind
