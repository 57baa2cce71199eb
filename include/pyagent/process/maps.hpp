// What a process has mapped where: /proc/PID/maps.
#pragma once

#include <algorithm>        // min, upper_bound
#include <charconv>         // from_chars
#include <cstdint>          // uint64_t
#include <string>           // string
#include <string_view>      // string_view
#include <sys/sysmacros.h>  // makedev
#include <sys/types.h>      // pid_t, dev_t, ino_t
#include <system_error>     // errc
#include <vector>           // vector

#include "pyagent/base/address.hpp"
#include "pyagent/base/result.hpp"
#include "pyagent/process/proc_file.hpp"

namespace pyagent::inline v0::process {

/// One line of /proc/PID/maps. Source: proc_pid_maps(5)
struct Mapping {
  AddressRange range;
  bool readable = false;
  bool writable = false;
  bool executable = false;
  bool shared = false;
  std::uint64_t offset = 0;  ///< of the first byte in the file
  dev_t device = 0;
  ino_t inode = 0;           ///< 0: not a file
  std::string path;          ///< as the kernel knows it, "[stack]" and the like for what is not a file
  bool deleted = false;      ///< the file has no name any more

  bool is_same_file(const Mapping& other) const noexcept {
    return inode != 0 && inode == other.inode && device == other.device;
  }
};

namespace detail {

/// Takes a number from the front of `text`, and the character behind it when `mark` is not 0.
inline bool take_number(std::string_view& text, std::uint64_t& value, int base, char mark) {
  const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (failed != std::errc{}) return false;
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  if (mark == 0) return true;
  if (text.empty() || text.front() != mark) return false;
  text.remove_prefix(1);
  return true;
}

/// The kernel writes a line break in a path as \012 and nothing else differently (fs/proc/task_mmu.c).
inline std::string unescape_path(std::string_view escaped) {
  std::string path;
  for (std::size_t i = 0; i < escaped.size();) {
    const bool line_break = escaped.substr(i, 4) == "\\012";
    path += line_break ? '\n' : escaped[i];
    i += line_break ? 4 : 1;
  }
  return path;
}

}  // namespace detail

/// Decodes one line, without its line break.
inline Result<Mapping> parse_mapping(std::string_view line) {
  const Error damaged{Errc::damaged};
  Mapping mapping;
  std::uint64_t major = 0, minor = 0, inode = 0;
  if (!detail::take_number(line, mapping.range.begin.value, 16, '-') ||
      !detail::take_number(line, mapping.range.end.value, 16, ' ') || line.size() < 5 || line[4] != ' ')
    return damaged;
  mapping.readable = line[0] == 'r';
  mapping.writable = line[1] == 'w';
  mapping.executable = line[2] == 'x';
  mapping.shared = line[3] == 's';
  line.remove_prefix(5);
  if (!detail::take_number(line, mapping.offset, 16, ' ') || !detail::take_number(line, major, 16, ':') ||
      !detail::take_number(line, minor, 16, ' ') || !detail::take_number(line, inode, 10, 0) ||
      mapping.range.end < mapping.range.begin)
    return damaged;
  mapping.device = makedev(static_cast<unsigned>(major), static_cast<unsigned>(minor));
  mapping.inode = inode;
  line.remove_prefix(std::min(line.find_first_not_of(' '), line.size()));
  constexpr std::string_view mark = " (deleted)";
  mapping.deleted = inode != 0 && line.ends_with(mark);
  if (mapping.deleted) line.remove_suffix(mark.size());
  mapping.path = detail::unescape_path(line);
  return mapping;
}

/// The mappings of a process, in order of address.
class Maps {
 public:
  Maps() = default;
  explicit Maps(std::vector<Mapping> mappings) : mappings_(std::move(mappings)) {}

  auto begin() const noexcept { return mappings_.begin(); }
  auto end() const noexcept { return mappings_.end(); }
  std::size_t size() const noexcept { return mappings_.size(); }
  bool empty() const noexcept { return mappings_.empty(); }
  const Mapping& operator[](std::size_t i) const noexcept { return mappings_[i]; }

  /// The mapping that holds `address`, or null.
  const Mapping* find(Address address) const noexcept {
    const auto after = std::upper_bound(mappings_.begin(), mappings_.end(), address,
                                        [](Address a, const Mapping& m) { return a < m.range.begin; });
    if (after == mappings_.begin()) return nullptr;
    const Mapping& candidate = *(after - 1);
    return candidate.range.contains(address) ? &candidate : nullptr;
  }

 private:
  std::vector<Mapping> mappings_;
};

/// Decodes the text of a maps file.
///
/// Errors: damaged, with the offset of the line in the text.
inline Result<Maps> parse_maps(std::string_view text) {
  std::vector<Mapping> mappings;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    auto mapping = parse_mapping(text.substr(at, end - at));
    if (!mapping) return Error{mapping.error().code, Address{at}};
    mappings.push_back(std::move(*mapping));
    at = end + 1;
  }
  return Maps{std::move(mappings)};
}

/// What process `pid` has mapped now.
inline Result<Maps> read_maps(pid_t pid) {
  const auto text = read_text(proc_path(pid, "maps"));
  if (!text) return text.error();
  return parse_maps(*text);
}

}  // namespace pyagent::inline v0::process
