// The options of each command: what they are called, and what they set.
#include "options.hpp"

#include <getopt.h>

#include <array>         // array
#include <charconv>      // from_chars
#include <cmath>         // isfinite
#include <limits>        // numeric_limits
#include <string_view>   // string_view
#include <system_error>  // errc

#include "say.hpp"

namespace pyagent::tools {
namespace {

/// An option and what it does; `take` gives the problem with a value, empty if there is none.
template <class T>
struct Option {
  OptionText text;
  std::string (*take)(T& options, const std::string& value);
};

std::string take_pid(const std::string& text, pid_t& pid) {
  const bool is_hex = text.starts_with("0x") || text.starts_with("0X");
  const char* const begin = text.data() + (is_hex ? 2 : 0);
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(begin, end, pid, is_hex ? 16 : 10);
  if (error == std::errc{} && stop == end && pid > 0) return {};
  return "pid wants the number of a process, as in --pid 4711 or --pid 0x1267";
}

/// A number above 0 and up to `most`, with what follows it in `text`.
std::optional<double> take_number(std::string_view& text, double most) {
  double value = 0;
  const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || !std::isfinite(value) || value <= 0 || value > most) return {};
  text.remove_prefix(static_cast<std::size_t>(stop - text.data()));
  return value;
}

std::string take_rate(std::string_view text, double& rate) {
  const auto number = take_number(text, 100'000);
  if (!number || !text.empty())
    return "rate wants a number of samples per second, above 0 and up to 100000, as in --rate 100";
  rate = *number;
  return {};
}

std::string take_delay(std::string_view text, double& delay) {
  const auto number = take_number(text, 86'400);
  if (!number || !text.empty()) return "delay wants a number of seconds, as in --delay 2";
  delay = *number;
  return {};
}

std::string take_duration(std::string_view text, std::optional<std::chrono::nanoseconds>& duration) {
  if (text == "unlimited") return duration.reset(), std::string{};  // py-spy's default has this name
  constexpr double longest = 1e9;
  const auto number = take_number(text, longest);
  const double unit = text.empty() || text == "s" ? 1 : text == "m" ? 60 : text == "h" ? 3600 : 0;
  if (!number || unit == 0 || *number * unit > longest)
    return "duration wants a time in seconds, minutes or hours, as in --duration 30, 0.5, 10m or 2h";
  duration = std::chrono::nanoseconds{static_cast<std::int64_t>(*number * unit * 1e9)};
  return {};
}

std::string take_format(const std::string& text, std::optional<Format>& format) {
  if (text == "speedscope")
    format = Format::speedscope;
  else if (text == "raw")
    format = Format::raw;
  else
    return "there is no format '" + text + "'; there are speedscope and raw";
  return {};
}

std::string take_output(const std::string& text, std::string& output) {
  if (text.empty()) return "output wants a file name, as in --output profile.json";
  output = text;
  return {};
}

std::string take_directory(const std::string& text, std::vector<std::string>& directories) {
  if (text.empty()) return "symbols wants a directory, as in --symbols /srv/debug";
  directories.push_back(text);
  return {};
}

// --- options that several commands have ---

template <class T>
constexpr Option<T> pid_option{{'p', "pid", "PID", "the process, in decimal or as 0x and hexadecimal"},
                               [](T& options, const std::string& value) { return take_pid(value, options.pid); }};
template <class T>
constexpr Option<T> rate_option{{'r', "rate", "RATE", "samples per second [100]"},
                                [](T& options, const std::string& value) { return take_rate(value, options.rate); }};
template <class T>
constexpr Option<T> output_option{
    {'o', "output", "FILE", "where the profile goes"},
    [](T& options, const std::string& value) { return take_output(value, options.output); }};
template <class T>
constexpr Option<T> format_option{
    {'f', "format", "FORMAT", "speedscope or raw [by the file's name: raw for .txt, else speedscope]"},
    [](T& options, const std::string& value) { return take_format(value, options.format); }};
template <class T>
constexpr Option<T> symbols_option{
    {0, "symbols", "DIR", "where separate debug files are looked for, besides /usr/lib/debug; may be given again"},
    [](T& options, const std::string& value) { return take_directory(value, options.symbol_directories); }};
constexpr const char* native_help = "frames of C and C++ code too";
constexpr const char* native_all_help = "and those of the interpreter itself";

/// An option without a value that sets a member to true, or to something else.
template <class T, auto member, bool value = true>
constexpr Option<T> flag_option(char letter, const char* name, const char* help) {
  return {{letter, name, nullptr, help}, [](T& options, const std::string&) {
            options.*member = value;
            return std::string{};
          }};
}

/// The same for what is shown of a profile.
template <class T, auto member, bool value = true>
constexpr Option<T> shown_option(char letter, const char* name, const char* help) {
  return {{letter, name, nullptr, help}, [](T& options, const std::string&) {
            options.shown.*member = value;
            return std::string{};
          }};
}

template <class T>
constexpr auto subprocesses_option = flag_option<T, &T::subprocesses>('s', "subprocesses",
                                                                      "the processes it starts too, and theirs");
template <class T>
constexpr auto nonblocking_option = flag_option<T, &T::stop_threads, false>(
    0, "nonblocking", "never stop a thread; stacks that change while they are read are read again or dropped");

/// Asks for native frames as well.
template <class T>
constexpr Option<T> native_all_option{{0, "native-all", nullptr, native_all_help}, [](T& options, const std::string&) {
                                        options.native = true;
                                        if constexpr (requires { options.native_all; })
                                          options.native_all = true;
                                        else
                                          options.shown.native_all = true;
                                        return std::string{};
                                      }};

template <class T>
constexpr std::array shown_options{
    shown_option<T, &profile::ProfileOptions::threads>('t', "threads", "a root frame for each thread"),
    shown_option<T, &profile::ProfileOptions::idle>('i', "idle", "wall time of threads that wait counts too"),
    shown_option<T, &profile::ProfileOptions::gil>('g', "gil", "only threads that hold the GIL"),
    shown_option<T, &profile::ProfileOptions::function>('F', "function",
                                                        "one line per function: its first, not the running one"),
    shown_option<T, &profile::ProfileOptions::show_lines, false>(0, "nolineno", "no line numbers"),
    shown_option<T, &profile::ProfileOptions::full_filenames>(0, "full-filenames",
                                                              "whole paths instead of package/module.py"),
};

// --- the tables ---

const std::vector<Option<RecordOptions>>& record_table() {
  using T = RecordOptions;
  static const std::vector<Option<T>> table = [] {
    std::vector<Option<T>> list{
        pid_option<T>,
        output_option<T>,
        format_option<T>,
        rate_option<T>,
        {{'d', "duration", "TIME", "how long: seconds, or a number with s, m or h [until the program ends]"},
         [](T& options, const std::string& value) { return take_duration(value, options.duration); }},
        subprocesses_option<T>,
    };
    list.insert(list.end(), shown_options<T>.begin(), shown_options<T>.end());
    list.push_back(nonblocking_option<T>);
    list.push_back(flag_option<T, &T::native>('n', "native", native_help));
    list.push_back(native_all_option<T>);
    list.push_back(symbols_option<T>);
    list.push_back(flag_option<T, &T::attach>(0, "attach", "sample a program that is started here from outside"));
    list.push_back(flag_option<T, &T::quiet>('q', "quiet", "say nothing but what went wrong"));
    return list;
  }();
  return table;
}

const std::vector<Option<ConvertOptions>>& convert_table() {
  using T = ConvertOptions;
  static const std::vector<Option<T>> table = [] {
    std::vector<Option<T>> list{output_option<T>, format_option<T>};
    list.insert(list.end(), shown_options<T>.begin(), shown_options<T>.end());
    list.push_back(shown_option<T, &profile::ProfileOptions::native, false>(0, "no-native", "Python frames only"));
    list.push_back(shown_option<T, &profile::ProfileOptions::native_all>(
        0, "native-all", "frames of the interpreter itself, too, if native ones were recorded"));
    list.push_back(symbols_option<T>);
    return list;
  }();
  return table;
}

const std::vector<Option<DumpOptions>>& dump_table() {
  using T = DumpOptions;
  static const std::vector<Option<T>> table{
      pid_option<T>,
      {{'l', "locals", nullptr, "arguments and local variables; twice: longer, and so on"},
       [](T& options, const std::string&) { return ++options.locals, std::string{}; }},
      flag_option<T, &T::json>('j', "json", "JSON, with py-spy's fields"),
      subprocesses_option<T>,
      flag_option<T, &T::full_filenames>(0, "full-filenames", "whole paths instead of package/module.py"),
      flag_option<T, &T::stop_threads, false>(0, "nonblocking", "never stop a thread"),
      flag_option<T, &T::native>('n', "native", native_help),
      native_all_option<T>,
      symbols_option<T>,
  };
  return table;
}

const std::vector<Option<TopOptions>>& top_table() {
  using T = TopOptions;
  static const std::vector<Option<T>> table{
      pid_option<T>,
      rate_option<T>,
      {{0, "delay", "SECONDS", "between redraws [1]"},
       [](T& options, const std::string& value) { return take_delay(value, options.delay); }},
      subprocesses_option<T>,
      flag_option<T, &T::idle>('i', "idle", "threads that wait count too"),
      flag_option<T, &T::gil>('g', "gil", "only threads that hold the GIL"),
      flag_option<T, &T::function>('F', "function", "a row per function, not per line"),
      flag_option<T, &T::full_filenames>(0, "full-filenames", "whole paths instead of package/module.py"),
      nonblocking_option<T>,
      flag_option<T, &T::native>('n', "native", native_help),
      native_all_option<T>,
      symbols_option<T>,
  };
  return table;
}

const std::vector<Option<CompletionsOptions>>& completions_table() {
  static const std::vector<Option<CompletionsOptions>> table;
  return table;
}

constexpr OptionText help_option{'h', "help", nullptr, "this text"};

template <class T>
std::vector<OptionText> texts(const std::vector<Option<T>>& table) {
  std::vector<OptionText> list;
  for (const Option<T>& option : table) list.push_back(option.text);
  list.push_back(help_option);
  return list;
}

// --- reading ---

/// getopt's numbers for the options of a table: above all letters.
constexpr int first_number = 256;

/// What getopt wants to know of the options in `list`.
struct GetoptTables {
  std::string letters;
  std::vector<::option> names;

  GetoptTables(const std::vector<OptionText>& list, bool options_first) : letters(options_first ? "+:" : ":") {
    for (const OptionText& text : list) {
      const int number = first_number + static_cast<int>(names.size());
      names.push_back({text.name, text.value != nullptr ? required_argument : no_argument, nullptr, number});
      if (text.letter == 0) continue;
      letters += text.letter;
      if (text.value != nullptr) letters += ':';
    }
    names.push_back({});
  }
};

/// The place in `list` of the option that getopt calls `number`: its letter, or a number of ours; else the size.
std::size_t find_option(const std::vector<OptionText>& list, int number) {
  if (number >= first_number) return std::min(static_cast<std::size_t>(number - first_number), list.size());
  std::size_t place = number != 0 ? 0 : list.size();
  while (place < list.size() && list[place].letter != number) ++place;
  return place;
}

/// What is wrong with `word`, which getopt did not take. `known` is the option that it belongs to, if any.
std::string describe_bad_option(const std::vector<OptionText>& list, const std::string& word, int letter,
                                std::size_t known) {
  if (known < list.size()) return std::string{"--"} + list[known].name + " takes no value";
  if (!word.starts_with("--")) return std::string{"there is no option -"} + static_cast<char>(letter);
  const std::string name = word.substr(2, word.find('=') - 2);
  std::string meant;
  for (const OptionText& text : list)
    if (std::string_view{text.name}.starts_with(name))
      meant += std::string{meant.empty() ? "" : ", "} + "--" + text.name;
  if (!meant.empty()) return "--" + name + " may mean " + meant;
  return "there is no option --" + name;
}

void complain(const char* command, const std::string& problem) {
  say(std::string{command} + ": " + problem, std::string{"see pyagent "} + command + " --help");
}

/// Reads options into `parsed`, and what is left into `rest`. False when it ends here: help is wanted, or something is
/// wrong and was said.
template <class T>
bool read_options(const char* command, const std::vector<Option<T>>& table, std::span<char* const> words,
                  bool options_first, Parsed<T>& parsed, std::vector<std::string>& rest) {
  const std::vector<OptionText> list = texts(table);
  const GetoptTables tables{list, options_first};
  std::string name = command;
  std::vector<char*> arguments{name.data()};
  arguments.insert(arguments.end(), words.begin(), words.end());
  const int count = static_cast<int>(arguments.size());
  arguments.push_back(nullptr);
  T options;
  optind = 0;  // 0 makes glibc and musl begin anew
  opterr = 0;
  for (;;) {
    const int number = ::getopt_long(count, arguments.data(), tables.letters.c_str(), tables.names.data(), nullptr);
    if (number == -1) break;
    const std::size_t place = find_option(list, number == '?' || number == ':' ? optopt : number);
    if (number == ':')
      return complain(command, std::string{"--"} + list[place].name + " wants a value: " + list[place].value), false;
    if (number == '?') {
      const std::string word = optind > 0 ? arguments[static_cast<std::size_t>(optind - 1)] : "";
      return complain(command, describe_bad_option(list, word, optopt, place)), false;
    }
    if (place == table.size()) return parsed.wants_help = true, false;
    if (const std::string problem = table[place].take(options, optarg != nullptr ? optarg : ""); !problem.empty())
      return complain(command, problem), false;
  }
  rest.assign(arguments.begin() + optind, arguments.end() - 1);
  parsed.options = std::move(options);
  return true;
}

/// A process or a program to start: one of the two.
template <class T>
Parsed<T> parse_process_or_command(const char* command, const std::vector<Option<T>>& table,
                                   std::span<char* const> words) {
  Parsed<T> parsed;
  std::vector<std::string> rest;
  if (!read_options(command, table, words, true, parsed, rest)) return parsed;
  if (parsed.options->pid != 0 && !rest.empty()) {
    complain(command, "either a process with --pid or a program to start, not both: '" + rest[0] + "'");
    return {};
  }
  if (parsed.options->pid == 0 && rest.empty()) {
    complain(command, "which process? Name it with --pid PID, or a program to start after --");
    return {};
  }
  parsed.options->command = std::move(rest);
  return parsed;
}

/// Native frames begin with a thread's registers, and only a stopped one shows them.
template <class T>
Parsed<T> refuse_native_nonblocking(const char* command, Parsed<T> parsed) {
  if (!parsed.options || !parsed.options->native || parsed.options->stop_threads) return parsed;
  complain(command, "--native has to stop threads to see their registers, so it does not go with --nonblocking");
  return {};
}

}  // namespace

const std::vector<CommandText>& command_texts() {
  static const std::vector<CommandText> commands{
      {"record", "Samples a program and writes a profile", "-p PID [OPTION...]\n[OPTION...] -- PROGRAM [ARGUMENT...]",
       "PROGRAM", texts(record_table())},
      {"dump", "Shows what each thread of a process is doing now", "-p PID [OPTION...]", nullptr, texts(dump_table())},
      {"top", "Shows live where a program spends its time", "-p PID [OPTION...]\n[OPTION...] -- PROGRAM [ARGUMENT...]",
       "PROGRAM", texts(top_table())},
      {"convert", "Makes a profile of what a recording holds", "RECORDING... -o FILE [OPTION...]", "RECORDING",
       texts(convert_table())},
      {"completions", "Prints what makes a shell complete pyagent's options", "bash|zsh|fish", "SHELL",
       texts(completions_table())},
  };
  return commands;
}

Parsed<RecordOptions> parse_record(std::span<char* const> words) {
  return refuse_native_nonblocking("record", parse_process_or_command("record", record_table(), words));
}

Parsed<TopOptions> parse_top(std::span<char* const> words) {
  return refuse_native_nonblocking("top", parse_process_or_command("top", top_table(), words));
}

Parsed<DumpOptions> parse_dump(std::span<char* const> words) {
  Parsed<DumpOptions> parsed;
  std::vector<std::string> rest;
  if (!read_options("dump", dump_table(), words, false, parsed, rest)) return parsed;
  if (parsed.options->pid != 0 && rest.empty()) return refuse_native_nonblocking("dump", std::move(parsed));
  complain("dump", rest.empty() ? "which process? Name it with --pid PID"
                                : "'" + rest[0] + "' has no meaning here; name a process with --pid PID");
  return {};
}

Parsed<ConvertOptions> parse_convert(std::span<char* const> words) {
  Parsed<ConvertOptions> parsed;
  std::vector<std::string> rest;
  if (!read_options("convert", convert_table(), words, false, parsed, rest)) return parsed;
  parsed.options->recordings = std::move(rest);
  if (parsed.options->recordings.empty())
    complain("convert", "which recording? Name one or more files that end in .pyagent");
  else if (parsed.options->output.empty())
    complain("convert", "where to? Name a file with --output FILE");
  else
    return parsed;
  return {};
}

Parsed<CompletionsOptions> parse_completions(std::span<char* const> words) {
  Parsed<CompletionsOptions> parsed;
  std::vector<std::string> rest;
  if (!read_options("completions", completions_table(), words, false, parsed, rest)) return parsed;
  if (rest.size() == 1 && (rest[0] == "bash" || rest[0] == "zsh" || rest[0] == "fish")) {
    parsed.options->shell = rest[0];
    return parsed;
  }
  complain("completions", "which shell? There are bash, zsh and fish");
  return {};
}

}  // namespace pyagent::tools
