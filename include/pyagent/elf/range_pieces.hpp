// Overlapping ranges cut into pieces that do not overlap, the best range on top. May allocate
#pragma once

#include <algorithm>  // sort, upper_bound, min, max
#include <cstdint>    // uint32_t, uint64_t
#include <limits>     // numeric_limits
#include <optional>   // optional
#include <queue>      // priority_queue
#include <span>       // span
#include <vector>     // vector

namespace pyagent::inline v0::elf {

/// [start, end), what it stands for, and how much it is worth: of the ranges that hold an address, the highest wins.
struct RankedRange {
  std::uint64_t start = 0;
  std::uint64_t end = 0;
  std::uint32_t rank = 0;
  std::uint32_t value = 0;
};

/// The pieces that ranges leave visible when better ones lie upon them, by address.
class RangePieces {
 public:
  RangePieces() = default;

  /// At most two pieces for each range, in time of n log n whatever the ranges look like.
  explicit RangePieces(std::vector<RankedRange> ranges) {
    std::sort(ranges.begin(), ranges.end(),
              [](const RankedRange& a, const RankedRange& b) { return a.start < b.start; });
    pieces_.reserve(ranges.size());
    for (const RankedRange& range : ranges) {
      if (range.start >= range.end) continue;
      advance(range.start);
      open_.push(range);
    }
    advance(std::numeric_limits<std::uint64_t>::max());
    open_ = {};
  }

  std::size_t size() const noexcept { return pieces_.size(); }

  /// The value of the best range that holds `address`.
  std::optional<std::uint32_t> find(std::uint64_t address) const noexcept {
    const auto after = std::upper_bound(pieces_.begin(), pieces_.end(), address,
                                        [](std::uint64_t sought, const Piece& piece) { return sought < piece.start; });
    if (after == pieces_.begin() || address >= std::prev(after)->end) return std::nullopt;
    return std::prev(after)->value;
  }

 private:
  struct Piece {
    std::uint64_t start, end;
    std::uint32_t value;
  };
  struct IsWorse {
    bool operator()(const RankedRange& a, const RankedRange& b) const noexcept { return a.rank < b.rank; }
  };

  /// Cuts pieces out of the open ranges, from where the last one ended up to `until`.
  void advance(std::uint64_t until) {
    while (!open_.empty() && at_ < until) {
      const RankedRange best = open_.top();
      if (best.end <= at_) {
        open_.pop();
        continue;
      }
      const std::uint64_t end = std::min(best.end, until);
      if (!pieces_.empty() && pieces_.back().end == at_ && pieces_.back().value == best.value)
        pieces_.back().end = end;
      else
        pieces_.push_back({at_, end, best.value});
      at_ = end;
    }
    at_ = until;
  }

  std::vector<Piece> pieces_;
  std::priority_queue<RankedRange, std::vector<RankedRange>, IsWorse> open_;
  std::uint64_t at_ = 0;
};

}  // namespace pyagent::inline v0::elf
