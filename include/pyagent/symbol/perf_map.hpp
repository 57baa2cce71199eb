// /tmp/perf-PID.map: names of code that a JIT compiler made, as it writes them for perf. May allocate
#pragma once

#include <algorithm>    // min
#include <charconv>     // from_chars
#include <cstdint>      // uint64_t
#include <optional>     // optional
#include <string>       // string
#include <string_view>  // string_view
#include <vector>       // vector

#include "pyagent/elf/range_pieces.hpp"

namespace pyagent::inline v0::symbol {

/// Code ranges and their names. A later line takes over what earlier ones said of the same addresses: memory of
/// discarded code is used again.
/// Source: Linux tools/perf/Documentation/jit-interface.txt: START SIZE symbolname, numbers in hexadecimal
class PerfMap {
 public:
  /// No larger file is read, and no more lines of it are taken.
  static constexpr std::size_t largest_file = std::size_t{256} << 20;
  static constexpr std::size_t most_lines = std::size_t{1} << 22;

  PerfMap() = default;

  /// Takes the lines that are whole; the last may be about to be written.
  explicit PerfMap(std::string text) : text_(std::move(text)) {
    std::vector<elf::RankedRange> ranges;
    for (std::string_view rest = text_; !rest.empty() && names_.size() < most_lines;) {
      const std::size_t end = rest.find('\n');
      if (end == rest.npos) break;
      take_line(rest.substr(0, end), ranges);
      rest.remove_prefix(end + 1);
    }
    pieces_ = elf::RangePieces{std::move(ranges)};
  }
  PerfMap(PerfMap&&) = delete;  // names are places in the text

  std::size_t size() const noexcept { return names_.size(); }

  /// The name of the code at an address of the process.
  std::optional<std::string_view> find(std::uint64_t address) const noexcept {
    const auto found = pieces_.find(address);
    if (!found) return std::nullopt;
    return names_[*found];
  }

 private:
  static bool take_number(std::string_view& line, std::uint64_t& number) {
    if (line.starts_with("0x")) line.remove_prefix(2);
    const auto parsed = std::from_chars(line.data(), line.data() + line.size(), number, 16);
    if (parsed.ec != std::errc{} || parsed.ptr == line.data() + line.size() || *parsed.ptr != ' ') return false;
    line.remove_prefix(static_cast<std::size_t>(parsed.ptr - line.data()) + 1);
    return true;
  }

  void take_line(std::string_view line, std::vector<elf::RankedRange>& ranges) {
    std::uint64_t start = 0, size = 0;
    if (!take_number(line, start) || !take_number(line, size) || line.empty() || start + size < start) return;
    const auto index = static_cast<std::uint32_t>(names_.size());
    names_.push_back(line);
    ranges.push_back({start, start + size, index, index});
  }

  std::string text_;
  std::vector<std::string_view> names_;
  elf::RangePieces pieces_;
};

/// True for the names that CPython 3.12 and later give their own trampolines (`python -X perf`): each stands before the
/// eval loop of a Python function, which a merged stack shows anyway.
/// Source: CPython 3.12 Python/perf_trampoline.c, perf_map_write_entry
constexpr bool is_python_trampoline(std::string_view name) noexcept { return name.starts_with("py::"); }

}  // namespace pyagent::inline v0::symbol
