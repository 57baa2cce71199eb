// Reads the command line as CPython does.
#include "command_line.hpp"

#include <unistd.h>  // getpid

#include "pyagent/process/status.hpp"

namespace pyagent::agent {
namespace {

std::string base_name(const std::string& path) { return path.substr(path.rfind('/') + 1); }

/// What follows the option `letter`: in the same word or in the next one.
std::string value_of(const std::vector<std::string>& arguments, std::size_t word, std::size_t letter) {
  const std::string rest = arguments[word].substr(letter + 1);
  return !rest.empty() || word + 1 == arguments.size() ? rest : arguments[word + 1];
}

}  // namespace

std::vector<std::string> read_command_line() { return process::read_command_line(::getpid()).value_or({}); }

// Source: the options of CPython's Python/getopt.c ("SHORT_OPTS"): c and m end them, W and X take a value
std::string name_of_program(const std::vector<std::string>& arguments) {
  if (arguments.empty()) return "python";
  const std::string interpreter = base_name(arguments[0]);
  for (std::size_t word = 1; word < arguments.size(); ++word) {
    const std::string& argument = arguments[word];
    if (argument.size() < 2 || argument[0] != '-') {
      if (argument == "-") return interpreter;
      std::string name = base_name(argument);
      if (name == "__main__.py" || name.empty())
        name = base_name(argument.substr(0, argument.rfind('/', argument.size() - 2)));
      if (const auto dot = name.rfind(".py"); dot != std::string::npos && dot != 0 && dot + 3 == name.size())
        name.resize(dot);
      return name.empty() ? interpreter : name;
    }
    if (argument.starts_with("--")) {
      if (argument == "--check-hash-based-pycs") ++word;
      continue;
    }
    for (std::size_t letter = 1; letter < argument.size(); ++letter) {
      if (argument[letter] == 'c') return interpreter;
      if (argument[letter] == 'm') return value_of(arguments, word, letter);
      if (argument[letter] == 'W' || argument[letter] == 'X') {
        if (letter + 1 == argument.size()) ++word;
        break;
      }
    }
  }
  return interpreter;
}

}  // namespace pyagent::agent
