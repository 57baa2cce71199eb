// What a section holds, decompressed when it is compressed. May allocate.
#pragma once

#include <elf.h>  // Elf64_Chdr, SHF_COMPRESSED, ELFCOMPRESS_ZLIB

#include <cstddef>      // byte, size_t
#include <cstdint>      // uint64_t
#include <cstring>      // memcmp
#include <span>         // span
#include <string>       // string
#include <string_view>  // string_view
#include <utility>      // move

#include "pyagent/elf/decompress.hpp"
#include "pyagent/elf/file_bytes.hpp"
#include "pyagent/elf/image.hpp"

namespace pyagent::inline v0::elf {

/// A view of the file, which must outlive it then, or a decompressed copy.
class SectionBytes {
 public:
  SectionBytes() = default;
  explicit SectionBytes(std::span<const std::byte> view) noexcept : view_(view) {}
  explicit SectionBytes(OwnedBytes copy) noexcept : copy_(std::move(copy)) {}

  std::span<const std::byte> bytes() const noexcept { return is_copy() ? copy_.bytes() : view_; }
  bool is_copy() const noexcept { return !copy_.bytes().empty(); }

 private:
  std::span<const std::byte> view_;
  OwnedBytes copy_;
};

namespace detail {

/// Source: gABI, "Section Compression"; ELFCOMPRESS_ZSTD is 2 and too young for glibc 2.36's elf.h.
inline Result<SectionBytes> read_compressed(std::span<const std::byte> bytes, const DecompressionLibraries& libraries) {
  constexpr std::uint32_t zstd = 2;
  const auto header = take_value<Elf64_Chdr>(bytes, 0);
  if (!header) return header.error();
  if (header->ch_type != ELFCOMPRESS_ZLIB && header->ch_type != zstd) return Error{Errc::unsupported_build};
  const auto kind = header->ch_type == zstd ? Compression::zstd : Compression::zlib;
  auto copy = decompress(kind, bytes.subspan(sizeof(Elf64_Chdr)), header->ch_size, libraries);
  if (!copy) return copy.error();
  return SectionBytes{std::move(*copy)};
}

/// What binutils wrote before there was SHF_COMPRESSED: "ZLIB", the size in 8 bytes, most significant first.
inline Result<SectionBytes> read_old_compressed(std::span<const std::byte> bytes,
                                                const DecompressionLibraries& libraries) {
  constexpr std::size_t header_size = 12;
  if (bytes.size() < header_size) return Error{Errc::truncated};
  if (std::memcmp(bytes.data(), "ZLIB", 4) != 0) return Error{Errc::damaged};
  std::uint64_t size = 0;
  for (std::size_t i = 4; i < header_size; ++i) size = size << 8 | std::to_integer<std::uint64_t>(bytes[i]);
  auto copy = decompress(Compression::zlib, bytes.subspan(header_size), size, libraries);
  if (!copy) return copy.error();
  return SectionBytes{std::move(*copy)};
}

}  // namespace detail

/// What section `name` of `image` holds; `.zdebug_x` is taken for a `.debug_x` that is not there.
///
/// Errors: not_found without such a section; unsupported_build when it is compressed in a way, or needs a library, that
///         is not there; truncated, damaged and too_large.
inline Result<SectionBytes> read_section_bytes(const Image& image, std::string_view name,
                                               const DecompressionLibraries& libraries = {}) {
  if (const Section* const section = image.find_section(name)) {
    const auto bytes = image.read_section(*section);
    if (!bytes) return bytes.error();
    if ((section->flags & SHF_COMPRESSED) != 0 && section->type != SHT_NOBITS)
      return detail::read_compressed(*bytes, libraries);
    return SectionBytes{*bytes};
  }
  if (name.starts_with(".debug_")) {
    if (const Section* const section = image.find_section(".z" + std::string{name.substr(1)})) {
      const auto bytes = image.read_section(*section);
      if (!bytes) return bytes.error();
      return detail::read_old_compressed(*bytes, libraries);
    }
  }
  return Error{Errc::not_found};
}

}  // namespace pyagent::inline v0::elf
