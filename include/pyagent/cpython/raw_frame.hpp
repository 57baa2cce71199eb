// Python frames of one thread, as addresses: no names, no strings. signal-safe
#pragma once

#include <cstdint>      // uint32_t
#include <type_traits>  // is_trivially_copyable_v

#include "pyagent/base/address.hpp"

namespace pyagent::inline v0::cpython {

/// One Python frame as it stands in the target.
struct RawFrame {
  Address frame;             ///< PyFrameObject or _PyInterpreterFrame
  Address code;              ///< PyCodeObject, tag bits cleared
  std::int32_t instruction;  ///< offset of the running instruction, in bytes; negative before the first one
  bool is_entry;             ///< called from C: one native eval frame ends here
  bool is_suspended = true;  ///< false where it says that it runs its own instructions, or calls C (3.11 on)
  Address anchor{};          ///< of an entry frame: its evaluation's own variable on the C stack, or null if not known
};
static_assert(std::is_trivially_copyable_v<RawFrame>);

}  // namespace pyagent::inline v0::cpython
