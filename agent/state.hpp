// The agent's one state: set up before the first timer, read by handlers.
#pragma once

#include <signal.h>  // siginfo_t
#include <time.h>    // clockid_t

#include <array>    // array
#include <atomic>   // atomic
#include <cstdint>  // uint64_t
#include <span>     // span

#include "pyagent/capture/thread_capture.hpp"
#include "pyagent/recording/code_table.hpp"
#include "pyagent/recording/spool.hpp"
#include "slot.hpp"

namespace pyagent::agent {

/// How far the agent is. Handlers do nothing unless it is `sampling`.
enum class Phase : int { inert, sampling, finished };

/// Room for this many threads at once.
inline constexpr std::uint32_t slots_per_chunk = 64;
inline constexpr std::uint32_t max_slot_chunks = 512;
inline constexpr std::uint32_t max_slots = slots_per_chunk * max_slot_chunks;

/// Everything that handlers share. Plain members are set while no handler can run and only read afterwards.
struct State {
  std::atomic<Phase> phase;
  pid_t pid;
  int signal;
  clockid_t clock;                   ///< what the timers count: the thread's CPU clock, or CLOCK_MONOTONIC in tests
  std::uint64_t interval;            ///< nanoseconds
  const capture::Target* target;     ///< the interpreter
  std::atomic<bool> is_doubted;      ///< a version nobody described, of which no whole stack was seen yet
  bool can_read_by_call;             ///< see LocalMemory::probe
  std::uint64_t thread_data_offset;  ///< from pthread_self() to the value of thread-specific key 0; 0 if not known
  std::uint64_t main_thread_id;      ///< pthread_t of the main thread
  AddressRange program_stack;        ///< of the main thread
  bool native;                       ///< frames of native code are wanted
  std::span<const AddressRange> eval_code;  ///< of the interpreter's eval loop, where Python leaves nothing on the C stack

  const char* recording_path;  ///< ended by NUL, absolute
  std::span<const std::byte> process_record;
  std::atomic<bool> is_opening;
  std::atomic<bool> is_open;
  std::atomic<int> open_error;  ///< Errc of a recording that could not be created
  std::atomic<std::uint32_t> next_code;
  std::atomic<std::uint32_t> next_thread;
  std::atomic<std::uint32_t> next_module;
  std::array<std::atomic<std::uint64_t>, recording::counter_count> counters;
  std::atomic<std::uint64_t> unaccounted_check;  ///< wall clock of the last look for threads without a timer
  std::atomic<std::uint64_t> ticked_cpu;         ///< CPU time that ticks of all threads stood for
  std::atomic<std::uint64_t> missing_cpu;        ///< the process's CPU time less that, at the last look
  std::atomic<pid_t> helper;                     ///< the agent's own thread, in the modes that have one

  std::array<std::atomic<pid_t>, max_slots> owners;  ///< thread of each slot; 0: free, -1: being set up
  std::array<std::atomic<Slot*>, max_slot_chunks> chunks;

  recording::Spool spool;
  recording::CodeTable codes;
};

/// In .bss: zero until the agent starts.
extern State state;

inline void count(recording::Counter counter) noexcept {
  state.counters[static_cast<std::size_t>(counter)].fetch_add(1, std::memory_order_relaxed);
  if (state.is_open.load(std::memory_order_acquire)) state.spool.count(counter);
}

inline std::uint64_t counted(recording::Counter counter) noexcept {
  return state.counters[static_cast<std::size_t>(counter)].load(std::memory_order_relaxed);
}

/// The slot of the calling thread, or null; in static thread storage, which a preloaded library may use.
extern thread_local Slot* own_slot;

inline std::uint64_t read_clock(clockid_t clock) noexcept {
  timespec now{};
  ::clock_gettime(clock, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<std::uint64_t>(now.tv_nsec);
}

/// Handler of the agent's signal. signal-safe
extern "C" void pyagent_on_signal(int signal, siginfo_t* info, void* context);

/// Creates the recording if there is none; false if it can't be (the reason is in state.open_error). signal-safe
bool ensure_recording() noexcept;

/// Code id of `code` in the recording, written there if it is new; 0 if that failed. signal-safe
std::uint32_t record_code(Slot& slot, const cpython::RawFrame& frame) noexcept;

}  // namespace pyagent::agent
