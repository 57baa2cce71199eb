// What the process was started as.
#pragma once

#include <string>  // string
#include <vector>  // vector

namespace pyagent::agent {

/// Arguments of this process from /proc/self/cmdline; empty if it can't be read.
std::vector<std::string> read_command_line();

/// What a person calls the program: "app" for `python -X dev app.py x`, "http.server" for `python -m http.server`,
/// else the interpreter's own name.
std::string name_of_program(const std::vector<std::string>& arguments);

}  // namespace pyagent::agent
