// The profile: interned strings, frames and stacks, and the weighted samples of each thread. May allocate
#pragma once

#include <algorithm>      // reverse
#include <chrono>         // nanoseconds
#include <cstddef>        // size_t
#include <cstdint>        // uint32_t
#include <string>         // string
#include <string_view>    // string_view
#include <unordered_map>  // unordered_map
#include <utility>        // pair
#include <vector>         // vector

namespace pyagent::inline v0::profile {

using StringId = std::uint32_t;
using FrameId = std::uint32_t;
using StackId = std::uint32_t;  ///< a node of the prefix tree; 0 is the empty stack

/// A place in the program, as people read it.
struct Frame {
  StringId name = 0;      ///< qualified where known
  StringId file = 0;      ///< as it shall be shown; empty if there is none
  std::int32_t line = 0;  ///< 1-based; 0 where unknown or not wanted
  std::int32_t column = 0;  ///< 1-based, in UTF-8 bytes; 0 where unknown

  friend bool operator==(const Frame&, const Frame&) = default;
};

/// One node of the prefix tree: a caller's stack and one frame more.
struct StackNode {
  StackId parent = 0;
  FrameId frame = 0;
};

/// One sample: a stack and the time it stands for.
struct Sample {
  StackId stack = 0;
  std::chrono::nanoseconds weight{};  ///< measured; never negative
  std::chrono::nanoseconds time{};  ///< CLOCK_MONOTONIC, the end of the time that `weight` stands for
};

/// Samples of one thread, in order of time.
struct Thread {
  std::uint64_t id = 0;   ///< threading.get_ident(), or 0
  std::int32_t tid = 0;   ///< kernel thread id
  std::int32_t pid = 0;
  std::string name{};
  std::vector<Sample> samples{};
};

/// A whole profile. Ids are indices; equal things have equal ids.
class Profile {
 public:
  Profile() {
    intern_string("");
    stacks_.push_back({});
  }

  StringId intern_string(std::string_view text);
  FrameId intern_frame(const Frame& frame);
  /// The stack that is `parent` with `frame` called from it.
  StackId intern_stack(StackId parent, FrameId frame);

  const std::string& string(StringId id) const { return strings_[id]; }
  const Frame& frame(FrameId id) const { return frames_[id]; }
  const StackNode& stack(StackId id) const { return stacks_[id]; }
  std::size_t frame_count() const noexcept { return frames_.size(); }
  std::size_t stack_count() const noexcept { return stacks_.size(); }
  /// Frames of `stack`, root first.
  std::vector<FrameId> frames_of(StackId stack) const;
  /// The same into `frames`, whose memory is used again.
  void frames_of(StackId stack, std::vector<FrameId>& frames) const;

  std::string name;                    ///< shown as the profile's title: program and pid
  std::string exporter;                ///< "pyagent@0.1.0"
  std::chrono::nanoseconds interval{};  ///< time between samples as asked for; 0 where unknown
  std::vector<Thread> threads;
  std::vector<std::pair<std::string, std::string>> facts;  ///< metadata and counters, in order, for formats that hold them

 private:
  struct FrameHash {
    std::size_t operator()(const Frame& frame) const noexcept {
      std::size_t hash = frame.name;
      for (const std::size_t part : {std::size_t{frame.file}, static_cast<std::size_t>(frame.line), static_cast<std::size_t>(frame.column)})
        hash = (hash ^ part) * 0x9e3779b97f4a7c15u + (hash >> 29);
      return hash;
    }
  };

  std::unordered_map<std::string, StringId> string_ids_;
  std::vector<std::string> strings_;
  std::unordered_map<Frame, FrameId, FrameHash> frame_ids_;
  std::vector<Frame> frames_;
  std::unordered_map<std::uint64_t, StackId> stack_ids_;
  std::vector<StackNode> stacks_;
};

inline StringId Profile::intern_string(std::string_view text) {
  const auto [place, added] = string_ids_.try_emplace(std::string{text}, static_cast<StringId>(strings_.size()));
  if (added) strings_.emplace_back(text);
  return place->second;
}

inline FrameId Profile::intern_frame(const Frame& frame) {
  const auto [place, added] = frame_ids_.try_emplace(frame, static_cast<FrameId>(frames_.size()));
  if (added) frames_.push_back(frame);
  return place->second;
}

inline StackId Profile::intern_stack(StackId parent, FrameId frame) {
  const auto key = std::uint64_t{parent} << 32 | frame;
  const auto [place, added] = stack_ids_.try_emplace(key, static_cast<StackId>(stacks_.size()));
  if (added) stacks_.push_back({parent, frame});
  return place->second;
}

inline std::vector<FrameId> Profile::frames_of(StackId stack) const {
  std::vector<FrameId> frames;
  frames_of(stack, frames);
  return frames;
}

inline void Profile::frames_of(StackId stack, std::vector<FrameId>& frames) const {
  frames.clear();
  for (; stack != 0; stack = stacks_[stack].parent) frames.push_back(stacks_[stack].frame);
  std::reverse(frames.begin(), frames.end());
}

/// Sum of two weights; the longest time there is where it would be more. Weights come from files, which may be damaged.
constexpr std::chrono::nanoseconds add_weights(std::chrono::nanoseconds left, std::chrono::nanoseconds right) noexcept {
  constexpr auto longest = std::chrono::nanoseconds::max();
  return right > longest - left ? longest : left + right;
}

/// The time that all samples of `thread` stand for.
inline std::chrono::nanoseconds total_weight(const Thread& thread) noexcept {
  std::chrono::nanoseconds total{};
  for (const Sample& sample : thread.samples) total = add_weights(total, sample.weight);
  return total;
}

}  // namespace pyagent::inline v0::profile
