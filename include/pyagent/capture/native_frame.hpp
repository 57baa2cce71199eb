// Native frames of one thread, as addresses. signal-safe
#pragma once

#include <cstdint>      // uint8_t
#include <span>         // span
#include <type_traits>  // is_trivially_copyable_v

#include "pyagent/base/address.hpp"

namespace pyagent::inline v0::capture {

/// How a native frame was found.
enum class FoundBy : std::uint8_t {
  registers,      ///< the thread's own: the innermost frame
  rules,          ///< by call frame information
  frame_pointer,  ///< its callee has no rule, but a frame pointer
  scan,           ///< on the stack, as the lowest return address that leads on
  anchor,         ///< from an object of Python's on the stack: what lies between is not known
};

/// One native frame.
struct NativeFrame {
  Address pc{};  ///< null for an eval loop that was not found itself: its Python frames belong here
  FoundBy found_by = FoundBy::registers;
  bool is_exact = false;  ///< this pc itself was about to run; else it is a return address, to be looked up at pc - 1
  bool is_eval = false;   ///< the eval loop of the innermost Python frames not yet claimed by an inner eval frame
  Address cfa{};          ///< where the frame ends and its caller's begins; null when it isn't known
};
static_assert(std::is_trivially_copyable_v<NativeFrame>);

/// Native frames in storage that the caller owns, leaf first.
class NativeFrames {
 public:
  constexpr explicit NativeFrames(std::span<NativeFrame> storage) noexcept : storage_(storage) {}

  constexpr std::uint32_t depth() const noexcept { return depth_; }
  constexpr bool has_room(std::uint32_t count) const noexcept { return count <= storage_.size() - depth_; }
  constexpr NativeFrame& operator[](std::uint32_t i) noexcept { return storage_[i]; }
  constexpr NativeFrame& back() noexcept { return storage_[depth_ - 1]; }

  constexpr bool push(const NativeFrame& frame) noexcept {
    if (!has_room(1)) return false;
    storage_[depth_++] = frame;
    return true;
  }

  /// Puts `count` eval loops that were not found before frame `at`; false, and nothing done, when there is no room.
  bool insert_unfound_evals(std::uint32_t at, std::uint32_t count) noexcept {
    if (!has_room(count)) return false;
    for (std::uint32_t i = depth_; i-- > at;) storage_[i + count] = storage_[i];
    for (std::uint32_t i = at; i < at + count; ++i) storage_[i] = {.found_by = FoundBy::anchor, .is_eval = true};
    depth_ += count;
    return true;
  }

 private:
  std::span<NativeFrame> storage_;
  std::uint32_t depth_ = 0;
};

}  // namespace pyagent::inline v0::capture
