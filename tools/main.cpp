// pyagent, the command: finds what is asked for and runs it.
#include <cstdio>       // fputs, fflush
#include <exception>    // exception
#include <span>         // span
#include <string>       // string
#include <string_view>  // string_view

#include "completions.hpp"
#include "convert.hpp"
#include "dump.hpp"
#include "help.hpp"
#include "options.hpp"
#include "record.hpp"
#include "say.hpp"
#include "top.hpp"

namespace pyagent::tools {
namespace {

int print(const std::string& text) {
  const bool written = std::fputs(text.c_str(), stdout) >= 0 && std::fflush(stdout) == 0;
  return written ? 0 : fail("standard output can't be written");
}

int print_completions(const CompletionsOptions& options) { return print(completions(options.shell)); }

/// The commands that `name` is, or may be short for.
std::vector<const CommandText*> find_commands(std::string_view name) {
  std::vector<const CommandText*> found;
  for (const CommandText& command : command_texts()) {
    if (command.name == name) return {&command};
    if (std::string_view{command.name}.starts_with(name)) found.push_back(&command);
  }
  return found;
}

/// The command called `name`; null, which was said, if there is none, or more than one.
const CommandText* find_command(std::string_view name) {
  const auto found = find_commands(name);
  if (found.size() == 1) return found[0];
  std::string names;
  for (const CommandText* command : found) names += std::string{names.empty() ? "" : ", "} + command->name;
  fail("'" + std::string{name} + (found.empty() ? "' is no command" : "' may mean " + names), "see pyagent --help");
  return nullptr;
}

template <class T>
int run(const CommandText& command, const Parsed<T>& parsed, int (*act)(const T&)) {
  if (parsed.wants_help) return print(help_text(command));
  return parsed.options ? act(*parsed.options) : exit_usage;
}

int run_command(const CommandText& command, std::span<char* const> words) {
  const std::string_view name = command.name;
  if (name == "record") return run(command, parse_record(words), record);
  if (name == "dump") return run(command, parse_dump(words), dump);
  if (name == "top") return run(command, parse_top(words), top);
  if (name == "convert") return run(command, parse_convert(words), convert);
  return run(command, parse_completions(words), print_completions);
}

int run_words(std::span<char* const> words) {
  if (words.empty()) return std::fputs(help_text().c_str(), stderr), exit_usage;
  const std::string_view first = words[0];
  const bool asks_about = first == "help" && words.size() > 1;
  if (first == "--version" || first == "-V") return print("pyagent " + version_text() + '\n');
  if (first == "--help" || first == "-h" || (first == "help" && !asks_about)) return print(help_text());
  if (first.starts_with('-'))
    return fail("there is no option " + std::string{first}, "a command comes first; see pyagent --help", exit_usage);
  const CommandText* const command = find_command(asks_about ? words[1] : first);
  if (command == nullptr) return exit_usage;
  return asks_about ? print(help_text(*command)) : run_command(*command, words.subspan(1));
}

}  // namespace
}  // namespace pyagent::tools

int main(int argc, char** argv) {
  using namespace pyagent::tools;
  try {
    return run_words(std::span<char* const>{argv, static_cast<std::size_t>(argc)}.subspan(argc > 0 ? 1 : 0));
  } catch (const std::bad_alloc&) {
    return fail("out of memory");
  } catch (const std::exception& problem) {
    return fail(problem.what());
  }
}
