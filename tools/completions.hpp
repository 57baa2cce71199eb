// What makes shells complete pyagent's commands and options.
#pragma once

#include <string>       // string
#include <string_view>  // string_view

namespace pyagent::tools {

/// The script for `shell`, which is bash, zsh or fish; to be evaluated there, or kept where the shell looks for
/// completions.
std::string completions(std::string_view shell);

}  // namespace pyagent::tools
