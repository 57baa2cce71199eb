// Names of functions as compilers mangle them, made readable: C++, Rust. May allocate
#pragma once

#include <optional>     // optional
#include <string>       // string
#include <string_view>  // string_view
#include <utility>      // move

#include "pyagent/symbol/cpp_demangle.hpp"
#include "pyagent/symbol/cpp_name.hpp"
#include "pyagent/symbol/rust_legacy_name.hpp"
#include "pyagent/symbol/rust_v0_name.hpp"

namespace pyagent::inline v0::symbol {

/// A longer symbol stays mangled. Those of libLLVM 14 have up to 545 characters, those of rustc 1.95 up to 1222.
inline constexpr std::size_t longest_mangled_name = 16384;

/// The symbol without what compilers append for the pieces and copies of a function, so that all of them count as the
/// one function: `.cold`, `.part.0`, `.constprop.0`, `.isra.0`, `.lto_priv.0`, `.llvm.123`, a number alone.
/// Source: GCC 12 gcc/cgraphclones.cc, clone_function_name and its callers; LLVM 14 FunctionImportUtils.cpp; BOLT
constexpr std::string_view cut_clone_suffix(std::string_view symbol) noexcept {
  constexpr std::string_view clones[] = {"cold",     "part",       "constprop", "isra",
                                         "lto_priv", "localalias", "llvm",      "__uniq"};
  if (const std::size_t llvm = symbol.find(".llvm.");
      llvm != symbol.npos && llvm != 0)  // older ones have hexadecimal digits
    if (symbol.find_first_not_of("0123456789ABCDEF@", llvm + 6) == symbol.npos) symbol = symbol.substr(0, llvm);
  for (;;) {
    const std::size_t dot = symbol.rfind('.');
    if (dot == symbol.npos || dot == 0) return symbol;
    const std::string_view suffix = symbol.substr(dot + 1);
    bool is_clone = !suffix.empty() && suffix.find_first_not_of("0123456789") == suffix.npos;
    for (const std::string_view clone : clones) is_clone = is_clone || suffix == clone;
    if (!is_clone) return symbol;
    symbol = symbol.substr(0, dot);
  }
}

/// The function's qualified name: without parameters and return type (`ns::Class::method`), without a Rust crate's
/// hash, and without a clone's suffix. A symbol that is not mangled, or damaged, stays as it is but for the suffix.
inline std::string demangle(std::string_view symbol) {
  symbol = cut_clone_suffix(symbol);
  if (symbol.size() > longest_mangled_name) return std::string{symbol};
  if (auto rust = demangle_rust_legacy(symbol)) return std::move(*rust);
  if (auto rust = demangle_rust_v0(symbol)) return std::move(*rust);
  if (const auto cpp = demangle_cpp(std::string{symbol})) return strip_parameters(*cpp);
  return std::string{symbol};
}

}  // namespace pyagent::inline v0::symbol
