// Installs the handler and keeps the program's own disposition beside it.
#include "signals.hpp"

#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>  // atomic
#include <cstring>

#include "real.hpp"
#include "state.hpp"

namespace pyagent::agent {
namespace {

// Standard signals only: those of real time queue up, one for each tick.
constexpr int candidates[] = {SIGPROF, SIGVTALRM, SIGSTKFLT, SIGPWR};

/// What the program set for our signal. Two copies, so that a handler sees one whole.
struct sigaction shadows[2];
std::atomic<unsigned> shadow_index;

struct sigaction our_action() noexcept {
  struct sigaction action {};
  action.sa_sigaction = pyagent_on_signal;
  action.sa_flags = SA_SIGINFO | SA_RESTART | SA_ONSTACK;
  // Nothing else may be handled on the little stack that our handler moves to; what comes meanwhile comes 20 us later.
  // Faults stay: they can't wait.
  sigfillset(&action.sa_mask);
  for (const int fault : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT, SIGSYS}) sigdelset(&action.sa_mask, fault);
  return action;
}

}  // namespace

BlockedSignal::BlockedSignal() noexcept {
  sigset_t ours;
  sigemptyset(&ours);
  sigaddset(&ours, state.signal);
  ::pthread_sigmask(SIG_BLOCK, &ours, &before_);
}

BlockedSignal::~BlockedSignal() { ::pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

bool install_handler() noexcept {
  for (const int signal : candidates) {
    struct sigaction present {};
    if (real().sigaction(signal, nullptr, &present) != 0) continue;
    if ((present.sa_flags & SA_SIGINFO) != 0 || present.sa_handler != SIG_DFL) continue;
    state.signal = signal;
    shadows[0] = present;
    const struct sigaction action = our_action();
    return real().sigaction(signal, &action, nullptr) == 0;
  }
  return false;
}

void flush_signal() noexcept {
  struct sigaction action {};
  action.sa_handler = SIG_IGN;
  real().sigaction(state.signal, &action, nullptr);
  // What the program asked to be ignored stays ignored in the next one; a handler becomes the default, as always.
  const struct sigaction& shadow = shadows[shadow_index.load() % 2];
  const bool is_ignored = (shadow.sa_flags & SA_SIGINFO) == 0 && shadow.sa_handler == SIG_IGN;
  action.sa_handler = is_ignored ? SIG_IGN : SIG_DFL;
  real().sigaction(state.signal, &action, nullptr);
}

void reinstall_handler() noexcept {
  const struct sigaction action = our_action();
  real().sigaction(state.signal, &action, nullptr);
}

void forward_signal(int signal, siginfo_t* info, void* context) noexcept {
  const struct sigaction shadow = shadows[shadow_index.load(std::memory_order_acquire) % 2];
  if ((shadow.sa_flags & SA_SIGINFO) != 0) {
    if (shadow.sa_sigaction != nullptr) shadow.sa_sigaction(signal, info, context);
  } else if (shadow.sa_handler == SIG_DFL) {
    // Left over from a timer that was just deleted: ours, and nobody's death.
    if (info->si_code == SI_TIMER) return;
    struct sigaction deadly {};
    deadly.sa_handler = SIG_DFL;
    real().sigaction(signal, &deadly, nullptr);
    ::syscall(SYS_tgkill, ::syscall(SYS_getpid), ::syscall(SYS_gettid), signal);  // pending until this handler returns
  } else if (shadow.sa_handler != SIG_IGN) {
    shadow.sa_handler(signal);
  }
}

void exchange_disposition(const struct sigaction* wanted, struct sigaction* before) noexcept {
  const unsigned index = shadow_index.load();
  if (before != nullptr) *before = shadows[index % 2];
  if (wanted == nullptr) return;
  shadows[(index + 1) % 2] = *wanted;
  shadow_index.store(index + 1, std::memory_order_release);
}

}  // namespace pyagent::agent
