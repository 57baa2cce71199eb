// Lays out the help from the tables of options.
#include "help.hpp"

#include <algorithm>    // max
#include <string_view>  // string_view

#include "pyagent/profile/profile_facts.hpp"

namespace pyagent::tools {
namespace {

/// `  -p, --pid PID`
std::string left_side(const OptionText& option) {
  std::string text = option.letter != 0 ? std::string{"  -"} + option.letter + ", --" : "      --";
  text += option.name;
  if (option.value != nullptr) (text += ' ') += option.value;
  return text;
}

std::string usage(const CommandText& command) {
  std::string text;
  std::string_view rest = command.usage;
  while (!rest.empty()) {
    const auto line = rest.substr(0, rest.find('\n'));
    text +=
        std::string{text.empty() ? "Usage: " : "       "} + "pyagent " + command.name + ' ' + std::string{line} + '\n';
    rest.remove_prefix(std::min(line.size() + 1, rest.size()));
  }
  return text;
}

}  // namespace

std::string version_text() { return std::string{profile::exporter_name.substr(profile::exporter_name.find('@') + 1)}; }

std::string help_text() {
  std::string text =
      "Shows where Python programs spend their time, from outside and without changing them.\n\n"
      "Usage: pyagent COMMAND [OPTION...]\n\nCommands:\n";
  std::size_t width = 0;
  for (const CommandText& command : command_texts()) width = std::max(width, std::string_view{command.name}.size());
  for (const CommandText& command : command_texts()) {
    std::string name = command.name;
    name.resize(width, ' ');
    text += "  " + name + "  " + command.summary + '\n';
  }
  return text +
         "\nA command may be shortened as long as it is clear which one is meant: pyagent r -p 4711.\n"
         "`pyagent COMMAND --help` shows a command's options, `pyagent --version` the version.\n";
}

std::string help_text(const CommandText& command) {
  std::string text = std::string{command.summary} + ".\n\n" + usage(command) + "\nOptions:\n";
  std::size_t width = 0;
  for (const OptionText& option : command.options) width = std::max(width, left_side(option).size());
  for (const OptionText& option : command.options) {
    std::string left = left_side(option);
    left.resize(width, ' ');
    text += left + "  " + option.help + '\n';
  }
  return text;
}

}  // namespace pyagent::tools
