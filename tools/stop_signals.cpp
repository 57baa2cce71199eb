// Remembers the signals that ask for an end.
#include "stop_signals.hpp"

#include <signal.h>

#include <atomic>  // atomic
#include <cerrno>  // errno

namespace pyagent::tools {
namespace {

std::atomic<bool> stop_asked = false;
std::atomic<pid_t> receiver = 0;
static_assert(std::atomic<bool>::is_always_lock_free && std::atomic<pid_t>::is_always_lock_free);

void remember(int number, siginfo_t* info, void*) {
  const int saved_errno = errno;
  stop_asked = true;
  const bool is_from_terminal = info->si_code == SI_KERNEL;
  if (const pid_t pid = receiver; pid != 0 && !is_from_terminal) ::kill(pid, number);
  errno = saved_errno;
}

}  // namespace

void catch_stop_signals() {
  struct sigaction action {};
  sigemptyset(&action.sa_mask);
  action.sa_sigaction = remember;
  action.sa_flags = SA_SIGINFO;  // without SA_RESTART: what waits shall look whether it was asked to stop
  for (const int number : {SIGINT, SIGTERM, SIGHUP}) {
    struct sigaction before {};
    if (::sigaction(number, nullptr, &before) == 0 && before.sa_handler != SIG_IGN)
      ::sigaction(number, &action, nullptr);
  }
  ignore_write_signals();
}

void ignore_write_signals() noexcept {
  ::signal(SIGPIPE, SIG_IGN);
  ::signal(SIGXFSZ, SIG_IGN);
}

bool is_stop_asked() noexcept { return stop_asked; }

void pass_stop_signals_on(pid_t pid) noexcept { receiver = pid; }

}  // namespace pyagent::tools
