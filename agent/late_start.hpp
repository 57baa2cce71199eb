// Programs that load Python late.
#pragma once

namespace pyagent::agent {

/// Starts sampling if the program has loaded an interpreter since it was looked at last; else costs next to nothing.
/// Called where an interpreter that is being initialized comes by.
void start_if_python_came();

}  // namespace pyagent::agent
