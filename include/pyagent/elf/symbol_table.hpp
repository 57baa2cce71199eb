// Symbols of an ELF image: iterated, and found by name through DT_GNU_HASH.
#pragma once

#include <algorithm>    // max
#include <cstdint>      // uint32_t, uint64_t
#include <elf.h>        // Elf64_Sym
#include <optional>     // optional
#include <span>         // span
#include <string_view>  // string_view

#include "pyagent/elf/file_bytes.hpp"

namespace pyagent::inline v0::elf {

/// A symbol that its image defines.
struct Symbol {
  std::string_view name;       ///< inside the image's bytes
  std::uint64_t value = 0;     ///< address before the load bias is added; offset in the TLS block for STT_TLS
  std::uint64_t size = 0;
  std::uint8_t type = 0;       ///< STT_OBJECT, STT_FUNC, ...
  std::uint8_t binding = 0;    ///< STB_LOCAL, STB_GLOBAL, STB_WEAK
  std::uint16_t section = 0;   ///< number of the section it lies in; SHN_ABS and the like
};

/// Hash of a name in DT_GNU_HASH. Source: binutils 2.25 elf.c, bfd_elf_gnu_hash
constexpr std::uint32_t hash_name(std::string_view name) noexcept {
  std::uint32_t hash = 5381;
  for (const char c : name) hash = hash * 33 + static_cast<unsigned char>(c);
  return hash;
}

/// An array of Elf64_Sym, its names, and for .dynsym the hash table that finds them.
class SymbolTable {
 public:
  SymbolTable() = default;
  SymbolTable(std::span<const std::byte> symbols, std::span<const std::byte> names,
              std::span<const std::byte> gnu_hash = {}) noexcept
      : symbols_(symbols), names_(names), gnu_hash_(gnu_hash) {}

  std::size_t size() const noexcept { return symbols_.size() / sizeof(Elf64_Sym); }

  /// The i-th symbol; none when it is undefined or nameless.
  std::optional<Symbol> at(std::uint64_t i) const noexcept {
    if (i >= size()) return std::nullopt;
    const auto raw = take_value<Elf64_Sym>(symbols_, i * sizeof(Elf64_Sym));
    if (!raw || raw->st_shndx == SHN_UNDEF) return std::nullopt;
    const auto name = take_string(names_, raw->st_name);
    if (name.empty()) return std::nullopt;
    return Symbol{name, raw->st_value, raw->st_size, static_cast<std::uint8_t>(ELF64_ST_TYPE(raw->st_info)),
                  static_cast<std::uint8_t>(ELF64_ST_BIND(raw->st_info)), raw->st_shndx};
  }

  /// Calls `visit(const Symbol&)` for each symbol that is defined here.
  template <class Visit>
  void for_each(Visit&& visit) const {
    for (std::size_t i = 0; i < size(); ++i)
      if (const auto symbol = at(i)) visit(*symbol);
  }

  std::optional<Symbol> find(std::string_view name) const noexcept {
    return gnu_hash_.empty() ? find_by_scan(name) : find_by_hash(name);
  }

  /// Symbols that a hash table leads to, plus those before its first; 0 when it is damaged. A dynamic section does
  /// not say how many symbols there are.
  static std::uint64_t count_symbols(std::span<const std::byte> gnu_hash) noexcept {
    const auto head = take_value<Header>(gnu_hash, 0);
    if (!head) return 0;
    const std::uint64_t buckets = buckets_offset(*head), chains = chains_offset(*head);
    std::uint32_t last = 0;
    for (std::uint64_t i = 0; i < head->bucket_count; ++i) {
      const auto first = take_value<std::uint32_t>(gnu_hash, buckets + i * 4);
      if (!first) return 0;
      last = std::max(last, *first);
    }
    if (last < head->first_symbol) return head->first_symbol;
    for (std::uint64_t i = last;; ++i) {
      const auto link = take_value<std::uint32_t>(gnu_hash, chains + (i - head->first_symbol) * 4);
      if (!link) return 0;
      if ((*link & 1) != 0) return i + 1;
    }
  }

 private:
  struct Header {
    std::uint32_t bucket_count, first_symbol, bloom_words, bloom_shift;
  };
  static constexpr std::uint64_t buckets_offset(const Header& head) noexcept {
    return sizeof(Header) + std::uint64_t{head.bloom_words} * 8;
  }
  static constexpr std::uint64_t chains_offset(const Header& head) noexcept {
    return buckets_offset(head) + std::uint64_t{head.bucket_count} * 4;
  }

  std::optional<Symbol> find_by_scan(std::string_view name) const noexcept {
    for (std::size_t i = 0; i < size(); ++i)
      if (const auto symbol = at(i); symbol && symbol->name == name) return symbol;
    return std::nullopt;
  }

  std::optional<Symbol> find_by_hash(std::string_view name) const noexcept {
    const auto head = take_value<Header>(gnu_hash_, 0);
    if (!head || head->bucket_count == 0) return std::nullopt;
    const std::uint32_t hash = hash_name(name);
    const auto first = take_value<std::uint32_t>(gnu_hash_, buckets_offset(*head) + hash % head->bucket_count * 4);
    if (!first || *first < head->first_symbol) return std::nullopt;
    for (std::uint64_t i = *first;; ++i) {
      const auto link = take_value<std::uint32_t>(gnu_hash_, chains_offset(*head) + (i - head->first_symbol) * 4);
      if (!link) return std::nullopt;
      if ((*link | 1) == (hash | 1))
        if (const auto symbol = at(i); symbol && symbol->name == name) return symbol;
      if ((*link & 1) != 0) return std::nullopt;
    }
  }

  std::span<const std::byte> symbols_, names_, gnu_hash_;
};

}  // namespace pyagent::inline v0::elf
