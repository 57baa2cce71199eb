// The payload of a process record. May allocate
#pragma once

#include <cstdint>  // uint64_t
#include <string>   // string

#include "pyagent/recording/encoder.hpp"
#include "pyagent/recording/records.hpp"

namespace pyagent::inline v0::recording {

/// Bytes that a process record has room for.
inline constexpr std::size_t process_record_size = 16 * 1024;

/// Writes what Reader::process gives back. Long texts are cut: 4 KiB of the path, 8 KiB of the command.
inline void encode_process(const ProcessRecord& process, Encoder& out) {
  const auto number = [](auto value) { return static_cast<std::uint64_t>(value); };
  for (const std::uint64_t value :
       {number(process.pid), number(process.parent), number(process.interval.count()), number(process.started.count()),
        number(process.started_wall_clock.count())})
    out.put_uleb(value);
  out.put_text(process.engine);
  out.put_text(process.python_version);
  out.put_text(process.executable.substr(0, 4096));
  std::string command;
  for (const std::string& argument : process.command) command += argument + '\0';
  out.put_text(command.substr(0, 8192));
}

}  // namespace pyagent::inline v0::recording
