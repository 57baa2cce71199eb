// CPython versions as they stand in texts: literals in a binary, banners, file names.
#pragma once

#include <algorithm>    // find
#include <charconv>     // from_chars
#include <cstddef>      // byte, size_t
#include <cstring>      // memchr
#include <optional>     // optional
#include <span>         // span
#include <string>       // string, to_string
#include <string_view>  // string_view
#include <vector>       // vector

#include "pyagent/cpython/layout.hpp"
#include "pyagent/cpython/version.hpp"

namespace pyagent::inline v0::interpreter {

/// "3.9.18", "3.15.0rc2"; "3.9" when the micro version is not known.
inline std::string version_text(cpython::Version version, bool with_micro = true) {
  std::string text = std::to_string(version.major) + "." + std::to_string(version.minor);
  if (!with_micro) return text;
  text += "." + std::to_string(version.micro);
  const char* const level = (version.release >> 4) == 0xa ? "a" : (version.release >> 4) == 0xb ? "b" : "rc";
  if (!version.is_final()) text += level + std::to_string(version.release & 15);
  return text;
}

/// The version that `layout` is of, with "t" and "d" for free-threaded and debug builds: "3.14.0t".
inline std::string build_text(const cpython::Layout& layout) {
  return version_text(layout.version) + (layout.flags.free_threaded ? "t" : "") + (layout.flags.debug ? "d" : "");
}

/// Takes "3.9.18" or "3.15.0rc2" from the front of `text`; a "+" after it, of a build from a branch, is dropped.
///
/// Source: PY_VERSION, CPython Include/patchlevel.h
inline std::optional<cpython::Version> take_version(std::string_view& text) noexcept {
  std::string_view rest = text;
  const auto take_part = [&](std::uint8_t& part) {
    const auto [end, failed] = std::from_chars(rest.data(), rest.data() + rest.size(), part);
    const bool leading_zero = rest.size() > 1 && rest[0] == '0' && end - rest.data() > 1;
    if (failed != std::errc{} || leading_zero) return false;
    rest.remove_prefix(static_cast<std::size_t>(end - rest.data()));
    return true;
  };
  const auto take_word = [&](std::string_view word) {
    const bool there = rest.starts_with(word);
    if (there) rest.remove_prefix(word.size());
    return there;
  };
  cpython::Version version;
  if (!take_part(version.major) || !take_word(".") || !take_part(version.minor) || !take_word(".") || !take_part(version.micro))
    return std::nullopt;
  const unsigned level = take_word("a") ? 0xa0 : take_word("b") ? 0xb0 : take_word("rc") ? 0xc0 : 0;
  if (level != 0) {
    std::uint8_t serial = 0;
    if (!take_part(serial) || serial > 15) return std::nullopt;
    version.release = static_cast<std::uint8_t>(level | serial);
  }
  (void)take_word("+");
  text = rest;
  return version;
}

/// Every "3.9.18" in `bytes` (2.x and 3.x) that `end` follows: "\0" for literals, " (" for the text that Py_GetVersion
/// builds. A linker may have merged the literal into the tail of a longer string, so anything but a digit or a dot may
/// stand before it (seen in pyenv's builds: ".../versions/3.6.15").
inline std::vector<cpython::Version> find_version_texts(std::span<const std::byte> bytes, std::string_view end) {
  const std::string_view text{reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  std::vector<cpython::Version> found;
  for (std::size_t dot = text.find('.'); dot != text.npos; dot = text.find('.', dot + 1)) {
    if (dot == 0 || (text[dot - 1] != '2' && text[dot - 1] != '3')) continue;
    const char before = dot >= 2 ? text[dot - 2] : '\0';
    if (before == '.' || (before >= '0' && before <= '9')) continue;
    std::string_view rest = text.substr(dot - 1);
    const auto version = take_version(rest);
    if (version && rest.starts_with(end) && std::find(found.begin(), found.end(), *version) == found.end()) found.push_back(*version);
  }
  return found;
}

/// Major and minor version that a file name states: python3.9, libpython3.6m.so.1.0, python3.14d-host.
inline std::optional<cpython::Version> find_version_in_name(std::string_view path) noexcept {
  std::string_view name = path.substr(path.rfind('/') + 1);
  if (name.starts_with("lib")) name.remove_prefix(3);
  if (!name.starts_with("python")) return std::nullopt;
  name.remove_prefix(6);
  cpython::Version version;
  const char* const end = name.data() + name.size();
  const auto [dot, no_major] = std::from_chars(name.data(), end, version.major);
  if (no_major != std::errc{} || dot == end || *dot != '.' || (version.major != 2 && version.major != 3)) return std::nullopt;
  const auto [rest, no_minor] = std::from_chars(dot + 1, end, version.minor);
  if (no_minor != std::errc{}) return std::nullopt;
  return version;
}

}  // namespace pyagent::inline v0::interpreter
