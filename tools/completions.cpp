// Builds the completion scripts from the tables of options.
#include "completions.hpp"

#include "options.hpp"

namespace pyagent::tools {
namespace {

/// How the words that an option or a command wants are found, in the three shells.
struct Words {
  std::string_view name;  ///< as options.cpp calls it
  const char* bash;       ///< arguments of compgen
  const char* zsh;        ///< an action of _arguments
  const char* fish;       ///< arguments of complete
};

constexpr Words word_kinds[] = {
    {"PID", R"bash(-W "$(cd /proc && echo [0-9]*)")bash", "_pids", "-x -a '(__fish_complete_pids)'"},
    {"FILE", "-f", "_files", "-r -F"},
    {"FORMAT", "-W 'speedscope raw'", "(speedscope raw)", "-x -a 'speedscope raw'"},
    {"PROGRAM", "-c", nullptr, "-x -a '(__fish_complete_subcommand)'"},
    {"RECORDING", "-f", "_files", "-F"},
    {"SHELL", "-W 'bash zsh fish'", "(bash zsh fish)", "-x -a 'bash zsh fish'"},
    {"", "-W ''", " ", "-x"},  // nothing that can be guessed: numbers
};

const Words& words_for(const char* name) {
  const Words* kind = word_kinds;
  while (!kind->name.empty() && kind->name != name) ++kind;
  return *kind;
}

std::string replace_all(std::string text, std::string_view from, std::string_view to) {
  for (auto at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size()))
    text.replace(at, from.size(), to);
  return text;
}

std::string flags_of(const OptionText& option) {
  return (option.letter != 0 ? std::string{"-"} + option.letter + ' ' : std::string{}) + "--" + option.name;
}

// --- bash ---

std::string bash_command(const CommandText& command) {
  std::string values, flags;
  for (const OptionText& option : command.options) {
    flags += flags_of(option) + ' ';
    if (option.value == nullptr) continue;
    values += "        " + replace_all(flags_of(option), " ", "|") + ") _pyagent_words " +
              words_for(option.value).bash + "; return ;;\n";
  }
  flags.pop_back();
  std::string text = std::string{"    "} + command.name + ")\n";
  if (!values.empty()) text += "      case $previous in\n" + values + "      esac\n";
  text += "      if [[ $current == -* ]]; then _pyagent_words -W '" + flags + "'\n";
  if (command.operand != nullptr)
    text += std::string{"      else _pyagent_words "} + words_for(command.operand).bash + '\n';
  return text + "      fi ;;\n";
}

std::string bash() {
  std::string names, cases;
  for (const CommandText& command : command_texts()) {
    names += std::string{command.name} + ' ';
    cases += bash_command(command);
  }
  names += "--help --version";
  return R"bash(# Completions of pyagent for bash: eval "$(pyagent completions bash)"
_pyagent_words() {
  [[ $1 == -f ]] && compopt -o filenames
  mapfile -t COMPREPLY < <(compgen "$@" -- "$current")
}
_pyagent() {
  local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]} i
  COMPREPLY=()
  if [[ $current == = ]]; then current=
  elif [[ $previous == = ]]; then previous=${COMP_WORDS[COMP_CWORD-2]}
  fi
  if ((COMP_CWORD == 1)); then _pyagent_words -W ')bash" +
         names + R"bash('; return; fi
  for ((i = 2; i < COMP_CWORD; ++i)); do
    [[ ${COMP_WORDS[i]} == -- ]] || continue
    if ((i + 1 == COMP_CWORD)); then _pyagent_words -c; else _pyagent_words -f; fi
    return
  done
  case ${COMP_WORDS[1]} in
)bash" + cases +
         R"bash(  esac
}
complete -F _pyagent pyagent
)bash";
}

// --- zsh ---

std::string zsh_quote(const std::string& text) { return "'" + replace_all(text, "'", R"('\'')") + "'"; }

