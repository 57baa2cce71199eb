// Names of the files that profiles are written to. May allocate
#pragma once

#include <string>       // string, to_string
#include <string_view>  // string_view

namespace pyagent::inline v0::format {

/// The name of a profile of `program` when none was asked for: `pyagent-app-%p.speedscope.json`.
inline std::string default_output_name(std::string_view program, bool is_raw) {
  std::string name = "pyagent-" + std::string{program} + "-%p" + (is_raw ? ".raw.txt" : ".speedscope.json");
  for (char& letter : name)
    if (letter == '/' || static_cast<unsigned char>(letter) < 0x20) letter = '_';
  return name;
}

/// `path` with the number of the process in place of each %p.
inline std::string replace_pid(std::string path, int pid) {
  for (auto at = path.find("%p"); at != std::string::npos; at = path.find("%p", at))
    path.replace(at, 2, std::to_string(pid));
  return path;
}

}  // namespace pyagent::inline v0::format
