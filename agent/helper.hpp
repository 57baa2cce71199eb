// The agent's own thread, in the modes that cannot do without: `idle` and `duration`.
#pragma once

namespace pyagent::agent {

/// Starts it if the options ask for it. CPython 3.12 and later warn when a process that has such a thread forks.
void start_helper() noexcept;

/// Ends it and waits until it is gone. Not to be called by itself.
void stop_helper() noexcept;

}  // namespace pyagent::agent
