// .gnu_debuglink: the name of a separate debug file, and the checksum of its bytes. May allocate
#pragma once

#include <array>     // array
#include <cstdint>   // uint32_t
#include <cstring>   // memcpy
#include <optional>  // optional
#include <span>      // span
#include <string>    // string

#include "pyagent/elf/image.hpp"

namespace pyagent::inline v0::elf {

namespace detail {

using CrcTables = std::array<std::array<std::uint32_t, 256>, 8>;

/// Eight tables, so that eight bytes are taken at once: debug files have hundreds of megabytes.
constexpr CrcTables build_crc_tables() noexcept {
  CrcTables tables{};
  for (std::uint32_t i = 0; i < 256; ++i) {
    std::uint32_t crc = i;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0xedb88320u : 0u);
    tables[0][i] = crc;
  }
  for (std::size_t table = 1; table < tables.size(); ++table)
    for (std::size_t i = 0; i < 256; ++i)
      tables[table][i] = (tables[table - 1][i] >> 8) ^ tables[0][tables[table - 1][i] & 0xff];
  return tables;
}

inline constexpr CrcTables crc_tables = build_crc_tables();

}  // namespace detail

/// CRC-32 of the bytes, as zlib and .gnu_debuglink count it.
/// Source: GDB manual, "Debugging Information in Separate Files", gnu_debuglink_crc32
inline std::uint32_t crc32(std::span<const std::byte> bytes) noexcept {
  const auto& tables = detail::crc_tables;
  std::uint32_t crc = 0xffffffff;
  while (bytes.size() >= 8) {
    std::uint32_t low, high;
    std::memcpy(&low, bytes.data(), 4);
    std::memcpy(&high, bytes.data() + 4, 4);
    low ^= crc;
    crc = tables[7][low & 0xff] ^ tables[6][low >> 8 & 0xff] ^ tables[5][low >> 16 & 0xff] ^ tables[4][low >> 24] ^
          tables[3][high & 0xff] ^ tables[2][high >> 8 & 0xff] ^ tables[1][high >> 16 & 0xff] ^ tables[0][high >> 24];
    bytes = bytes.subspan(8);
  }
  for (const std::byte byte : bytes) crc = (crc >> 8) ^ tables[0][(crc ^ std::to_integer<std::uint32_t>(byte)) & 0xff];
  return ~crc;
}

/// What a stripped file says of the file with its debug information.
struct DebugLink {
  std::string name;  ///< of a file, without a directory
  std::uint32_t crc = 0;
};

/// The debug link of an image; nothing when there is none, or when its name could lead elsewhere.
inline std::optional<DebugLink> read_debug_link(const Image& image) {
  const Section* const section = image.find_section(".gnu_debuglink");
  if (section == nullptr) return std::nullopt;
  const auto bytes = image.read_section(*section).value_or({});
  const auto name = take_string(bytes, 0);
  const auto crc = take_value<std::uint32_t>(bytes, (name.size() + 1 + 3) & ~std::uint64_t{3});
  if (name.empty() || name.size() > 255 || name == "." || name == ".." || name.find('/') != name.npos || !crc)
    return std::nullopt;
  return DebugLink{std::string{name}, *crc};
}

}  // namespace pyagent::inline v0::elf
