// One look at the threads of one process.
#pragma once

#include <cstdint>   // uint16_t, uint32_t
#include <optional>  // optional
#include <string>    // string
#include <vector>    // vector

#include "options.hpp"
#include "pyagent/interpreter/locals.hpp"
#include "pyagent/recording/records.hpp"
#include "pyagent/sampler/sample_sink.hpp"
#include "pyagent/sampler/target.hpp"

namespace pyagent::tools {

/// One frame of a dump: of Python, or of native code.
struct DumpedFrame {
  std::string name;
  std::string filename;  ///< of native code without line information, the module
  std::string short_filename;
  std::string module{};   ///< path of the library or program; empty for Python frames
  std::int32_t line = 0;  ///< 0 where unknown
  bool is_entry = false;
  bool is_native = false;
  std::uint32_t left_out = 0;  ///< frames between this one and the one it called that are not here
  std::vector<interpreter::Local> locals{};
};

/// One thread of a dump.
struct DumpedThread {
  recording::ThreadRecord record{};
  std::optional<std::uint16_t> flags{};  ///< recording::SampleFlag bits; nothing when the thread runs no Python
  bool is_read = true;                   ///< false: nothing but its id could be read
  bool is_running = false;               ///< on a processor, or ready to be
  std::vector<DumpedFrame> frames{};     ///< leaf first

  bool has(recording::SampleFlag flag) const noexcept {
    return flags && (*flags & static_cast<std::uint16_t>(flag)) != 0;
  }
};

/// One process of a dump.
struct ProcessDump {
  recording::ProcessRecord process;
  bool is_free_threaded = false;
  bool has_shims = false;  ///< 3.12 on: see cpython::EntryMark
  std::vector<DumpedThread> threads;
};

/// Looks at each thread of `target` once. Threads that can't be read as they are, are tried a few times.
///
/// Errors: no_process when the process ends meanwhile; unreadable.
Result<ProcessDump> read_dump(const sampler::Target& target, const DumpOptions& options);

}  // namespace pyagent::tools
