// Own and total times of functions and of lines, over the last interval and over all time.
#pragma once

#include <algorithm>      // sort
#include <chrono>         // nanoseconds
#include <cstdint>        // uint64_t
#include <span>           // span
#include <string>         // string
#include <tuple>          // tie
#include <unordered_map>  // unordered_map
#include <utility>        // exchange
#include <vector>         // vector

namespace pyagent::tools {

/// What a table may be sorted by, in the order of its columns.
enum class TopColumn : std::uint8_t { own_share, total_share, own_time, total_time };

/// Time in a function itself, and in it or what it called.
struct TopTimes {
  std::chrono::nanoseconds own{};
  std::chrono::nanoseconds total{};

  TopTimes& operator+=(TopTimes other) noexcept {
    own += other.own;
    total += other.total;
    return *this;
  }
};

/// One function, or one line of it. Texts are as a terminal may see them.
struct TopRow {
  std::string name;
  std::string place;              ///< its file, or its file and line
  TopTimes recent{};              ///< in the last whole interval
  TopTimes all{};                 ///< since the start, up to the end of that interval
  TopTimes unfinished{};          ///< since then
  std::uint64_t last_sample = 0;  ///< the sample that was added last: recursion counts once
};

/// Rows by what they are called.
class TopRows {
 public:
  using Id = std::uint32_t;

  /// The row of that name and place. A program can make functions without end: from `most` on they share one row.
  Id find(const std::string& name, const std::string& place) {
    const std::string key = name + '\0' + place;
    if (const auto known = ids_.find(key); known != ids_.end()) return known->second;
    if (rows_.size() > most) return others;
    const Id id = static_cast<Id>(rows_.size());
    ids_.emplace(key, id);
    rows_.push_back({.name = name, .place = place});
    return id;
  }

  void add(Id id, std::uint64_t sample, std::chrono::nanoseconds weight, bool is_leaf) {
    TopRow& row = rows_[id];
    if (is_leaf) row.unfinished.own += weight;
    if (std::exchange(row.last_sample, sample) != sample) row.unfinished.total += weight;
  }

  void finish_interval() {
    for (TopRow& row : rows_) row.all += row.recent = std::exchange(row.unfinished, {});
  }

  /// Adds what was seen since the last interval to all times.
  void add_rest() {
    for (TopRow& row : rows_) row.all += std::exchange(row.unfinished, {});
  }

  void reset() {
    for (TopRow& row : rows_) row.all = row.recent = row.unfinished = {};
  }

  /// Rows that were ever seen, largest in `column` first.
  std::vector<const TopRow*> sorted(TopColumn column) const {
    std::vector<const TopRow*> rows;
    for (const TopRow& row : rows_)
      if (row.all.total.count() > 0) rows.push_back(&row);
    const auto key = [column](const TopRow& row) {
      switch (column) {
        case TopColumn::own_share:
          return row.recent.own;
        case TopColumn::total_share:
          return row.recent.total;
        case TopColumn::own_time:
          return row.all.own;
        case TopColumn::total_time:
          return row.all.total;
      }
      return row.all.own;
    };
    std::sort(rows.begin(), rows.end(), [&](const TopRow* one, const TopRow* other) {
      const auto a = key(*one), b = key(*other);
      return std::tie(b, other->all.own, other->all.total, one->name, one->place) <
             std::tie(a, one->all.own, one->all.total, other->name, other->place);
    });
    return rows;
  }

  static constexpr Id others = 0;
  static constexpr std::size_t most = 100'000;

 private:
  std::vector<TopRow> rows_{{.name = "[others]", .place = "too many to tell apart"}};
  std::unordered_map<std::string, Id> ids_;
};

/// Sums that belong to no function.
struct TopSums {
  std::uint64_t samples = 0;
  std::uint64_t errors = 0;  ///< samples that were dropped, or may lack frames
  std::uint64_t ticks = 0;
  std::chrono::nanoseconds active{};      ///< on a CPU
  std::chrono::nanoseconds gil{};         ///< while the GIL was held
  std::chrono::nanoseconds waiting{};     ///< blocked until the GIL is free
  std::chrono::nanoseconds collecting{};  ///< in the garbage collector

  TopSums& operator+=(const TopSums& other) noexcept {
    samples += other.samples;
    errors += other.errors;
    ticks += other.ticks;
    active += other.active;
    gil += other.gil;
    waiting += other.waiting;
    collecting += other.collecting;
    return *this;
  }
};

/// All that `pyagent top` shows. What is added shows when the interval is finished.
class TopTable {
 public:
  /// A frame's rows: the function's and the line's.
  struct FrameRows {
    TopRows::Id function = TopRows::others;
    TopRows::Id line = TopRows::others;
  };

  TopRows& functions() noexcept { return functions_; }
  TopRows& lines() noexcept { return lines_; }
  const TopRows& functions() const noexcept { return functions_; }
  const TopRows& lines() const noexcept { return lines_; }

  /// Adds a stack, leaf first, and the sums of its sample.
  void add_sample(std::span<const FrameRows> frames, std::chrono::nanoseconds weight, const TopSums& sums) {
    ++sample_;
    for (std::size_t i = 0; i < frames.size(); ++i) {
      functions_.add(frames[i].function, sample_, weight, i == 0);
      lines_.add(frames[i].line, sample_, weight, i == 0);
    }
    unfinished_ += sums;
  }
  void add_errors(std::uint64_t errors) noexcept { unfinished_.errors += errors; }
  void add_tick() noexcept { ++unfinished_.ticks; }

  /// Ends the interval, which took `elapsed`, and begins the next one.
  void finish_interval(std::chrono::nanoseconds elapsed) {
    functions_.finish_interval();
    lines_.finish_interval();
    all_ += recent_ = std::exchange(unfinished_, {});
    elapsed_ = elapsed;
  }

  /// Ends sampling, for now or for good: adds what was seen since the last interval to all times, and leaves that
  /// interval as the last one, unless there was none. `elapsed` is the time since then.
  void finish(std::chrono::nanoseconds elapsed) {
    if (elapsed_.count() == 0) return finish_interval(elapsed);
    functions_.add_rest();
    lines_.add_rest();
    all_ += std::exchange(unfinished_, {});
  }

  /// Forgets all times. The interval begins anew.
  void reset() {
    functions_.reset();
    lines_.reset();
    all_ = recent_ = unfinished_ = {};
    elapsed_ = {};
  }

  const TopSums& recent() const noexcept { return recent_; }
  const TopSums& all() const noexcept { return all_; }
  std::chrono::nanoseconds elapsed() const noexcept { return elapsed_; }

  /// `time` as percents of the last interval: a thread that is busy all the time makes 100.
  double percent(std::chrono::nanoseconds time) const noexcept {
    return elapsed_.count() <= 0 ? 0 : 100 * static_cast<double>(time.count()) / static_cast<double>(elapsed_.count());
  }

 private:
  TopRows functions_, lines_;
  TopSums unfinished_, recent_, all_;
  std::chrono::nanoseconds elapsed_{};
  std::uint64_t sample_ = 0;
};

}  // namespace pyagent::tools
