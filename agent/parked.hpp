// Threads that are off the CPU: what they wait in, and for how long.
#pragma once

#include "slot.hpp"

namespace pyagent::agent {

/// Looks at every thread once, without disturbing it. A thread that has not run since the last look is not read again:
/// its stack can't have changed, so only its duration grows. Only for the helper thread.
void look_at_parked_threads() noexcept;

/// Writes the durations that are still growing.
void write_parked_threads() noexcept;

/// Writes what the calling thread, which ends, has waited.
void end_own_wait(Slot& slot) noexcept;

}  // namespace pyagent::agent
