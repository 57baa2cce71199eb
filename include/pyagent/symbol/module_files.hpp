// The files of a recorded module: its code, and its symbols if they are elsewhere. May allocate
#pragma once

#include <elf.h>       // Elf64_Ehdr
#include <sys/auxv.h>  // getauxval, AT_SYSINFO_EHDR

#include <algorithm>  // max
#include <cstdint>    // uint64_t
#include <optional>   // optional
#include <span>       // span
#include <string>     // string
#include <utility>    // move
#include <vector>     // vector

#include "pyagent/elf/debug_file.hpp"
#include "pyagent/recording/records.hpp"

namespace pyagent::inline v0::symbol {

/// What was found of a module. Either file may be missing.
struct ModuleFiles {
  std::optional<elf::ImageFile> code;   ///< what was loaded
  std::optional<elf::ImageFile> debug;  ///< a separate file with its symbols or debug information
  std::vector<std::string> remarks;     ///< what could not be had, and why: one sentence each
};

namespace detail {

/// The file of the kernel's code that each process has mapped; not_found without one.
inline Result<elf::ImageFile> view_own_vdso() {
  const auto start = static_cast<std::uintptr_t>(::getauxval(AT_SYSINFO_EHDR));
  if (start == 0) return Error{Errc::not_found};
  Elf64_Ehdr header;
  const auto* const bytes = reinterpret_cast<const std::byte*>(start);
  std::memcpy(&header, bytes, sizeof header);
  // Our own kernel's, so its size is believed: it is mapped whole, the section headers last.
  const std::uint64_t size =
      std::max<std::uint64_t>(sizeof header, header.e_shoff + std::uint64_t{header.e_shnum} * header.e_shentsize);
  constexpr std::uint64_t largest = 65536;
  if (size > largest) return Error{Errc::too_large};
  return elf::ImageFile::view("[vdso]", {bytes, static_cast<std::size_t>(size)});
}

/// Looks for the file that was loaded.
class CodeFileSearch {
 public:
  CodeFileSearch(const recording::ModuleRecord& module, ModuleFiles& found) : module_(module), found_(found) {}

  void try_file(const std::string& path) {
    if (!found_.code && ::access(path.c_str(), F_OK) == 0) take(elf::ImageFile::open(path), path);
  }

  void take(Result<elf::ImageFile> file, const std::string& path) {
    if (!file) {
      found_.remarks.push_back(path + " was not read: " + elf::unreadable_reason(file.error()));
    } else if (const auto id = elf::build_id_bytes(module_.build_id);
               !id.empty() && !elf::is_same_build(id, elf::find_build_id(file->image()))) {
      found_.remarks.push_back(path + " has changed since it was recorded (its build-id differs): it was not used");
    } else if (!found_.code) {
      found_.code = std::move(*file);
    }
  }

 private:
  const recording::ModuleRecord& module_;
  ModuleFiles& found_;
};

inline std::string path_without_mark(const std::string& path) {
  constexpr std::string_view mark = " (deleted)";  // of /proc/PID/maps
  return path.ends_with(mark) ? path.substr(0, path.size() - mark.size()) : path;
}

inline void find_code(const recording::ModuleRecord& module, const std::string& path, const elf::DebugPlaces& places,
                      ModuleFiles& found) {
  CodeFileSearch search{module, found};
  if (path == "[vdso]") return search.take(view_own_vdso(), path);
  if (path.starts_with('/')) {
    for (const std::string& root : places.roots) search.try_file(root + path);
    search.try_file(path);
  }
  const auto id = elf::build_id_bytes(module.build_id);
  const std::string id_path = elf::build_id_path(id);
  for (const std::string& directory : places.directories) {
    if (!id_path.empty()) search.try_file(directory + "/.build-id/" + id_path);
    if (path.starts_with('/')) search.try_file(directory + path);
    if (!elf::base_name(path).empty()) search.try_file(directory + "/" + std::string{elf::base_name(path)});
  }
  if (!id.empty() && !places.debuginfod_cache.empty())
    search.try_file(places.debuginfod_cache + "/" + elf::to_hex(id) + "/executable");
}

}  // namespace detail

/// Finds the files of `module`: where it was, then where the user says that symbols are.
///
/// A file that has another build-id than the one recorded is never used: it was replaced since. When only a file with
/// symbols is left of a module, that will do for names and lines.
inline ModuleFiles find_module_files(const recording::ModuleRecord& module, const elf::DebugPlaces& places) {
  ModuleFiles found;
  const std::string path = detail::path_without_mark(module.path);
  detail::find_code(module, path, places, found);
  auto id = elf::build_id_bytes(module.build_id);
  std::optional<elf::DebugLink> link;
  if (found.code) {
    if (id.empty()) id = elf::find_build_id(found.code->image());
    link = elf::read_debug_link(found.code->image());
    if (found.code->image().find_section(".debug_info") != nullptr) return found;
  }
  auto debug = elf::find_debug_file(places, path, id, link);
  found.debug = std::move(debug.file);
  for (const auto& rejected : debug.rejected)
    if (!found.debug && (!found.code || rejected.path != found.code->path()))
      found.remarks.push_back(rejected.path + " was not used for " + path + ": " + rejected.reason);
  if (!found.code && !found.debug && found.remarks.empty() && path.starts_with('/'))
    found.remarks.push_back(path + " was not found: its functions have no names");
  return found;
}

}  // namespace pyagent::inline v0::symbol
