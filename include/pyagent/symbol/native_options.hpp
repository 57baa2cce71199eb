// Where the native frames of a process get their names from. May allocate
#pragma once

#include <filesystem>    // equivalent, exists
#include <string>        // string, to_string
#include <system_error>  // error_code
#include <utility>       // move
#include <vector>        // vector

#include "pyagent/symbol/native_symbols.hpp"

namespace pyagent::inline v0::symbol {

/// Options for the frames of process `pid`, which may have ended: its perf map, and its own root directory if that is
/// another one than ours.
inline NativeOptions native_options(int pid, std::vector<std::string> symbol_directories = {}) {
  NativeOptions options{.symbol_directories = std::move(symbol_directories), .roots = {}, .pid = pid};
  const std::string root = "/proc/" + std::to_string(pid) + "/root";
  std::error_code failed;
  if (std::filesystem::exists(root, failed) && !std::filesystem::equivalent(root, "/", failed) && !failed)
    options.roots.push_back(root);
  return options;
}

}  // namespace pyagent::inline v0::symbol
