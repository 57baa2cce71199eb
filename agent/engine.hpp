// Timers and the threads they belong to.
#pragma once

#include <sys/types.h>  // clockid_t, pid_t

#include <span>  // span

#include "slot.hpp"

namespace pyagent::agent {

/// Kernel id of the calling thread. signal-safe
pid_t current_tid() noexcept;

/// The kernel's name of the calling thread, in `out`. signal-safe
std::span<const char> read_kernel_name(std::span<char> out) noexcept;

/// CPU clock of any thread of the process. signal-safe
clockid_t cpu_clock_of(pid_t tid) noexcept;

/// Starts sampling the calling thread; `stack_end` is an address above all of its later frames, or null.
/// Does nothing while the agent is inert. Failure is counted, never reported to the program.
void begin_own_thread(const void* stack_end) noexcept;

/// The same, and arranges for `end_own_thread` to be called when the thread ends, however it does.
void begin_thread_with_end(const void* stack_end) noexcept;
/// To be called once before the first thread begins.
void install_thread_end() noexcept;

/// Ends it: writes how much CPU time it used, and frees its slot.
void end_own_thread() noexcept;

/// At the end of each tick: the next one, if the clock is not one of CPU time. signal-safe
void set_timer_anew(const Slot& slot) noexcept;

/// Makes the next tick come in some 20 us, to look again at a thread that was caught between two frames; false if this
/// was the second look already, or the kernel refuses. The one timer of ours that may tick while the thread sleeps.
/// signal-safe
bool ask_for_second_look(Slot& slot) noexcept;

/// Deletes what `slot` has of timers.
void delete_timers(Slot& slot) noexcept;

/// Gives a timer to each thread of the process that has none: threads that were not seen starting.
/// From the handler it looks only once a second, and only when CPU time is missing. signal-safe
void find_unsampled_threads() noexcept;
void adopt_all_threads() noexcept;

/// After fork, in the child: forgets the parent's threads and recording, and starts anew for the one thread there is.
void restart_in_child() noexcept;

/// The slot with this number if a thread is being sampled there, else null. signal-safe
Slot* live_slot(std::uint32_t number) noexcept;

/// Numbers below this one may be in use.
std::uint32_t slot_limit() noexcept;

}  // namespace pyagent::agent
