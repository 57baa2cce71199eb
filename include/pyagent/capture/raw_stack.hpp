// The Python stack of one sample: leaf and root frames in storage that the caller owns. signal-safe
#pragma once

#include <algorithm>  // rotate
#include <cstdint>    // uint32_t
#include <span>       // span

#include "pyagent/base/address.hpp"
#include "pyagent/cpython/raw_frame.hpp"

namespace pyagent::inline v0::capture {

/// Takes frames leaf first. When there are more than fit, the leaf-most and the `root_frames` root-most are kept and
/// the ones between are counted. Call `finish` after the last frame; then `frames` is the stack, leaf first.
class RawStack {
 public:
  /// `root_frames` must be at least one, and `storage` larger.
  constexpr RawStack(std::span<cpython::RawFrame> storage, std::uint32_t root_frames) noexcept
      : storage_(storage),
        leaf_room_(static_cast<std::uint32_t>(storage.size()) - root_frames),
        root_room_(root_frames) {}

  constexpr void clear() noexcept { total_ = 0; }

  /// Takes back all but the first `depth` frames. Where frames were already being left out, root frames among the first
  /// `depth` may be lost with them; the count of those left out stays true.
  constexpr void truncate(std::uint32_t depth) noexcept { total_ = depth; }

  constexpr void push(const cpython::RawFrame& frame) noexcept { storage_[place(total_++)] = frame; }

  /// Says of the frame pushed last that it was called from C, by the evaluation whose own variable `anchor` is.
  constexpr void mark_entry(Address anchor = {}) noexcept {
    if (total_ == 0) return;
    cpython::RawFrame& last = storage_[place(total_ - 1)];
    last.is_entry = true;
    last.anchor = anchor;
  }

  /// Says the anchor of the frame that was pushed as number `depth` (from 0), if it is still held.
  constexpr void set_anchor(std::uint32_t depth, Address anchor) noexcept {
    if (depth < leaf_room_ || total_ - depth <= root_room_) storage_[place(depth)].anchor = anchor;
  }

  /// Puts the root frames in order.
  constexpr void finish() noexcept {
    if (elided() == 0) return;
    const auto root = storage_.subspan(leaf_room_, root_room_);
    std::rotate(root.begin(), root.begin() + (total_ - leaf_room_) % root_room_, root.end());
  }

  constexpr std::span<const cpython::RawFrame> frames() const noexcept { return storage_.first(total_ - elided()); }
  /// Frames left out, all of them between frames()[elided_at() - 1] and frames()[elided_at()].
  constexpr std::uint32_t elided() const noexcept {
    const auto room = leaf_room_ + root_room_;
    return total_ > room ? total_ - room : 0;
  }
  constexpr std::uint32_t elided_at() const noexcept { return elided() != 0 ? leaf_room_ : 0; }
  constexpr std::uint32_t depth() const noexcept { return total_; }

 private:
  constexpr std::uint32_t place(std::uint32_t depth) const noexcept {
    return depth < leaf_room_ ? depth : leaf_room_ + (depth - leaf_room_) % root_room_;
  }

  std::span<cpython::RawFrame> storage_;
  std::uint32_t leaf_room_;
  std::uint32_t root_room_;
  std::uint32_t total_ = 0;
};

}  // namespace pyagent::inline v0::capture
