// What each command may be asked for.
#pragma once

#include <sys/types.h>  // pid_t

#include <chrono>    // nanoseconds
#include <optional>  // optional
#include <span>      // span
#include <string>    // string
#include <vector>    // vector

#include "pyagent/profile/build_profile.hpp"

namespace pyagent::tools {

/// The formats of profiles.
enum class Format { speedscope, raw };

/// `pyagent record`: a process (`pid`) or a program to start (`command`), one of the two.
struct RecordOptions {
  pid_t pid = 0;
  std::vector<std::string> command;
  bool attach = false;  ///< a started program is sampled from outside
  std::string output;   ///< empty: the default name; %p is the pid
  std::optional<Format> format;
  double rate = 100;  ///< samples per second
  std::optional<std::chrono::nanoseconds> duration;
  bool subprocesses = false;
  bool stop_threads = true;
  bool quiet = false;
  bool native = false;                          ///< frames of native code too
  std::vector<std::string> symbol_directories;  ///< where separate debug files are looked for, besides the usual places
  profile::ProfileOptions shown;                ///< `gil` and `idle` are for the sampling too
};

/// `pyagent convert`.
struct ConvertOptions {
  std::vector<std::string> recordings;
  std::string output;
  std::optional<Format> format;
  std::vector<std::string> symbol_directories;
  profile::ProfileOptions shown;
};

/// `pyagent dump`.
struct DumpOptions {
  pid_t pid = 0;
  int locals = 0;  ///< how often `--locals` was given
  bool json = false;
  bool subprocesses = false;
  bool stop_threads = true;
  bool full_filenames = false;
  bool native = false;
  bool native_all = false;
  std::vector<std::string> symbol_directories;
};

/// `pyagent top`: a process or a program to start, one of the two.
struct TopOptions {
  pid_t pid = 0;
  std::vector<std::string> command;
  double rate = 100;
  double delay = 1;  ///< seconds between redraws
  bool idle = false;
  bool gil = false;
  bool function = false;
  bool subprocesses = false;
  bool full_filenames = false;
  bool stop_threads = true;
  bool native = false;
  bool native_all = false;
  std::vector<std::string> symbol_directories;
};

/// `pyagent completions`.
struct CompletionsOptions {
  std::string shell;
};

/// One option as help and completions show it.
struct OptionText {
  char letter = 0;              ///< 0: it has no short form
  const char* name = "";        ///< without the dashes
  const char* value = nullptr;  ///< what its value is called: `FILE`; null: it has none
  const char* help = "";
};

/// One command as help and completions show it.
struct CommandText {
  const char* name;
  const char* summary;
  const char* usage;    ///< what follows the name; lines after the first are other ways
  const char* operand;  ///< what its other words are: `PROGRAM`, `RECORDING`, `SHELL`; null: it has none
  std::vector<OptionText> options;
};

/// All commands, in the order of the help.
const std::vector<CommandText>& command_texts();

/// What stands on a command line: options, a wish for help, or neither when it can't be understood (which was said).
template <class T>
struct Parsed {
  std::optional<T> options;
  bool wants_help = false;
};

/// Each reads the words after the command's name.
Parsed<RecordOptions> parse_record(std::span<char* const> words);
Parsed<ConvertOptions> parse_convert(std::span<char* const> words);
Parsed<DumpOptions> parse_dump(std::span<char* const> words);
Parsed<TopOptions> parse_top(std::span<char* const> words);
Parsed<CompletionsOptions> parse_completions(std::span<char* const> words);

}  // namespace pyagent::tools
