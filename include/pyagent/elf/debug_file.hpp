// Separate debug files: found by build-id, by .gnu_debuglink, in directories that the user names. May allocate
#pragma once

#include <unistd.h>  // access

#include <cstdlib>      // getenv
#include <optional>     // optional
#include <span>         // span
#include <string>       // string
#include <string_view>  // string_view
#include <utility>      // move
#include <vector>       // vector

#include "pyagent/elf/build_id.hpp"
#include "pyagent/elf/debug_link.hpp"
#include "pyagent/elf/image_file.hpp"

namespace pyagent::inline v0::elf {

/// Where files with symbols are looked for.
struct DebugPlaces {
  std::vector<std::string> directories;  ///< named by the user; tried first
  std::vector<std::string> system_directories{"/usr/lib/debug"};
  std::vector<std::string> roots;  ///< before a path of the target: /proc/PID/root; "" is always tried last
  std::string debuginfod_cache = find_debuginfod_cache();  ///< read, never filled; empty: none

  /// The directory in which debuginfod's client keeps what it fetched. Source: debuginfod_find_debuginfo(3)
  static std::string find_debuginfod_cache() {
    if (const char* const named = std::getenv("DEBUGINFOD_CACHE_PATH"); named != nullptr && *named != 0) return named;
    if (const char* const cache = std::getenv("XDG_CACHE_HOME"); cache != nullptr && *cache != 0)
      return std::string{cache} + "/debuginfod_client";
    if (const char* const home = std::getenv("HOME"); home != nullptr && *home != 0)
      return std::string{home} + "/.cache/debuginfod_client";
    return {};
  }
};

/// A file that stood where one was looked for, and was not used.
struct RejectedFile {
  std::string path;
  std::string reason;
};

/// A debug file, or why there is none.
struct DebugFile {
  std::optional<ImageFile> file;
  std::vector<RejectedFile> rejected;
};

/// The part of a path behind its last slash.
constexpr std::string_view base_name(std::string_view path) noexcept { return path.substr(path.rfind('/') + 1); }
/// The part before it, without the slash.
constexpr std::string_view directory_name(std::string_view path) noexcept {
  return path.substr(0, path.rfind('/') == path.npos ? 0 : path.rfind('/'));
}

/// "ab/cdef..." of a build-id; empty for one too short to be a name.
inline std::string build_id_path(std::span<const std::byte> build_id) {
  if (build_id.size() < 2) return {};
  const std::string hex = to_hex(build_id);
  return hex.substr(0, 2) + "/" + hex.substr(2);
}

/// Why a file could not be read as an ELF file.
inline std::string unreadable_reason(Error error) {
  return error.code == Errc::wrong_type ? "it is no ELF file" : message(error);
}

namespace detail {

/// Takes the first file that is the one meant.
class DebugFileSearch {
 public:
  DebugFileSearch(std::span<const std::byte> build_id, const std::optional<DebugLink>& link,
                  std::string_view module_path)
      : build_id_(build_id), link_(link), module_path_(module_path) {}

  void try_file(const std::string& path) {
    if (found_.file || path == module_path_ || ::access(path.c_str(), F_OK) != 0) return;
    for (const RejectedFile& known : found_.rejected)
      if (known.path == path) return;
    auto file = ImageFile::open(path);
    const std::string reason = file ? judge(file->image()) : unreadable_reason(file.error());
    if (reason.empty())
      found_.file = std::move(*file);
    else
      found_.rejected.push_back({path, reason});
  }

  DebugFile take() { return std::move(found_); }

 private:
  /// What is wrong with a file; empty: nothing.
  std::string judge(const Image& image) const {
    if (!build_id_.empty()) {
      if (find_build_id(image).empty()) return "it has no build-id";
      if (!is_same_build(build_id_, find_build_id(image))) return "its build-id differs";
    } else if (!link_) {
      return "without a build-id or a debug link nothing says that it belongs to the module";
    } else if (crc32(image.bytes()) != link_->crc) {
      return "its checksum is not the one in .gnu_debuglink";
    }
    const bool has_names = image.static_symbols().size() > 1 || image.find_section(".debug_info") != nullptr ||
                           image.find_section(".zdebug_info") != nullptr;
    return has_names ? "" : "it has neither symbols nor debug information";
  }

  std::span<const std::byte> build_id_;
  const std::optional<DebugLink>& link_;
  std::string_view module_path_;
  DebugFile found_;
};

inline void try_user_directories(DebugFileSearch& search, const DebugPlaces& places, const std::string& path,
                                 const std::string& id, const std::optional<DebugLink>& link) {
  const std::string name{base_name(path)};
  for (const std::string& directory : places.directories) {
    if (!id.empty())
      for (const char* place : {"/.build-id/", "/"}) {
        search.try_file(directory + place + id + ".debug");
        search.try_file(directory + place + id);
      }
    if (link) search.try_file(directory + "/" + link->name);
    for (const char* suffix : {".debug", ""}) {
      if (path.starts_with('/')) search.try_file(directory + path + suffix);
      search.try_file(directory + "/" + name + suffix);
    }
  }
}

inline void try_system_places(DebugFileSearch& search, const DebugPlaces& places, const std::string& root,
                              const std::string& path, const std::string& id, const std::optional<DebugLink>& link) {
  if (!id.empty())
    for (const std::string& directory : places.system_directories)
      search.try_file(root + directory + "/.build-id/" + id + ".debug");
  if (!link) return;
  const std::string where{directory_name(path)};
  search.try_file(root + where + "/" + link->name);
  search.try_file(root + where + "/.debug/" + link->name);
  if (!path.starts_with('/')) return;
  for (const std::string& directory : places.system_directories)
    search.try_file(root + directory + where + "/" + link->name);
}

}  // namespace detail

/// The file with the symbols or debug information of the module that was loaded from `path`.
///
/// A file is taken only if it has the module's build-id; where the module has none, only if its checksum is that of the
/// debug link. Nothing is fetched from a network.
/// Errors: none; `rejected` names the files that were there and why they were not used.
inline DebugFile find_debug_file(const DebugPlaces& places, const std::string& path,
                                 std::span<const std::byte> build_id, const std::optional<DebugLink>& link) {
  detail::DebugFileSearch search{build_id, link, path};
  const std::string id = build_id_path(build_id);
  detail::try_user_directories(search, places, path, id, link);
  for (const std::string& root : places.roots) detail::try_system_places(search, places, root, path, id, link);
  detail::try_system_places(search, places, "", path, id, link);
  if (!build_id.empty() && !places.debuginfod_cache.empty())
    search.try_file(places.debuginfod_cache + "/" + to_hex(build_id) + "/debuginfo");
  return search.take();
}

}  // namespace pyagent::inline v0::elf
