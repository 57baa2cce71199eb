// Functions of an image by address, with their extents. May allocate
#pragma once

#include <elf.h>  // STT_FUNC, SHF_EXECINSTR

#include <algorithm>    // sort, max, min, upper_bound
#include <cstdint>      // uint64_t
#include <optional>     // optional
#include <span>         // span
#include <string_view>  // string_view
#include <tuple>        // tuple
#include <vector>       // vector

#include "pyagent/elf/image.hpp"
#include "pyagent/elf/range_pieces.hpp"

namespace pyagent::inline v0::elf {

/// A function as a symbol table has it.
struct FunctionSymbol {
  std::string_view name;  ///< inside the image's bytes; without a version
  std::uint64_t start = 0;
  std::uint64_t end = 0;
  /// The symbol has no size (assembler): `end` is where the next symbol or its section's end forbids it to go on.
  bool is_open_ended = false;
};

/// Functions of one module, from the symbol tables of its file and of its debug file.
///
/// An address that lies in no symbol's extent has no symbol: naming it after the nearest one before it would be wrong
/// in every stripped library, where only the few exported functions have symbols.
class SymbolIndex {
 public:
  /// No more symbols than this are taken of all images together.
  static constexpr std::size_t most_symbols = std::size_t{1} << 23;

  SymbolIndex() = default;

  /// The images must outlive the index.
  explicit SymbolIndex(std::span<const Image* const> images) {
    for (const Image* image : images) {
      collect(*image, image->static_symbols());
      collect(*image, image->dynamic_symbols());
    }
    close_open_ends();
    arrange();
  }

  std::size_t size() const noexcept { return symbols_.size(); }

  /// Calls `visit(name)` for each function, once for each of its names.
  template <class Visit>
  void for_each_name(Visit&& visit) const {
    for (const Candidate& symbol : symbols_) visit(symbol.name);
  }

  /// The function whose extent holds `address`, the innermost where they are nested. Of names for the same code the
  /// better known one: see `quality`.
  std::optional<FunctionSymbol> find(std::uint64_t address) const noexcept {
    const auto found = pieces_.find(address);
    if (!found) return std::nullopt;
    const Candidate& symbol = symbols_[*found];
    return FunctionSymbol{symbol.name, symbol.start, symbol.end, symbol.is_open_ended};
  }

 private:
  struct Candidate {
    std::string_view name;
    std::uint64_t start, end;
    std::uint64_t limit;  ///< end of the section, or segment, that it lies in
    std::uint8_t type, binding;
    bool is_open_ended;
  };

  /// Marks of `$x` (code) and `$d` (data) in ARM objects; not names of anything.
  /// Source: ELF for the Arm 64-bit Architecture, 4.5.7 "Mapping symbols"
  static constexpr bool is_mapping_symbol(std::string_view name) noexcept {
    return name.size() >= 2 && name[0] == '$' && std::string_view{"adtx"}.find(name[1]) != name.npos &&
           (name.size() == 2 || name[2] == '.');
  }

  void collect(const Image& image, const SymbolTable& table) {
    for (std::size_t i = 0; i < table.size() && symbols_.size() < most_symbols; ++i) {
      const auto symbol = table.at(i);
      if (!symbol || is_mapping_symbol(symbol->name)) continue;
      const bool is_function = symbol->type == STT_FUNC || symbol->type == STT_GNU_IFUNC;
      // A label without type or size is a function only if other files may call it: local ones are jump targets.
      const bool may_be_function = symbol->type == STT_NOTYPE && (symbol->size != 0 || symbol->binding != STB_LOCAL);
      if (!is_function && !may_be_function) continue;
      const auto limit = code_end(image, *symbol);
      if (!limit) continue;
      const std::uint64_t end = symbol->value + std::min(symbol->size, *limit - symbol->value);
      symbols_.push_back({symbol->name.substr(0, symbol->name.find('@')), symbol->value, end, *limit, symbol->type,
                          symbol->binding, symbol->size == 0});
    }
  }

