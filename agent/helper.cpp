// The helper thread: blocks every signal, has a name, is never sampled.
#include "helper.hpp"

#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <sys/prctl.h>
#include <time.h>

#include <algorithm>  // min
#include <cerrno>     // errno

#include "engine.hpp"
#include "finish.hpp"
#include "parked.hpp"
#include "real.hpp"
#include "state.hpp"

namespace pyagent::agent {
namespace {

pthread_t thread;
bool is_started;
sem_t stop;

/// Sleeps until `time` of CLOCK_MONOTONIC; true when it was asked to stop.
bool sleep_until(std::uint64_t time) noexcept {
  const timespec until{static_cast<time_t>(time / 1'000'000'000), static_cast<long>(time % 1'000'000'000)};
  for (;;) {
    if (::sem_clockwait(&stop, CLOCK_MONOTONIC, &until) == 0) return true;
    if (errno != EINTR) return false;
  }
}

void* run(void*) {
  ::prctl(PR_SET_NAME, "pyagent");
  state.helper.store(current_tid());
  const Options& options = output().options;
  const std::uint64_t start = read_clock(CLOCK_MONOTONIC);
  const std::uint64_t end =
      options.duration ? start + static_cast<std::uint64_t>(options.duration->count()) : UINT64_MAX;
  std::uint64_t next = start;
  bool is_stopped = false;
  while (!is_stopped && next < end) {
    if (options.idle) look_at_parked_threads();
    // A late look is one look: what was missed shows as a longer wait, never as a burst.
    next = options.idle ? std::max(next + state.interval, read_clock(CLOCK_MONOTONIC)) : end;
    is_stopped = sleep_until(std::min(next, end));
  }
  if (options.idle) {
    look_at_parked_threads();
    write_parked_threads();
  }
  if (!is_stopped) finish(Ending::duration);
  return nullptr;
}

}  // namespace

void start_helper() noexcept {
  const Options& options = output().options;
  if (!options.idle && !options.duration) return;
  ::sem_init(&stop, 0, 0);
  sigset_t all, before;
  sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);  // the thread inherits it
  is_started = real().pthread_create(&thread, nullptr, run, nullptr) == 0;
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (!is_started) say("can't start the thread that idle and duration need; they are ignored");
}

void stop_helper() noexcept {
  if (!is_started) return;
  is_started = false;
  ::sem_post(&stop);
  ::pthread_join(thread, nullptr);
}

}  // namespace pyagent::agent