std::string zsh_text(const char* text) {
  std::string escaped = text;
  for (const char* letter : {"[", "]", ":"}) escaped = replace_all(escaped, letter, std::string{"\\"} + letter);
  return escaped;
}

std::string zsh_option(const OptionText& option) {
  const bool takes_value = option.value != nullptr;
  const std::string tail = '[' + zsh_text(option.help) + ']' +
                           (takes_value ? std::string{":"} + option.value + ':' + words_for(option.value).zsh : "");
  const std::string name = std::string{"--"} + option.name;
  if (option.letter == 0) return ' ' + zsh_quote(name + (takes_value ? "=" : "") + tail);
  const std::string letter = std::string{"-"} + option.letter;
  // An option that was given is not offered again; `--locals` may be.
  const std::string without = option.letter == 'l' ? "*" : '(' + letter + ' ' + name + ')';
  return ' ' + zsh_quote(without + letter + (takes_value ? "+" : "") + tail) + ' ' +
         zsh_quote(without + name + (takes_value ? "=" : "") + tail);
}

std::string zsh_operand(const CommandText& command) {
  if (command.operand == nullptr) return {};
  if (const char* action = words_for(command.operand).zsh)
    return std::string{" '*:"} + command.operand + ':' + action + "'";
  return " '(-):program: _command_names -e' '*::argument: _normal'";
}

std::string zsh() {
  std::string names, cases;
  for (const CommandText& command : command_texts()) {
    names += "    " + zsh_quote(std::string{command.name} + ':' + zsh_text(command.summary)) + '\n';
    cases += std::string{"        "} + command.name + ") _arguments -s -S";
    for (const OptionText& option : command.options) cases += " \\\n         " + zsh_option(option);
    cases += zsh_operand(command) + " ;;\n";
  }
  return R"zsh(#compdef pyagent
# Completions of pyagent for zsh: source <(pyagent completions zsh)
_pyagent() {
  local curcontext=$curcontext state line
  local -a own_names=(
)zsh" + names +
         R"zsh(  )
  _arguments -C '(- *)'{-h,--help}'[this text]' '(- *)'{-V,--version}'[the version]' '1: :->command' '*:: :->argument'
  case $state in
    command) _describe command own_names ;;
    argument)
      case $line[1] in
)zsh" + cases +
         R"zsh(      esac ;;
  esac
}
if [[ $funcstack[1] == _pyagent ]]; then _pyagent "$@"; else compdef _pyagent pyagent; fi
)zsh";
}

// --- fish ---

std::string fish_quote(const std::string& text) {
  return "'" + replace_all(replace_all(text, "\\", "\\\\"), "'", "\\'") + "'";
}

std::string fish() {
  std::string text = "# Completions of pyagent for fish: pyagent completions fish | source\ncomplete -c pyagent -f\n";
  const std::string first = "complete -c pyagent -n __fish_use_subcommand ";
  for (const CommandText& command : command_texts())
    text += first + "-a " + command.name + " -d " + fish_quote(command.summary) + '\n';
  text += first + "-s h -l help -d 'this text'\n" + first + "-s V -l version -d 'the version'\n";
  for (const CommandText& command : command_texts()) {
    const std::string start = std::string{"complete -c pyagent -n '__fish_seen_subcommand_from "} + command.name + "' ";
    for (const OptionText& option : command.options) {
      text += start;
      if (option.letter != 0) text += std::string{"-s "} + option.letter + ' ';
      text += std::string{"-l "} + option.name + ' ';
      if (option.value != nullptr) text += std::string{words_for(option.value).fish} + ' ';
      text += "-d " + fish_quote(option.help) + '\n';
    }
    if (command.operand != nullptr) text += start + words_for(command.operand).fish + '\n';
  }
  return text;
}

}  // namespace

std::string completions(std::string_view shell) { return shell == "bash" ? bash() : shell == "zsh" ? zsh() : fish(); }

}  // namespace pyagent::tools
