// From an address to the innermost of the ranges around it. May allocate.
#pragma once

#include <algorithm>  // stable_sort, upper_bound
#include <cstddef>    // size_t
#include <cstdint>    // uint64_t
#include <tuple>      // tie
#include <vector>     // vector

namespace pyagent::inline v0::dwarf {

/// [begin, end) belongs to `value`.
struct Interval {
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
  std::uint32_t value = 0;
  std::uint32_t depth = 0;  ///< of those with the same begin the deeper one is the inner one
};

/// Ranges that lie in each other, flattened: one binary search finds the innermost. Of those that overlap without lying
/// in each other the one that begins later is taken for the inner one.
class IntervalMap {
 public:
  static constexpr std::uint32_t none = 0xffffffff;

  IntervalMap() = default;
  explicit IntervalMap(std::vector<Interval> intervals) {
    std::stable_sort(intervals.begin(), intervals.end(), [](const Interval& a, const Interval& b) {
      return std::tie(a.begin, a.depth) < std::tie(b.begin, b.depth);
    });
    std::vector<Interval> around;
    const auto close_until = [&](std::uint64_t address) {
      while (!around.empty() && around.back().end <= address) {
        const std::uint64_t end = around.back().end;
        while (!around.empty() && around.back().end <= end) around.pop_back();
        add(end, around.empty() ? none : around.back().value);
      }
    };
    for (const Interval& interval : intervals) {
      if (interval.begin >= interval.end) continue;
      close_until(interval.begin);
      add(interval.begin, interval.value);
      around.push_back(interval);
    }
    close_until(~std::uint64_t{0});
    boundaries_.shrink_to_fit();
  }

  /// `none` outside of all.
  std::uint32_t find(std::uint64_t address) const noexcept {
    const auto after =
        std::upper_bound(boundaries_.begin(), boundaries_.end(), address,
                         [](std::uint64_t wanted, const Boundary& boundary) { return wanted < boundary.begin; });
    return after == boundaries_.begin() ? none : (after - 1)->value;
  }

  std::size_t size() const noexcept { return boundaries_.size(); }

 private:
  struct Boundary {
    std::uint64_t begin;
    std::uint32_t value;  ///< from here to the next
  };

  void add(std::uint64_t begin, std::uint32_t value) {
    if (!boundaries_.empty() && boundaries_.back().begin == begin) boundaries_.pop_back();
    if (boundaries_.empty() ? value == none : boundaries_.back().value == value) return;
    boundaries_.push_back({begin, value});
  }

  std::vector<Boundary> boundaries_;
};

}  // namespace pyagent::inline v0::dwarf
