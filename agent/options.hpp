// What PYAGENT asks for.
#pragma once

#include <chrono>       // nanoseconds
#include <optional>     // optional
#include <string>       // string
#include <string_view>  // string_view
#include <vector>       // vector

namespace pyagent::agent {

/// The agent's options: the names of the command's long options, in one variable, parted by commas.
struct Options {
  enum class Format { speedscope, raw };
  /// `monotonic` ticks in wall time and interrupts blocking calls: for tests that need more samples than the tick
  /// gives.
  enum class Clock { cpu, monotonic };

  double rate = 100;   ///< samples per second of CPU time
  std::string output;  ///< empty: the default name; %p is the pid
  Format format = Format::speedscope;
  bool idle = false;            ///< threads that are off the CPU count too
  bool threads = false;         ///< a root frame per thread
  bool gil = false;             ///< only samples that hold the GIL
  bool function = false;        ///< lines of functions, not of instructions
  bool nolineno = false;        ///< no lines
  bool full_filenames = false;  ///< paths as the program has them
  bool quiet = false;           ///< no line at the end
  bool native = false;          ///< frames of native code too
  bool native_all = false;      ///< and those of the interpreter itself
  std::vector<std::string> symbol_directories;  ///< where separate debug files are looked for, besides the usual places
  std::optional<std::chrono::nanoseconds> duration;
  Clock clock = Clock::cpu;

  std::chrono::nanoseconds interval() const { return std::chrono::nanoseconds{static_cast<std::int64_t>(1e9 / rate)}; }
};

/// Reads `text`; on failure the options are nothing and `problem` is a sentence fragment for people.
///
/// Shape: `rate=500,output=prof.json,idle`; a backslash before a comma or a backslash in a value takes its meaning
/// away.
std::optional<Options> parse_options(std::string_view text, std::string& problem);

}  // namespace pyagent::agent
