// Rows of one line program, by address. May allocate.
#pragma once

#include <algorithm>    // stable_sort, upper_bound, is_sorted
#include <cstddef>      // size_t
#include <cstdint>      // uint32_t, uint64_t
#include <string>       // string
#include <string_view>  // string_view
#include <utility>      // move
#include <vector>       // vector

#include "pyagent/dwarf/interval_map.hpp"
#include "pyagent/dwarf/line_program.hpp"

namespace pyagent::inline v0::dwarf {

/// Not the number of any file; 0 is one in DWARF 5.
inline constexpr std::uint32_t no_file = 0xffffffff;

/// Where in the source an instruction comes from; `file` as the line program numbers them.
struct LinePosition {
  std::uint32_t file = no_file;
  std::uint32_t line = 0;
  std::uint32_t column = 0;

  friend constexpr bool operator==(const LinePosition&, const LinePosition&) noexcept = default;
};

/// What a line program says, ready to be searched. The sections must outlive it.
class LineTable {
 public:
  LineTable() = default;
  explicit LineTable(LineProgram program) : program_(std::move(program)) {
    std::vector<Interval> sequences;
    std::size_t first = 0;
    program_.run([&](const LineRow& row) {
      if (!row.ends_sequence) return add(first, row);
      if (const Interval sequence = close(first, row.address); sequence.begin != 0 && sequence.begin < sequence.end) {
        sequences.push_back(sequence);
        ends_.push_back(static_cast<std::uint32_t>(rows_.size()));
        firsts_.push_back(static_cast<std::uint32_t>(first));
      } else {
        rows_.resize(first);
      }
      first = rows_.size();
    });
    rows_.resize(first);
    rows_.shrink_to_fit();
    ranges_ = sequences;
    sequences_ = IntervalMap{std::move(sequences)};
  }

  /// Null where there is no row.
  const LinePosition* find(std::uint64_t address) const noexcept {
    const std::uint32_t sequence = sequences_.find(address);
    if (sequence == IntervalMap::none) return nullptr;
    const auto begin = rows_.begin() + firsts_[sequence], end = rows_.begin() + ends_[sequence];
    const auto after = std::upper_bound(begin, end, address,
                                        [](std::uint64_t wanted, const Row& row) { return wanted < row.address; });
    return after == begin ? nullptr : &(after - 1)->position;
  }

  /// The file's whole path; empty when there is none of that number. `directory` is where the compiler ran.
  std::string path(std::uint64_t file, std::string_view directory) const { return program_.path(file, directory); }

  /// What each sequence covers, in the order of the program.
  const std::vector<Interval>& ranges() const noexcept { return ranges_; }
  std::size_t size() const noexcept { return rows_.size(); }

 private:
  struct Row {
    std::uint64_t address;
    LinePosition position;
  };

  /// Of rows at one address only the last is ever found; a row that repeats the one before adds nothing.
  void add(std::size_t first, const LineRow& row) {
    const LinePosition position{row.file, row.line, row.column};
    if (rows_.size() > first && rows_.back().address == row.address) rows_.pop_back();
    if (rows_.size() > first && rows_.back().position == position && rows_.back().address < row.address) return;
    rows_.push_back({row.address, position});
  }

  Interval close(std::size_t first, std::uint64_t end) {
    const auto begin = rows_.begin() + static_cast<std::ptrdiff_t>(first);
    if (begin == rows_.end()) return {};
    const auto by_address = [](const Row& a, const Row& b) { return a.address < b.address; };
    if (!std::is_sorted(begin, rows_.end(), by_address)) std::stable_sort(begin, rows_.end(), by_address);
    return {begin->address, end, static_cast<std::uint32_t>(firsts_.size()), 0};
  }

  LineProgram program_;
  std::vector<Row> rows_;
  std::vector<std::uint32_t> firsts_, ends_;  ///< rows of each sequence
  std::vector<Interval> ranges_;
  IntervalMap sequences_;
};

}  // namespace pyagent::inline v0::dwarf
