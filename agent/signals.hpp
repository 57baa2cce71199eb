// The agent's signal, shared with a program that may want it too.
#pragma once

#include <signal.h>  // sigaction

namespace pyagent::agent {

/// Blocks the agent's signal for the calling thread while it lives.
class BlockedSignal {
 public:
  BlockedSignal() noexcept;
  ~BlockedSignal();
  BlockedSignal(const BlockedSignal&) = delete;
  BlockedSignal& operator=(const BlockedSignal&) = delete;

 private:
  sigset_t before_;
};

/// Chooses a signal that nobody handles and installs the handler; false if all that come into question are taken.
bool install_handler() noexcept;

/// Leaves the disposition as exec shall inherit it: default, with nothing pending.
void flush_signal() noexcept;
/// Puts the handler back after an exec that failed.
void reinstall_handler() noexcept;

/// A signal that is not from our timers goes where the program wants it. signal-safe
void forward_signal(int signal, siginfo_t* info, void* context) noexcept;

/// The program's own idea of the disposition of our signal: it sees and sets this one, while the handler stays.
void exchange_disposition(const struct sigaction* wanted, struct sigaction* before) noexcept;

}  // namespace pyagent::agent
