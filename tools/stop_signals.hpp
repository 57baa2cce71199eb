// Signals that ask a command to come to an end.
#pragma once

#include <sys/types.h>  // pid_t

namespace pyagent::tools {

/// From now on SIGINT, SIGTERM and SIGHUP are remembered and do nothing else, except those that were ignored before,
/// as after nohup. Does what ignore_write_signals does, too. For the rest of the process's life.
void catch_stop_signals();

/// SIGPIPE and SIGXFSZ become errors of the call that caused them. For the rest of the process's life.
void ignore_write_signals() noexcept;

/// Whether one has come.
bool is_stop_asked() noexcept;

/// From now on they are passed on to process `pid`, a child of ours that was not waited for yet; 0 ends that. Those of
/// the terminal are not: it sends them to the child too.
void pass_stop_signals_on(pid_t pid) noexcept;

}  // namespace pyagent::tools
