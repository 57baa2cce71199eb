// A copy of what a sample needs of another process: fetched at once, because earlier ones needed it. May allocate
#pragma once

#include <algorithm>  // max, min, sort, upper_bound
#include <cstddef>    // byte
#include <cstdint>    // uint32_t
#include <cstring>    // memcpy
#include <span>       // span
#include <vector>     // vector

#include "pyagent/memory/memory.hpp"
#include "pyagent/memory/read_batch.hpp"
#include "pyagent/memory/remote_memory.hpp"

namespace pyagent::inline v0::memory {

/// A part of memory to fetch, and how many samples ago it was last of use.
struct PlannedRange {
  AddressRange range;
  std::uint32_t age = 0;
};

/// What to fetch: in order of address, none touching another.
using ReadPlan = std::vector<PlannedRange>;

/// A Memory that holds what was planned and, from the first read of it on, what was not. Each byte is read from the
/// process once, so what is read twice is the same twice. `learn` makes the plan for next time of what was read lately:
/// programs go to and fro between the same places.
///
///     snapshot.plan(plan, batch);  batch.run(pid);  snapshot.take(batch);  ...read...  snapshot.learn(plan);
class Snapshot {
 public:
  /// Most bytes that one snapshot holds: a stack of 5,000 frames is half a megabyte. What goes beyond is unreadable.
  static constexpr std::size_t capacity = std::size_t{4} << 20;

  explicit Snapshot(RemoteMemory source) : source_(source) {}

  /// Starts anew: adds reads of all of `plan` to `batch`, in order of address or in `reverse`.
  void plan(const ReadPlan& plan, ReadBatch& batch, bool reverse = false) {
    clear();
    std::size_t size = 0;
    for (const PlannedRange& part : plan) size += part.range.size();
    if (size > capacity) return;
    if (bytes_.size() < size) bytes_.resize(size);
    for (const PlannedRange& part : plan) {
      const auto offset = held_.empty() ? 0 : held_.back().offset + held_.back().range.size();
      held_.push_back({part.range, offset, false, true});
    }
    planned_ = held_.size();
    requests_.resize(planned_);
    for (std::size_t i = 0; i < planned_; ++i) {
      const std::size_t place = reverse ? planned_ - 1 - i : i;
      const auto& [range, offset, is_used, is_valid] = held_[place];
      requests_[place] = batch.add(range.begin, std::span{bytes_}.subspan(offset, range.size()));
    }
  }

  /// Takes over what the batch has read.
  void take(const ReadBatch& batch) noexcept {
    for (std::size_t i = 0; i < planned_; ++i) held_[i].is_valid = !batch.has_failed(requests_[i]);
  }

  void clear() const noexcept {
    held_.clear();
    missed_.clear();
    planned_ = 0;
    last_ = 0;
  }

  Errc read(Address address, std::span<std::byte> out) const noexcept {
    if (out.empty()) return Errc::ok;
    const auto held = view(address, out.size());
    if (held.empty()) return Errc::unreadable;
    std::memcpy(out.data(), held.data(), out.size());
    return Errc::ok;
  }

  /// The same without a copy: `size` bytes, valid until the next read, or none if they are unreadable.
  std::span<const std::byte> view(Address address, std::size_t size) const noexcept {
    const Piece* piece = find(address, size);
    if (piece == nullptr && !(piece = fetch(address, size))) return {};
    return std::span{bytes_}.subspan(piece->offset + (address - piece->range.begin), size);
  }

  /// All that was read had been planned, and so was fetched with the rest.
  bool is_complete() const noexcept { return held_.size() == planned_; }

  /// Says that all of `range` will be read, piece by piece.
  void cover(AddressRange range) const noexcept {
    if (range.size() != 0 && find(range.begin, range.size()) == nullptr) fetch(range.begin, range.size());
  }

  /// Makes `plan`, which must be the one that was planned, that for next time. Cheap when it was right.
  void learn(ReadPlan& plan) const {
    if (planned_ == 0) plan.clear();  // it was too much to fetch
    bool has_old = false;
    for (std::size_t i = 0; i < planned_; ++i) {
      plan[i].age = !held_[i].is_valid ? oldest + 1 : held_[i].is_used ? 0 : plan[i].age + 1;
      has_old = has_old || plan[i].age > oldest;
    }
    if (!has_old && is_complete()) return;
    std::erase_if(plan, [](const PlannedRange& part) { return part.age > oldest; });
    for (std::size_t i = planned_; i < held_.size(); ++i) plan.push_back({held_[i].range});
    std::sort(plan.begin(), plan.end(), [](const auto& a, const auto& b) { return a.range.begin < b.range.begin; });
    join(plan);
  }

