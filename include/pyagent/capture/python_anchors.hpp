// Where Python's own objects lie on a native stack: they tell which native frames are eval loops. signal-safe
#pragma once

#include <cstdint>  // uint32_t
#include <span>     // span

#include "pyagent/base/address.hpp"

namespace pyagent::inline v0::capture {

/// Objects by which the eval loops of a thread are known, innermost first: one for each group of Python frames that
/// one eval loop runs.
struct PythonAnchors {
  /// Up to 3.9 (`are_spilled`) addresses of PyFrameObjects, which the eval loop keeps in its native frame; else
  /// addresses of objects that are themselves part of the native frame (_PyCFrame, entry frames).
  std::span<const Address> anchors;
  bool are_spilled = false;
  std::span<const AddressRange> eval_code;  ///< up to 3.9: code of the eval loop
};

/// Where an eval loop's frame keeps what leads to its caller: from its CFA on.
struct EvalShape {
  std::uint32_t distance = 0;  ///< from the anchor to the CFA
  std::int32_t frame_pointer = 0;
  std::int32_t return_address = 0;

  friend constexpr bool operator==(const EvalShape&, const EvalShape&) noexcept = default;
};

/// Learns the shape of the eval loop's frames, which is a constant of each build of Python: then the caller of an eval
/// loop is found from its anchor alone. A build whose frames differ in shape is noticed, and nothing made of it.
/// All zero bytes have learned nothing. For one thread at a time, and one interpreter.
class AnchorDistance {
 public:
  constexpr void learn(const EvalShape& seen) noexcept {
    if (agreeing_ == 0) shape_ = seen;
    if (shape_ == seen) {
      if (agreeing_ < most) ++agreeing_;
    } else if (++differing_ > agreeing_) {
      shape_ = seen;
      agreeing_ = differing_ = 1;
    }
  }

  constexpr bool is_known() const noexcept { return agreeing_ >= 2 && agreeing_ / 16 >= differing_; }
  constexpr const EvalShape& shape() const noexcept { return shape_; }
  /// From an anchor to its frame's CFA; zero: not known.
  constexpr std::uint64_t distance() const noexcept { return is_known() ? shape_.distance : 0; }

 private:
  static constexpr std::uint32_t most = 1U << 20;  // differing ones can come to outnumber these

  EvalShape shape_{};
  std::uint32_t agreeing_ = 0;
  std::uint32_t differing_ = 0;
};

/// Which anchor is the next to be claimed by a frame. Anchors outside the stack belong to another one (a greenlet's, or
/// none: 3.15 has one on the heap).
class AnchorQueue {
 public:
  constexpr AnchorQueue(std::span<const Address> anchors, AddressRange stack) noexcept
      : anchors_(anchors), stack_(stack) {}

  /// Anchors that the frame [sp, cfa) claims: `skipped` that lie in no frame further in, and `count` of its own, of
  /// which all but the last were passed over too.
  struct Claim {
    std::uint32_t skipped = 0;
    std::uint32_t count = 0;
    Address anchor;
  };

  constexpr Claim find(Address sp, Address cfa) const noexcept {
    Claim claim;
    std::uint32_t passed = 0;
    for (std::uint32_t i = next_; i < anchors_.size() && i - next_ < look_ahead; ++i, ++passed) {
      const Address anchor = anchors_[i];
      if (!stack_.contains(anchor) || anchor < sp) continue;
      if (anchor >= cfa) break;
      claim = {passed - claim.count, claim.count + 1, anchor};
    }
    return claim;
  }

  constexpr void take(const Claim& claim) noexcept { next_ += claim.skipped + claim.count; }

  /// The next anchor at or above `sp`, as a claim of its own; Claim::count is zero when there is none.
  constexpr Claim find_above(Address sp) const noexcept {
    for (std::uint32_t i = next_; i < anchors_.size() && i - next_ < look_ahead; ++i)
      if (stack_.contains(anchors_[i]) && anchors_[i] >= sp) return {i - next_, 1, anchors_[i]};
    return {};
  }

  /// Anchors claimed or skipped.
  constexpr std::uint32_t taken() const noexcept { return next_; }

 private:
  static constexpr std::uint32_t look_ahead = 64;  // a list of thousands that all lie elsewhere is damaged

  std::span<const Address> anchors_;
  AddressRange stack_;
  std::uint32_t next_ = 0;
};

}  // namespace pyagent::inline v0::capture
