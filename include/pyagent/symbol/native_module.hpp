// One module of native code, with all that names its addresses. May allocate
#pragma once

#include <array>        // array
#include <charconv>     // to_chars
#include <cstdint>      // int32_t, uint64_t
#include <optional>     // optional
#include <string>       // string
#include <string_view>  // string_view
#include <utility>      // move
#include <vector>       // vector

#include "pyagent/dwarf/debug_info.hpp"
#include "pyagent/dwarf/find_eh_frame.hpp"
#include "pyagent/dwarf/find_rule.hpp"
#include "pyagent/elf/symbol_index.hpp"
#include "pyagent/symbol/cython_lines.hpp"
#include "pyagent/symbol/cython_name.hpp"
#include "pyagent/symbol/demangle.hpp"
#include "pyagent/symbol/module_files.hpp"

namespace pyagent::inline v0::symbol {

/// One level of a native frame.
struct NativeLocation {
  std::string name;         ///< of the function, as people write it
  std::string file;         ///< source file; empty when not known
  std::int32_t line = 0;    ///< 1-based; 0 when not known
  std::int32_t column = 0;  ///< 1-based; 0 when not known
  bool is_inlined = false;  ///< into the next location
  bool is_glue = false;     ///< Cython's, around the code that the program wrote: see is_hidden
};

/// Whether `location` tells nothing that its stack does not: it is a helper of Cython's, or a wrapper whose code is
/// inlined into it or called by it. `inside` is the location one level further in, null for the leaf.
inline bool is_hidden(const NativeLocation& location, const NativeLocation* inside) {
  const bool is_helper = location.name.starts_with("__Pyx_") || location.name.starts_with("__pyx_");
  return location.is_glue && (is_helper || (inside != nullptr && inside->name == location.name));
}

/// A module whose files were opened.
class NativeModule {
 public:
  NativeModule(const recording::ModuleRecord& module, const elf::DebugPlaces& places)
      : name_(elf::base_name(detail::path_without_mark(module.path))), files_(find_module_files(module, places)) {
    if (name_.empty()) name_ = "[unknown module]";
    std::vector<const elf::Image*> images;
    if (files_.debug) images.push_back(&files_.debug->image());
    if (files_.code) images.push_back(&files_.code->image());
    symbols_ = elf::SymbolIndex{images};
    for (const elf::Image* image : images)
      if (!debug_info_) open_debug_info(*image);
    if (files_.code)
      if (const auto unwind_info = dwarf::find_eh_frame(files_.code->image())) unwind_info_ = *unwind_info;
    symbols_.for_each_name([&](std::string_view symbol) { learn_cython(symbol); });
  }
  NativeModule(NativeModule&&) = delete;  // symbols and debug information refer to the files

  const std::vector<std::string>& remarks() const noexcept { return files_.remarks; }

  /// The functions at an address of the file, innermost first. Never empty.
  std::vector<NativeLocation> locate(std::uint64_t address, CythonFiles& cython, bool shorten) {
    const auto symbol = find_symbol(address);
    auto frames = debug_info_ ? debug_info_->find(address) : std::vector<dwarf::SourceFrame>{};
    if (frames.empty()) frames.emplace_back();
    std::vector<NativeLocation> locations;
    for (std::size_t i = 0; i < frames.size(); ++i) {
      dwarf::SourceFrame& frame = frames[i];
      const bool is_function = i + 1 == frames.size();
      const std::string_view raw =
          is_function && symbol && is_better(symbol->name, frame) ? symbol->name : std::string_view{frame.name};
      std::string name = raw.empty() ? name_of_nameless(address) : demangle(raw);
      NativeLocation location{{}, std::move(frame.file), frame.line, frame.column, !is_function};
      translate_cython(name, location, cython);
      location.name = shorten ? shorten_templates(name) : std::move(name);
      locations.push_back(std::move(location));
    }
    return locations;
  }

 private:
  void open_debug_info(const elf::Image& image) {
    auto info = dwarf::DebugInfo::open(image);
    if (info) {
      debug_info_ = std::move(*info);
    } else if (info.error().code != Errc::not_found) {
      const auto& file = files_.debug && &image == &files_.debug->image() ? files_.debug : files_.code;
      const bool lacks_library = info.error().code == Errc::unsupported_build;
      files_.remarks.push_back(
          "debug information of " + file->path() + " was not read: " +
          (lacks_library ? "it is compressed, and the library for that (libz.so.1 or libzstd.so.1) is not installed"
                         : message(info.error())));
    }
  }

  /// The symbol at `address`; one without size only as far as its function goes by .eh_frame.
  std::optional<elf::FunctionSymbol> find_symbol(std::uint64_t address) const {
    const auto symbol = symbols_.find(address);
    if (!symbol || !symbol->is_open_ended || !unwind_info_) return symbol;
    const auto own = dwarf::find_function(*unwind_info_, symbol->start);
    if (own && address >= own->end) return std::nullopt;
    const auto other = dwarf::find_function(*unwind_info_, address);
    if (other && other->start > symbol->start) return std::nullopt;
    return symbol;
  }

  /// A linker's symbol names the function that was emitted. It is better than what DWARF says when that has no whole
  /// name (clang's inlined, unnamed namespaces), or is the C library's inner name (`__GI___read`) for a known one.
  static bool is_better(std::string_view symbol, const dwarf::SourceFrame& frame) {
    if (frame.name.empty()) return true;
    if (frame.is_linkage_name) return false;
    return symbol.starts_with("_Z") || symbol.starts_with("_R") ||
           (frame.name.starts_with("__") && !symbol.starts_with("_"));
  }

  std::string name_of_nameless(std::uint64_t address) const {
    constexpr std::uint64_t page = 4096;
    std::uint64_t start = address / page * page;
    if (unwind_info_)
      if (const auto function = dwarf::find_function(*unwind_info_, address)) start = function->start;
    std::array<char, 16> digits;
    const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), start, 16).ptr;
    return name_ + "+0x" + std::string{digits.data(), end};
  }

  void learn_cython(std::string_view symbol) {
    if (symbol.find("__pyx_pw_") == symbol.npos && symbol.find("__pyx_gb_") == symbol.npos) return;
    cython_names_.learn(demangle(symbol));
  }

  /// Cython's code gets the names and lines of the program it was made from.
  void translate_cython(std::string& name, NativeLocation& location, CythonFiles& cython) {
    const CythonName decoded = cython_names_.decode(name);
    if (decoded.kind == CythonKind::none) return;
    location.is_glue = decoded.kind == CythonKind::utility || decoded.kind == CythonKind::wrapper;
    if (decoded.kind == CythonKind::code || decoded.kind == CythonKind::wrapper)
      if (auto line = cython.find(location.file, location.line)) {
        location.file = std::move(line->file);
        location.line = line->line;
        location.column = 0;
      }
    if (!decoded.name.empty()) name = decoded.name;
  }

  std::string name_;
  ModuleFiles files_;
  elf::SymbolIndex symbols_;
  std::optional<dwarf::DebugInfo> debug_info_;
  std::optional<dwarf::EhFrame> unwind_info_;
  CythonNames cython_names_;
};

}  // namespace pyagent::inline v0::symbol