 private:
  struct Piece {
    AddressRange range;
    std::size_t offset = 0;
    bool is_used = false;
    bool is_valid = false;
  };
  static constexpr std::uint64_t block = 64;   // divides a page: what is added to a read is as readable as itself
  static constexpr std::uint64_t page = 4096;  // copying less than that is cheaper than a piece more
  static constexpr std::size_t most_pieces = 2048;
  static constexpr std::size_t most_misses = 16'384;
  static constexpr std::uint32_t oldest = 32;  // samples that a part stays in the plan without being of use

  static void join(ReadPlan& plan) {
    std::size_t last = 0;
    for (std::size_t i = 1; i < plan.size(); ++i) {
      auto& [before, age] = plan[last];
      // Both pages are there, or they would not be in the plan; one that lies between them may not be.
      const std::uint64_t last_page = (before.end.value - 1) / page, next_page = plan[i].range.begin.value / page;
      if (plan[i].range.begin <= before.end || next_page <= last_page + 1) {
        before.end = std::max(before.end, plan[i].range.end);
        age = std::min(age, plan[i].age);
      } else {
        plan[++last] = plan[i];
      }
    }
    plan.resize(std::min(plan.empty() ? 0 : last + 1, most_pieces));
  }

  const Piece* find(Address address, std::size_t size) const noexcept {
    const auto holds = [&](const Piece& piece) { return piece.is_valid && piece.range.contains(address, size); };
    const auto use = [&](std::size_t i) {
      last_ = i;
      held_[i].is_used = true;
      return &held_[i];
    };
    if (last_ < held_.size() && holds(held_[last_])) return use(last_);
    const auto planned_end = held_.begin() + static_cast<std::ptrdiff_t>(planned_);
    const auto after = std::upper_bound(held_.begin(), planned_end, address,
                                        [](Address at, const Piece& piece) { return at < piece.range.begin; });
    if (after != held_.begin() && holds(*(after - 1))) return use(static_cast<std::size_t>(after - held_.begin()) - 1);
    auto missed = std::upper_bound(missed_.begin(), missed_.end(), address,
                                   [&](Address at, std::size_t i) { return at < held_[i].range.begin; });
    for (int back = 0; back < 2 && missed != missed_.begin(); ++back)  // pieces may overlap
      if (holds(held_[*--missed])) return use(*missed);
    return nullptr;
  }

  /// Reads what is not held: rounded to blocks, since what lies beside it is often read next. What is held already may
  /// lie in it too, from another moment; then the piece found first goes on to be the one that is used.
  const Piece* fetch(Address address, std::size_t size) const noexcept {
    if (size > capacity || address.value + size < address.value || missed_.size() == most_misses) return nullptr;
    const Address begin{address.value & ~(block - 1)};
    const Address end{(address.value + size + block - 1) & ~(block - 1)};
    if (end < begin) return nullptr;
    const AddressRange range{begin, end};
    const std::size_t offset = held_.empty() ? 0 : held_.back().offset + held_.back().range.size();
    if (offset + range.size() > capacity) return nullptr;
    if (bytes_.size() < offset + range.size()) bytes_.resize(offset + range.size());
    if (source_.read(begin, std::span{bytes_}.subspan(offset, range.size())) != Errc::ok) return nullptr;
    held_.push_back({range, offset, true, true});
    last_ = held_.size() - 1;
    const auto place = std::upper_bound(missed_.begin(), missed_.end(), begin,
                                        [&](Address at, std::size_t i) { return at < held_[i].range.begin; });
    missed_.insert(place, last_);
    return &held_.back();
  }

  RemoteMemory source_;
  mutable std::vector<std::byte> bytes_;
  mutable std::vector<Piece> held_;          // the planned ones first, in order of address
  mutable std::vector<std::size_t> missed_;  // the others, in order of address
  mutable std::size_t planned_ = 0;
  mutable std::size_t last_ = 0;
  std::vector<std::size_t> requests_;  // of the planned ones, in the batch
};
static_assert(Memory<Snapshot>);

}  // namespace pyagent::inline v0::memory
