// One stack out of a sample's Python and native frames. May allocate
#pragma once

#include <algorithm>  // count_if, min, reverse
#include <cstddef>    // size_t
#include <cstdint>    // uint32_t
#include <span>       // span
#include <vector>     // vector

#include "pyagent/recording/records.hpp"

namespace pyagent::inline v0::stack {

/// What stands at one place of a merged stack.
struct MergedFrame {
  enum class Kind : std::uint8_t {
    python,     ///< SampleRecord::frames[index]
    native,     ///< SampleRecord::native[index]
    elided,     ///< where the middle of a deep Python stack was left out
    truncated,  ///< where native frames end before the thread's first function
  };
  Kind kind = Kind::python;
  std::uint32_t index = 0;

  friend constexpr bool operator==(const MergedFrame&, const MergedFrame&) noexcept = default;
};

namespace detail {

/// Puts native and Python frames behind each other, leaf first.
///
/// Each eval loop (a native frame with NativeFlag::eval) stands for a group of Python frames, which ends with an entry
/// frame. Where both stacks are whole at their roots, groups and loops are paired from there: at its leaf a stack may
/// have been caught while an evaluation is entered or left, with one more or one less of them. A stack whose root is
/// missing is paired from the leaf. Of a deep Python stack whose middle was left out, the groups above are paired from
/// the leaf, those below from the root, and the loops between stand for what was left out.
class Merge {
 public:
  Merge(const recording::SampleRecord& sample, std::span<const recording::NativeFrameRecord> native,
        std::vector<MergedFrame>& out)
      : sample_(sample), frames_(sample.frames), out_(out) {
    using recording::SampleFlag;
    is_native_cut_ = sample.has(SampleFlag::native_truncated);
    const bool has_roots = !is_native_cut_ && !sample.has(SampleFlag::python_tail) &&
                           !sample.has(SampleFlag::unreadable) && !sample.has(SampleFlag::suspect);
    split_ = sample.elided != 0 ? std::min<std::size_t>(sample.elided_at, frames_.size())
             : has_roots        ? 0
                                : frames_.size();
    leaf_groups_ = count_entries(frames_.first(split_));
    root_groups_ = has_roots ? count_entries(frames_.subspan(split_)) : 0;
    loops_ = static_cast<std::size_t>(std::count_if(native.begin(), native.end(), is_eval));
  }

  /// What the next eval loop stands for.
  void take_loop() {
    const std::size_t loop = next_loop_++;
    const std::size_t outer = loops_ - 1 - loop;  // loops on the root side of this one
    if (outer < root_groups_)
      take_groups_of_root(root_groups_ - outer);
    else if (loop < leaf_groups_)
      take_until(end_of_group(next_), split_);
    else
      take_until(split_, split_);
    if (outer >= root_groups_ && loop >= leaf_groups_) take_elided();
  }

  void take_native(std::size_t index) {
    out_.push_back({MergedFrame::Kind::native, static_cast<std::uint32_t>(index)});
  }

  /// What no loop stood for.
  void take_rest() {
    if (is_native_cut_) out_.push_back({MergedFrame::Kind::truncated, 0});
    take_until(frames_.size(), frames_.size());
    if (split_ == frames_.size()) take_elided();
  }

  static bool is_eval(const recording::NativeFrameRecord& frame) noexcept {
    return frame.has(recording::NativeFlag::eval);
  }

 private:
  using Frames = std::span<const recording::FrameRecord>;

  static std::size_t count_entries(Frames frames) noexcept {
    return static_cast<std::size_t>(
        std::count_if(frames.begin(), frames.end(), [](const auto& frame) { return frame.is_entry; }));
  }

  std::size_t end_of_group(std::size_t from) const noexcept {
    while (from < frames_.size() && !frames_[from].is_entry) ++from;
    return from + 1;
  }

  /// Frames of the root side up to the end of group number `count` of them, from 1.
  void take_groups_of_root(std::size_t count) {
    take_until(split_, split_);
    for (; root_taken_ < count; ++root_taken_) take_until(end_of_group(next_), frames_.size());
  }

  void take_until(std::size_t end, std::size_t limit) {
    for (end = std::min(end, limit); next_ < end; ++next_) {
      if (next_ == split_) take_elided();
      out_.push_back({MergedFrame::Kind::python, static_cast<std::uint32_t>(next_)});
    }
  }

  void take_elided() {
    if (sample_.elided != 0 && !has_taken_elided_) out_.push_back({MergedFrame::Kind::elided, 0});
    has_taken_elided_ = true;
  }

  const recording::SampleRecord& sample_;
  Frames frames_;
  std::vector<MergedFrame>& out_;
  bool is_native_cut_ = false;
  bool has_taken_elided_ = false;
  std::size_t split_ = 0;  ///< groups before are paired from the leaf, those behind from the root
  std::size_t leaf_groups_ = 0;
  std::size_t root_groups_ = 0;
  std::size_t root_taken_ = 0;
  std::size_t loops_ = 0;
  std::size_t next_loop_ = 0;
  std::size_t next_ = 0;
};

/// The Python frames alone, root first.
inline void take_python(const recording::SampleRecord& sample, std::vector<MergedFrame>& out) {
  const auto count = static_cast<std::uint32_t>(sample.frames.size());
  out.resize(count);
  for (std::uint32_t i = 0; i < count; ++i) out[i] = {MergedFrame::Kind::python, count - 1 - i};
  if (sample.elided == 0) return;
  const std::uint32_t above = std::min(sample.elided_at, count);
  out.insert(out.end() - above, {MergedFrame::Kind::elided, 0});
}

}  // namespace detail

/// Merges the Python frames of `sample` with `native`, its native ones, or none where only Python is wanted.
/// `is_visible(i)` says whether native[i] shall be shown. Eval loops never are: the Python frames that they run stand
/// in their places.
///
/// Shape:  `out` root first; each Python frame is in it once and in order, each visible native frame too. Python frames
///         that no native frame stands for come on the root side of all native ones.
/// Errors: none; what does not fit together is shown behind each other.
template <class IsVisible>
void merge_stacks(const recording::SampleRecord& sample, std::span<const recording::NativeFrameRecord> native,
                  IsVisible&& is_visible, std::vector<MergedFrame>& out) {
  if (native.empty()) return detail::take_python(sample, out);
  out.clear();
  detail::Merge merge{sample, native, out};
  for (std::size_t i = 0; i < native.size(); ++i)
    if (detail::Merge::is_eval(native[i]))
      merge.take_loop();
    else if (is_visible(i))
      merge.take_native(i);
  merge.take_rest();
  std::reverse(out.begin(), out.end());
}

}  // namespace pyagent::inline v0::stack
