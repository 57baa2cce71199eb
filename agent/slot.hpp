// What the agent keeps for one thread.
#pragma once

#include <sys/types.h>  // pid_t

#include <array>    // array
#include <atomic>   // atomic
#include <cstdint>  // uint64_t

#include "pyagent/base/address.hpp"
#include "pyagent/capture/native_frame.hpp"
#include "pyagent/cpython/raw_frame.hpp"
#include "pyagent/cpython/thread_state.hpp"
#include "pyagent/recording/stream_writer.hpp"

namespace pyagent::agent {

/// Frames of a sample that are kept: of a deeper stack the leaf-most and the root-most ones.
inline constexpr std::uint32_t kept_frames = 2048;
inline constexpr std::uint32_t kept_root_frames = 64;

/// Native frames of a sample that are kept: the leaf-most ones.
inline constexpr std::uint32_t kept_native_frames = 2048;

/// A thread that is off the CPU, as the helper thread last saw it.
struct Parked {
  std::uint64_t looked_at;  ///< wall clock of the last look; 0 before the first
  std::uint64_t cpu;        ///< CPU clock then
  std::uint64_t wall;       ///< how long it has waited, not yet written
  std::uint32_t depth;      ///< frames in `stack`
  std::uint32_t elided;
  std::uint32_t elided_at;
  bool is_known;  ///< `stack` is where it waits
  std::array<recording::CodedFrame, kept_frames> stack;
  std::uint32_t native_depth;  ///< frames in `native`
  std::uint32_t native_flags;
  std::array<recording::NativeFrameRecord, kept_native_frames> native;
};

/// Storage for one thread, large and touched only as far as its stacks are deep. Zeroed memory is a free slot.
/// After `arm` only the thread itself, in its handler or with the signal blocked, changes what is not atomic.
struct Slot {
  std::atomic<bool> is_armed;
  std::atomic<bool> is_busy;  ///< its handler is at work, or its owner is writing records
  int timer;                  ///< kernel's id
  int look_timer;             ///< kernel's id of the timer for a second look, made when the first is needed
  bool has_look_timer;
  bool is_second_look;   ///< the next tick repeats a sample that was caught between two frames
  std::uint32_t number;  ///< place in the table of slots: the stream of its records
  recording::ThreadHead thread;
  AddressRange own_stack;     ///< from anything below to `end`; empty if not known
  std::uint64_t last_cpu;     ///< CPU clock at the last tick
  std::uint64_t first_cpu;    ///< CPU clock when it was armed
  std::uint64_t sampled_cpu;  ///< CPU time of its samples
  std::uint64_t samples;

  Address thread_state;  ///< last PyThreadState seen
  std::uint32_t skipped_searches;
  Address searched_head;    ///< newest thread when a search found none
  std::uint64_t name_hash;  ///< of the name recorded last

  recording::StreamWriter writer;
  alignas(16) std::array<std::byte, 16 * 1024> stack;  ///< what the handler works on; see run_on_stack
  std::array<std::byte, cpython::max_thread_prefix_size> scratch;
  std::array<std::array<char, 4096>, 3> texts;
  std::array<cpython::RawFrame, kept_frames> frames;
  std::array<recording::CodedFrame, kept_frames> coded;
  std::array<recording::CodedFrame, kept_frames> previous;
  Parked parked;  ///< of the helper thread

  AddressRange proven_stack;  ///< pages of the thread's stack that were seen to be there
  std::array<Address, kept_frames> anchors;
  std::array<capture::NativeFrame, kept_native_frames> native_frames;
  std::array<recording::NativeFrameRecord, kept_native_frames> native;
  std::array<recording::NativeFrameRecord, kept_native_frames> previous_native;
};

}  // namespace pyagent::agent
