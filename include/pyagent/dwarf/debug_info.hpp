// Addresses to functions, files and lines, with what was inlined. May allocate.
#pragma once

#include <algorithm>      // min
#include <cstddef>        // size_t
#include <cstdint>        // int32_t, uint64_t
#include <limits>         // numeric_limits
#include <memory>         // unique_ptr
#include <string>         // string
#include <unordered_map>  // unordered_map
#include <utility>        // move
#include <vector>         // vector

#include "pyagent/dwarf/address_ranges.hpp"
#include "pyagent/dwarf/function_names.hpp"
#include "pyagent/dwarf/info_file.hpp"
#include "pyagent/dwarf/line_table.hpp"
#include "pyagent/dwarf/split_file.hpp"
#include "pyagent/elf/image.hpp"

namespace pyagent::inline v0::dwarf {

/// One level of a call: a function, or one that was inlined into the next.
struct SourceFrame {
  std::string name;              ///< empty when only the line is known
  bool is_linkage_name = false;  ///< `name` is mangled, if the language does that; else it is qualified
  std::string file;              ///< whole path, as far as the compiler knew it; empty when not known
  std::int32_t line = 0;         ///< 0: not known
  std::int32_t column = 0;       ///< 0: not known
};

/// The debug information of a file. What an address needs is read when it is first asked for, and kept.
/// The image's bytes must outlive it.
class DebugInfo {
 public:
  /// No more functions are said to be inlined into each other; those of compilers seldom are ten deep.
  static constexpr std::size_t max_inlined = 256;

  /// Errors: not_found when `image` has no debug information; unsupported_build when it is compressed and the library
  ///         that decompresses is not there; truncated, damaged, too_large.
  static Result<DebugInfo> open(const elf::Image& image) {
    auto sections = read_debug_sections(image);
    if (!sections) return sections.error();
    return DebugInfo{std::move(*sections)};
  }

  /// What stands at `address`, as in the file, before the load bias: innermost first, the function itself last. Empty
  /// when nothing is known.
  std::vector<SourceFrame> find(std::uint64_t address) {
    const std::uint32_t index = unit_of_address_.find(address);
    if (index == IntervalMap::none) return {};
    LoadedUnit& unit = load_unit(index);
    std::vector<SourceFrame> frames;
    const LinePosition* const row = unit.lines->find(address);
    LinePosition position = row == nullptr ? LinePosition{} : *row;
    const FunctionScope* scope = unit.functions.find(address);
    if (scope == nullptr && row == nullptr) return {};
    if (scope == nullptr) return {build_frame(unit, {}, position)};
    for (; scope != nullptr && frames.size() < max_inlined; scope = unit.functions.parent(*scope)) {
      frames.push_back(build_frame(unit, find_name(unit, scope->die), position));
      position = scope->call;
    }
    return frames;
  }

 private:
  struct LoadedUnit {
    const Unit* unit = nullptr;
    FunctionTree functions;
    const LineTable* lines = nullptr;
    std::unique_ptr<SplitFile> split;  ///< where `functions` are from, if not from the file itself
  };

  explicit DebugInfo(LoadedSections sections) : file_(std::make_unique<InfoFile>(std::move(sections))) {
    line_bytes_left_ = 4 * file_->views().lines.size() + 65536;
    loaded_.resize(file_->units().size());
    find_unit_ranges();
  }

  /// What the units cover. Only DW_AT_ranges is sure to be all of it: in DWARF 2 a unit's low_pc and high_pc are those
  /// of its largest part, and the rest is in .debug_aranges, which clang leaves out. If that has nothing, the line
  /// program has.
  void find_unit_ranges() {
    const auto units = file_->units();
    std::vector<Interval> intervals;
    std::vector<bool> is_found(units.size());
    const auto add = [&](std::size_t unit, std::uint64_t begin, std::uint64_t end) {
      intervals.push_back({begin, end, static_cast<std::uint32_t>(unit), 0});
      is_found[unit] = true;
    };
    std::unordered_map<std::uint64_t, std::size_t> unsure;  // by offset
    for (std::size_t i = 0; i < units.size(); ++i) {
      file_->for_each_range_of(units[i], [&](std::uint64_t begin, std::uint64_t end) { add(i, begin, end); });
      if (!units[i].ranges && units[i].tag == DW_TAG_compile_unit) unsure.emplace(units[i].offset, i);
    }
    for_each_address_range(file_->views().address_ranges,
                           [&](std::uint64_t unit, std::uint64_t begin, std::uint64_t end) {
                             if (const auto found = unsure.find(unit); found != unsure.end())
                               add(found->second, begin, end);
                           });
    for (std::size_t i = 0; i < units.size(); ++i) {
      if (is_found[i] || units[i].tag != DW_TAG_compile_unit) continue;
      for (const Interval& sequence : load_lines(units[i]).ranges()) add(i, sequence.begin, sequence.end);
    }
    unit_of_address_ = IntervalMap{std::move(intervals)};
  }

  LoadedUnit& load_unit(std::uint32_t index) {
    auto& place = loaded_[index];
    if (place != nullptr) return *place;
    place = std::make_unique<LoadedUnit>();
    const Unit& unit = file_->units()[index];
    place->unit = &unit;
    place->lines = &load_lines(unit);
    if (!unit.dwo_name.empty()) place->split = SplitFile::open(unit, file_->views());
    place->functions = place->split ? place->split->read_functions() : file_->read_functions(unit);
    return *place;
  }

  /// Programs may be shared, by units that dwz has split.
  const LineTable& load_lines(const Unit& unit) {
    if (!unit.line_program || line_bytes_left_ == 0) return no_lines_;
    const auto [place, is_new] = line_tables_.try_emplace(*unit.line_program);
    if (!is_new) return *place->second;
    auto program = LineProgram::parse(file_->views(), unit, *unit.line_program);
    line_bytes_left_ -= std::min(line_bytes_left_, program ? program->bytes : std::size_t{16});
    place->second = program ? std::make_unique<LineTable>(std::move(*program)) : std::make_unique<LineTable>();
    return *place->second;
  }

  const FunctionName& find_name(LoadedUnit& unit, std::uint64_t die) {
    return unit.split ? unit.split->find_name(die) : names_.find(*file_, die);
  }

  static SourceFrame build_frame(const LoadedUnit& unit, const FunctionName& name, const LinePosition& position) {
    const auto narrow = [](std::uint32_t number) {
      return number > std::uint32_t{std::numeric_limits<std::int32_t>::max()} ? 0 : static_cast<std::int32_t>(number);
    };
    return {name.text, name.is_linkage_name, unit.lines->path(position.file, unit.unit->directory),
            narrow(position.line), narrow(position.column)};
  }

  std::unique_ptr<InfoFile> file_;  // at one place, since units refer to each other
  IntervalMap unit_of_address_;
  std::vector<std::unique_ptr<LoadedUnit>> loaded_;
  std::unordered_map<std::uint64_t, std::unique_ptr<LineTable>> line_tables_;
  LineTable no_lines_;
  FunctionNames names_;
  std::size_t line_bytes_left_ = 0;
};

}  // namespace pyagent::inline v0::dwarf
