// What a person calls a Python program.
#pragma once

#include <cstddef>  // size_t
#include <string>   // string
#include <vector>   // vector

namespace pyagent::inline v0::process {

namespace detail {

/// The last part of a path, whether a slash follows it or not.
inline std::string base_name(std::string path) {
  while (path.size() > 1 && path.ends_with('/')) path.pop_back();
  return path.substr(path.rfind('/') + 1);
}

/// What follows the option `letter`: in the same word or in the next one.
inline std::string value_of(const std::vector<std::string>& arguments, std::size_t word, std::size_t letter) {
  const std::string rest = arguments[word].substr(letter + 1);
  return !rest.empty() || word + 1 == arguments.size() ? rest : arguments[word + 1];
}

/// "app" for "dir/app.py", "dir" for "dir/__main__.py".
inline std::string script_name(const std::string& path) {
  std::string name = base_name(path);
  if (name == "__main__.py" && path.size() > name.size()) name = base_name(path.substr(0, path.size() - name.size()));
  if (const auto dot = name.rfind(".py"); dot != std::string::npos && dot != 0 && dot + 3 == name.size())
    name.resize(dot);
  return name;
}

}  // namespace detail

/// The name of the program that an interpreter with these `arguments` runs: "app" for `python -X dev app.py x`,
/// "http.server" for `python -m http.server`, else the interpreter's own name.
///
/// Source: the options of CPython's Python/getopt.c ("SHORT_OPTS"): c and m end them, W and X take a value
inline std::string program_name(const std::vector<std::string>& arguments) {
  if (arguments.empty()) return "python";
  const std::string interpreter = detail::base_name(arguments[0]);
  for (std::size_t word = 1; word < arguments.size(); ++word) {
    const std::string& argument = arguments[word];
    if (argument.size() < 2 || argument[0] != '-') {
      const std::string name = argument == "-" ? std::string{} : detail::script_name(argument);
      return name.empty() ? interpreter : name;
    }
    if (argument.starts_with("--")) {
      if (argument == "--check-hash-based-pycs") ++word;
      continue;
    }
    for (std::size_t letter = 1; letter < argument.size(); ++letter) {
      if (argument[letter] == 'c') return interpreter;
      if (argument[letter] == 'm') return detail::value_of(arguments, word, letter);
      if (argument[letter] == 'W' || argument[letter] == 'X') {
        if (letter + 1 == argument.size()) ++word;
        break;
      }
    }
  }
  return interpreter;
}

}  // namespace pyagent::inline v0::process
