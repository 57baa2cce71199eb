// `pyagent convert`: a profile of what was recorded before.
#pragma once

#include "options.hpp"

namespace pyagent::tools {

/// Gives the exit status: 0 when something could be read, and was written.
int convert(const ConvertOptions& options);

}  // namespace pyagent::tools
