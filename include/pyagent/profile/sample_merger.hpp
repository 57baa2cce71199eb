// One stack out of the two halves of a sample, with the native frames that are worth a place. May allocate
#pragma once

#include <cstddef>  // size_t
#include <cstdint>  // uint32_t
#include <span>     // span
#include <vector>   // vector

#include "pyagent/profile/native_places.hpp"
#include "pyagent/profile/profile.hpp"
#include "pyagent/recording/records.hpp"
#include "pyagent/stack/merge_stacks.hpp"

namespace pyagent::inline v0::profile {

/// Merges the samples of one recording. Frames of native code are interned in `profile`.
template <NativeSymbolizer N>
class SampleMerger {
 public:
  SampleMerger(Profile& profile, N& symbolizer, const NativeView& view) : places_(profile, symbolizer, view) {}

  void add_module(const recording::ModuleRecord& module) { places_.add_module(module); }

  /// The frames of `sample` that are shown, root first; without its native ones if they are not wanted. They hold until
  /// the next call.
  std::span<const stack::MergedFrame> merge(const recording::SampleRecord& sample, bool wants_native = true) {
    const auto native = wants_native ? std::span{sample.native} : std::span<const recording::NativeFrameRecord>{};
    numbers_.clear();
    for (const recording::NativeFrameRecord& frame : native) numbers_.push_back(places_.find(frame));
    // A thread that runs no Python has nothing else to show.
    if (sample.frames.empty())
      visible_.assign(native.size(), true);
    else if (!native.empty())
      places_.find_visible(native, numbers_, !sample.has(recording::SampleFlag::native_truncated), visible_);
    stack::merge_stacks(
        sample, native, [&](std::size_t i) { return visible_[i]; }, merged_);
    return merged_;
  }

  /// A number for native[index] of the sample that was merged last; equal ones are the same place.
  std::uint32_t place_of(std::size_t index) const { return numbers_[index]; }
  /// Frames of native[index] of that sample: the function, then what was inlined there.
  std::span<const FrameId> frames_of(std::size_t index) const { return places_[numbers_[index]].frames; }

 private:
  NativePlaces<N> places_;
  std::vector<std::uint32_t> numbers_;  // of the sample's native frames in places_
  std::vector<bool> visible_;
  std::vector<stack::MergedFrame> merged_;
};

}  // namespace pyagent::inline v0::profile