  /// Where the code around the symbol ends; nothing when it lies in no code.
  static std::optional<std::uint64_t> code_end(const Image& image, const Symbol& symbol) noexcept {
    const auto holds = [&](std::uint64_t start, std::uint64_t size) {
      return symbol.value >= start && symbol.value - start < size && start + size > start;
    };
    if (symbol.section < image.sections().size()) {
      const Section& section = image.sections()[symbol.section];
      if ((section.flags & SHF_EXECINSTR) == 0 || !holds(section.address, section.size)) return std::nullopt;
      return section.address + section.size;
    }
    if (symbol.section == SHN_ABS || symbol.section == SHN_COMMON) return std::nullopt;
    for (const Segment& segment : image.segments())
      if (segment.executable && holds(segment.address, segment.memory_size))
        return segment.address + segment.memory_size;
    return std::nullopt;
  }

  static constexpr std::size_t leading_underscores(std::string_view name) noexcept {
    if (name.starts_with("_Z") || name.starts_with("_R")) return 0;  // mangled: no part of the name that is shown
    return std::min(name.find_first_not_of('_'), name.size());
  }

  /// What makes one name of some code better than another, the worse first: a typed symbol, one with fewer underscores
  /// before it (`read` is weak in glibc, `__read` is not), a global one, one without a clone's suffix; then the
  /// alphabet decides, so that it is the same in each run.
  static bool is_worse(const Candidate& a, const Candidate& b) noexcept {
    const auto binding = [](const Candidate& symbol) {
      return symbol.binding == STB_GLOBAL ? 2 : symbol.binding == STB_WEAK ? 1 : 0;
    };
    const auto quality = [&](const Candidate& symbol) {
      return std::tuple{symbol.type != STT_NOTYPE, -static_cast<std::ptrdiff_t>(leading_underscores(symbol.name)),
                        binding(symbol), symbol.name.find('.') == symbol.name.npos};
    };
    const auto of_a = quality(a), of_b = quality(b);
    return of_a != of_b ? of_a < of_b : a.name > b.name;
  }

  /// Gives symbols without a size the code up to the next symbol; drops those inside a symbol that has one.
  void close_open_ends() {
    std::sort(symbols_.begin(), symbols_.end(), [](const Candidate& a, const Candidate& b) {
      return a.start != b.start ? a.start < b.start : a.is_open_ended < b.is_open_ended;
    });
    std::uint64_t covered = 0;  // up to here by symbols with a size
    std::size_t kept = 0;
    for (std::size_t i = 0, next = 0; i < symbols_.size(); ++i) {
      Candidate symbol = symbols_[i];
      if (!symbol.is_open_ended) {
        covered = std::max(covered, symbol.end);
      } else {
        if (symbol.start < covered) continue;
        for (next = std::max(next, i); next < symbols_.size() && symbols_[next].start == symbol.start;) ++next;
        symbol.end = next < symbols_.size() ? std::min(symbol.limit, symbols_[next].start) : symbol.limit;
      }
      symbols_[kept++] = symbol;
    }
    symbols_.resize(kept);
    symbols_.shrink_to_fit();
  }

  void arrange() {
    std::sort(symbols_.begin(), symbols_.end(), [](const Candidate& a, const Candidate& b) {
      if (a.start != b.start) return a.start < b.start;
      return a.end != b.end ? a.end > b.end : is_worse(a, b);
    });
    std::vector<RankedRange> ranges(symbols_.size());
    for (std::uint32_t i = 0; i < symbols_.size(); ++i) ranges[i] = {symbols_[i].start, symbols_[i].end, i, i};
    pieces_ = RangePieces{std::move(ranges)};
  }

  std::vector<Candidate> symbols_;
  RangePieces pieces_;
};

}  // namespace pyagent::inline v0::elf
