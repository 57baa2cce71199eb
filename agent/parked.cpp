// Passive reads of threads that are off the CPU.
#include "parked.hpp"

#include <time.h>

#include "engine.hpp"
#include "sample.hpp"
#include "state.hpp"

namespace pyagent::agent {
namespace {

/// Writes the sample of a wait that is over, or as long as it is now.
void write_wait(Slot& slot) noexcept {
  Parked& parked = slot.parked;
  if (parked.wall != 0 && parked.depth + parked.native_depth != 0) write_parked_sample(slot);
  parked.wall = 0;
}

/// Brings the clocks up to date; how long the thread waited since the last look, and whether it ran at all.
struct Passed {
  std::uint64_t waited;
  bool has_run;
};

Passed update_clocks(Parked& parked, std::uint64_t cpu) noexcept {
  const std::uint64_t now = read_clock(CLOCK_MONOTONIC);
  const bool is_first_look = parked.looked_at == 0;
  const std::uint64_t wall_passed = now - parked.looked_at;
  const std::uint64_t cpu_passed = cpu - parked.cpu;
  parked.looked_at = now;
  parked.cpu = cpu;
  if (is_first_look) return {0, true};
  return {cpu_passed > wall_passed ? 0 : wall_passed - cpu_passed, cpu_passed != 0};
}

void look_at(Slot& slot) noexcept {
  const Busy busy{slot};
  if (!busy.got()) return;
  Parked& parked = slot.parked;
  const clockid_t clock = cpu_clock_of(slot.thread.tid);
  const std::uint64_t cpu = read_clock(clock);
  if (cpu == 0) return;  // it is ending
  const auto [waited, has_run] = update_clocks(parked, cpu);
  if (has_run && parked.is_known) write_wait(slot);
  // What it waited while it ran in between is of the place where it waits now, or of the next where it is seen waiting.
  parked.wall += waited;
  if (has_run || !parked.is_known) parked.is_known = capture_parked(slot) && read_clock(clock) == cpu;
}

}  // namespace

void look_at_parked_threads() noexcept {
  for (std::uint32_t i = 0; i < slot_limit(); ++i)
    if (Slot* const slot = live_slot(i)) look_at(*slot);
}

void write_parked_threads() noexcept {
  for (std::uint32_t i = 0; i < slot_limit(); ++i)
    if (Slot* const slot = live_slot(i))
      if (const Busy busy{*slot}; busy.got() && slot->parked.is_known) write_wait(*slot);
}

void end_own_wait(Slot& slot) noexcept {
  if (slot.parked.looked_at == 0) return;
  const Busy busy{slot};
  if (!busy.got()) return;
  slot.parked.wall += update_clocks(slot.parked, read_clock(CLOCK_THREAD_CPUTIME_ID)).waited;
  if (slot.parked.is_known) write_wait(slot);
}

}  // namespace pyagent::agent
