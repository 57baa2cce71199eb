// Where the interpreter's eval loop lies, by its symbols. May allocate
#pragma once

#include <elf.h>        // STT_FUNC
#include <sys/types.h>  // pid_t

#include <algorithm>    // sort, unique
#include <cstdint>      // uint64_t
#include <string_view>  // string_view
#include <vector>       // vector

#include "pyagent/base/address.hpp"
#include "pyagent/elf/image.hpp"
#include "pyagent/interpreter/loaded_image.hpp"
#include "pyagent/interpreter/runtime.hpp"
#include "pyagent/process/maps.hpp"

namespace pyagent::inline v0::interpreter {

namespace detail {

/// `name` itself or a part that the compiler split off: `name.cold`, `name.part.0`.
inline bool is_part_of(std::string_view symbol, std::string_view name) noexcept {
  return symbol.starts_with(name) && (symbol.size() == name.size() || symbol[name.size()] == '.');
}

inline void add_code(const elf::SymbolTable& symbols, std::string_view name, std::uint64_t bias,
                     std::vector<AddressRange>& out) {
  symbols.for_each([&](const elf::Symbol& symbol) {
    if (symbol.type == STT_FUNC && symbol.size != 0 && is_part_of(symbol.name, name))
      out.push_back({{symbol.value + bias}, {symbol.value + symbol.size + bias}});
  });
}

}  // namespace detail

/// The code of the function that evaluates frames, which is exported by every build: `_PyEval_EvalFrameDefault` (3.6
/// on), before that `PyEval_EvalFrameEx`. What the linker placed apart is there if the file has a full symbol table.
/// Source: PEP 523; CPython 3.5 Python/ceval.c
inline std::vector<AddressRange> find_eval_code(const elf::Image& image, std::uint64_t bias) {
  std::vector<AddressRange> code;
  for (const std::string_view name : {"_PyEval_EvalFrameDefault", "PyEval_EvalFrameEx"}) {
    detail::add_code(image.static_symbols(), name, bias, code);
    detail::add_code(image.dynamic_symbols(), name, bias, code);
    if (!code.empty()) break;
  }
  constexpr auto before = [](const AddressRange& left, const AddressRange& right) { return left.begin < right.begin; };
  constexpr auto same = [](const AddressRange& left, const AddressRange& right) { return left.begin == right.begin; };
  std::sort(code.begin(), code.end(), before);
  code.erase(std::unique(code.begin(), code.end(), same), code.end());
  return code;
}

/// The same for the interpreter of process `pid`; empty when its file can't be had.
template <memory::Memory M>
std::vector<AddressRange> find_eval_code(const M& memory, pid_t pid, const Runtime& runtime) {
  const auto maps = process::read_maps(pid);
  if (!maps) return {};
  for (const process::Mapping& mapping : *maps) {
    if (!mapping.executable || !runtime.image.contains(mapping.range.begin)) continue;
    if (const auto loaded = load_image(memory, pid, *maps, mapping)) return find_eval_code(loaded->image, loaded->bias);
  }
  return {};
}

}  // namespace pyagent::inline v0::interpreter
