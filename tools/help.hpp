// The help texts.
#pragma once

#include <string>  // string

#include "options.hpp"

namespace pyagent::tools {

/// The version as people read it: "0.1.0".
std::string version_text();

/// What `pyagent --help` prints.
std::string help_text();

/// What `pyagent COMMAND --help` prints.
std::string help_text(const CommandText& command);

}  // namespace pyagent::tools
