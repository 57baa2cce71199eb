// Names of code that lies in no file, from the perf map of its process. May allocate
#pragma once

#include <sys/stat.h>  // stat
#include <unistd.h>    // geteuid

#include <chrono>   // steady_clock, seconds
#include <cstdint>  // uint64_t
#include <memory>   // unique_ptr
#include <string>   // string
#include <utility>  // move
#include <vector>   // vector

#include "pyagent/process/namespaces.hpp"
#include "pyagent/process/small_file.hpp"
#include "pyagent/symbol/perf_map.hpp"
#include "pyagent/symbol/small_text.hpp"

namespace pyagent::inline v0::symbol {

/// Finds names in /tmp/perf-PID.map, which may grow while the process runs.
///
/// Anybody may write to /tmp: the file is taken only if it belongs to the user of the process, to us or to root, and is
/// no symbolic link.
class JitNames {
 public:
  /// `roots` stand before the path, "" is tried last; a process with `pid` 0 has no map.
  explicit JitNames(int pid, std::vector<std::string> roots = {}) : pid_(pid), roots_(std::move(roots)) {
    roots_.emplace_back();
  }

  /// The name of the code at an address of the process; "[unknown code]" for most.
  std::string find(std::uint64_t address) {
    if (const auto name = find_known(address)) return std::string{*name};
    refresh();
    return std::string{find_known(address).value_or("[unknown code]")};
  }

 private:
  static constexpr std::chrono::seconds shortest_pause{1};

  std::optional<std::string_view> find_known(std::uint64_t address) const {
    return map_ == nullptr ? std::nullopt : map_->find(address);
  }

  void refresh() {
    const auto now = std::chrono::steady_clock::now();
    if (pid_ == 0 || (was_read_ && now - read_at_ < shortest_pause)) return;
    was_read_ = true;
    read_at_ = now;
    for (const std::string& path : paths()) {
      struct stat status {};
      if (::lstat(path.c_str(), &status) != 0) continue;
      if (path == path_ && status.st_size == size_) return;
      auto text = read_small_text(path, PerfMap::largest_file, {.users = owners(), .follows_links = false});
      if (!text) continue;
      path_ = path;
      size_ = status.st_size;
      map_ = std::make_unique<const PerfMap>(std::move(*text));
      return;
    }
  }

  /// A process in a pid namespace of its own writes the number that it has there.
  std::vector<std::string> paths() const {
    std::vector<std::string> paths;
    char buffer[process::status_size];
    const auto status = process::read_small(process::ProcPath{pid_, "status"}, buffer);
    const int native = status ? process::detail::parse_native_id(*status) : 0;
    for (const std::string& root : roots_)
      for (const int number : {native, pid_})
        if (number != 0) paths.push_back(root + "/tmp/perf-" + std::to_string(number) + ".map");
    return paths;
  }

  std::vector<uid_t> owners() const {
    std::vector<uid_t> users{0, ::geteuid()};
    struct stat status {};
    if (::stat(process::ProcPath{pid_, "."}.c_str(), &status) == 0) users.push_back(status.st_uid);
    return users;
  }

  int pid_;
  std::vector<std::string> roots_;
  std::unique_ptr<const PerfMap> map_;
  std::string path_;
  off_t size_ = 0;
  bool was_read_ = false;
  std::chrono::steady_clock::time_point read_at_{};
};

}  // namespace pyagent::inline v0::symbol
