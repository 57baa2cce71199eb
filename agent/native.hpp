// The native frames of one sample. signal-safe
#pragma once

#include <cstdint>  // uint32_t
#include <span>     // span

#include "pyagent/cpython/raw_frame.hpp"
#include "pyagent/memory/local_memory.hpp"
#include "pyagent/recording/native_frame_record.hpp"
#include "pyagent/unwind/registers.hpp"
#include "slot.hpp"

namespace pyagent::agent {

/// What the native half of a sample is.
struct NativeSample {
  std::span<const recording::NativeFrameRecord> frames;  ///< leaf first, in the slot's storage
  std::uint32_t flags = 0;                               ///< recording::SampleFlag bits
};

/// Sets up what all handlers share; false if there is no memory for it. Not for handlers.
bool prepare_native() noexcept;

/// Unwinds the thread of `slot` from `start`. `python` are its Python frames of the same moment, leaf first. Modules
/// that are new are written to the recording, which is open. The slot is busy.
NativeSample capture_native_frames(const memory::LocalMemory& memory, Slot& slot, const unwind::Registers& start,
                                   std::span<const cpython::RawFrame> python) noexcept;

/// The same for another thread, which waits in a system call. Only for the agent's own thread; the slot is busy.
NativeSample capture_waiting_native_frames(const memory::LocalMemory& memory, Slot& slot,
                                           std::span<const cpython::RawFrame> python) noexcept;

}  // namespace pyagent::agent
