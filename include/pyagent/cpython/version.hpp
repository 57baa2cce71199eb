// A CPython version as the interpreter states it. signal-safe
#pragma once

#include <compare>  // operator<=>
#include <cstdint>  // uint8_t, uint32_t

namespace pyagent::inline v0::cpython {

/// Version of an interpreter. Source: PY_VERSION_HEX, CPython Include/patchlevel.h
struct Version {
  std::uint8_t major = 0;
  std::uint8_t minor = 0;
  std::uint8_t micro = 0;
  std::uint8_t release = 0xf0;  ///< low byte of PY_VERSION_HEX: 0xf0 is a final release, less a pre-release

  friend constexpr auto operator<=>(const Version&, const Version&) noexcept = default;

  static constexpr Version from_hex(std::uint32_t hex) noexcept {
    return {static_cast<std::uint8_t>(hex >> 24), static_cast<std::uint8_t>(hex >> 16),
            static_cast<std::uint8_t>(hex >> 8), static_cast<std::uint8_t>(hex)};
  }
  constexpr std::uint32_t hex() const noexcept {
    return std::uint32_t{major} << 24 | std::uint32_t{minor} << 16 | std::uint32_t{micro} << 8 | release;
  }
  constexpr bool is_minor(unsigned want_major, unsigned want_minor) const noexcept {
    return major == want_major && minor == want_minor;
  }
  constexpr bool is_final() const noexcept { return (release & 0xf0) == 0xf0; }
};

/// What distinguishes builds of one version whose structures differ.
struct BuildFlags {
  bool debug = false;          ///< Py_DEBUG
  bool trace_refs = false;     ///< Py_TRACE_REFS with list links in each object: up to 3.12, and Py_DEBUG up to 3.7
  bool free_threaded = false;  ///< Py_GIL_DISABLED, 3.13 and later

  friend constexpr bool operator==(const BuildFlags&, const BuildFlags&) noexcept = default;
};

}  // namespace pyagent::inline v0::cpython
