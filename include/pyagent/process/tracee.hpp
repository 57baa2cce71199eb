// One thread under ptrace: stopped for moments, never attached to, and left as it would be without us.
#pragma once

#include <signal.h>       // SIGTRAP, siginfo_t
#include <sys/ptrace.h>   // ptrace
#include <sys/syscall.h>  // SYS_execve
#include <sys/types.h>    // pid_t
#include <sys/wait.h>     // waitid
#include <unistd.h>       // getpid

#include <algorithm>    // any_of, min
#include <cerrno>       // errno
#include <chrono>       // nanoseconds, steady_clock
#include <cstdint>      // uint64_t
#include <ctime>        // clock_nanosleep
#include <string_view>  // string_view
#include <utility>      // as_const, exchange, move
#include <vector>       // vector

#include "pyagent/base/result.hpp"
#include "pyagent/process/interrupted_call.hpp"
#include "pyagent/process/registers.hpp"
#include "pyagent/process/signal_sets.hpp"
#include "pyagent/process/small_file.hpp"
#include "pyagent/process/status.hpp"
#include "pyagent/process/task_files.hpp"

namespace pyagent::inline v0::process {

/// A thread of another process, seized. ptrace(2) knows threads: the one that seized must make all calls. When that one
/// ends, even by SIGKILL, the kernel lets the tracee go on as if it had never been traced.
///
/// Between stops the thread runs freely, but it halts at each signal that is sent to it until `handle_events` passes
/// the signal on: call that often. A tracee that ended must be reaped by it, too, before its process can end or execute
/// a program.
///
/// A system call that came back with EINTR because of us is made again where the kernel doesn't do that itself: a
/// thread sees EINTR only after a handler ran, as ever. On x86-64 only. A relative timeout then begins anew, so a
/// thread that is blocked shouldn't be stopped again and again.
class Tracee {
 public:
  enum class Stop : std::uint8_t {
    stopped,        ///< it stands still until `resume`
    group_stopped,  ///< so does its whole process, by SIGSTOP or the like; `resume` leaves it so
    timeout,        ///< not stopped; when it does stop after all, `handle_events` lets it go on
    gone,           ///< it has ended or is no longer ours
  };

  /// Makes this thread of ours the tracer of thread `tid`, which doesn't notice.
  ///
  /// Errors: no_process; not_permitted, also when another one traces it (see read_tracer) and for threads of our own
  ///         process; inconsistent when it is just executing a program: to be tried again; io_error.
  static Result<Tracee> seize(pid_t tid) noexcept;

  Tracee(Tracee&& other) noexcept : Tracee(std::as_const(other)) { other.state_ = State::gone; }
  Tracee& operator=(Tracee&& other) noexcept {
    let_go();
    *this = std::as_const(other);
    other.state_ = State::gone;
    return *this;
  }
  /// Lets the thread go, as `detach` within a hundredth of a second. One that doesn't stop for that in time, because it
  /// waits uninterruptibly or has no processor, goes to Leftovers.
  ~Tracee() { let_go(); }

  pid_t tid() const noexcept { return tid_; }

  /// Stops the thread. One in an uninterruptible wait (state D, as in vfork) doesn't stop in time.
  Stop stop(std::chrono::nanoseconds budget) noexcept;
  /// As of the last `stop` that gave stopped or group_stopped.
  const Registers& registers() const noexcept { return registers_; }
  /// Ends what `stop` began; the thread gets the signal that may have been on its way to it.
  void resume() noexcept;
  /// Between samples: passes on what happened to the thread, and reaps it at its end, which its process waits for.
  /// False when it is gone.
  bool handle_events() noexcept;
  /// Lets the thread go. False when it didn't stop for that in time: it stays traced, and this may be tried again.
  bool detach(std::chrono::nanoseconds budget) noexcept;

 private:
  enum class State : std::uint8_t {
    running,
    stopped,     ///< by our interrupt, or on the way to a signal's delivery
    group_stop,  ///< reported to us and not yet answered
    listening,   ///< in a group stop that was answered with PTRACE_LISTEN
    gone,
  };

  static constexpr std::chrono::nanoseconds release_budget = std::chrono::milliseconds{10};

  Tracee(pid_t tid, pid_t process, bool is_our_child) noexcept
      : tid_(tid), process_(process), is_our_child_(is_our_child) {}
  Tracee(const Tracee&) = default;
  Tracee& operator=(const Tracee&) = default;
  static Result<Tracee> describe(pid_t tid) noexcept;
  void take_event() noexcept;
  void note_stop(int signal, int event) noexcept;
  void mend_call() noexcept;
  void leave() noexcept;
  void let_go() noexcept;
  void halt(std::chrono::nanoseconds budget) noexcept;
  bool is_halted() const noexcept { return state_ == State::stopped || state_ == State::group_stop; }

  pid_t tid_;
  pid_t process_;
  bool is_our_child_;  ///< a process that we started: whoever did that wants its exit status
  State state_ = State::running;
  int signal_ = 0;  ///< to be delivered when the thread goes on
  RepeatedCall repeated_;
  Registers registers_;
};

/// Threads that did not stop when they were to be let go. They are still traced, and would stand still for ever once they
/// stop: the thread that seized them has to call `handle` now and then until there are none. They go when it ends.
class Leftovers {
 public:
  /// Those that the calling thread has seized.
  static Leftovers& of_this_thread() noexcept {
    static thread_local Leftovers leftovers;
    return leftovers;
  }
  Leftovers(const Leftovers&) = delete;
  Leftovers& operator=(const Leftovers&) = delete;
  ~Leftovers() { is_ending_ = true; }

  bool is_empty() const noexcept { return tracees_.empty(); }
  bool contains(pid_t tid) const noexcept {
    return std::any_of(tracees_.begin(), tracees_.end(), [tid](const Tracee& tracee) { return tracee.tid() == tid; });
  }
  /// Lets go of those that have stopped.
  void handle() noexcept {
    std::erase_if(tracees_, [](Tracee& tracee) { return tracee.detach({}); });
  }
  /// The same until there are none, or for as long as `budget`: one that waits uninterruptibly may take long.
  void drain(std::chrono::nanoseconds budget) noexcept {
    constexpr timespec pause{0, 500'000};
    const auto end = std::chrono::steady_clock::now() + budget;
    for (handle(); !is_empty() && std::chrono::steady_clock::now() < end; handle())
      ::clock_nanosleep(CLOCK_MONOTONIC, 0, &pause, nullptr);
  }

 private:
  friend class Tracee;
  Leftovers() = default;

  std::vector<Tracee> tracees_;
  bool is_ending_ = false;  ///< the kernel lets go of what is left
};

inline void Tracee::let_go() noexcept {
  if (state_ == State::gone || detach(release_budget)) return;
  Leftovers& leftovers = Leftovers::of_this_thread();
  if (!leftovers.is_ending_) leftovers.tracees_.push_back(std::move(*this));
  state_ = State::gone;
}

/// A tracee as /proc describes it; not seized yet, and so nothing that a destructor could let go.
inline Result<Tracee> Tracee::describe(pid_t tid) noexcept {
  char buffer[status_size];
  const auto text = read_small(ProcPath{tid, "status"}, buffer);
  if (!text) return text.error();
  if (const auto state = find_field(*text, "State"); state.starts_with('Z') || state.starts_with('X'))
    return Error{Errc::no_process};
  // Killed, perhaps by the exec of another thread: to seize it would wait for that, see seize.
  const auto signals = parse_signal_sets(*text);
  if (signals && (signals->pending >> (SIGKILL - 1) & 1) != 0) return Error{Errc::no_process};
  std::uint64_t process = 0, parent = 0;
  if (!find_number(*text, "Tgid", process) || !find_number(*text, "PPid", parent)) return Error{Errc::io_error};
  const auto leader = static_cast<pid_t>(process);
  Tracee tracee{tid, leader, tid == leader && parent == static_cast<std::uint64_t>(::getpid())};
  tracee.state_ = State::gone;
  return tracee;
}

inline Result<Tracee> Tracee::seize(pid_t tid) noexcept {
  auto tracee = describe(tid);
  if (!tracee) return tracee;
  // Seizing would wait for the exec, and the exec for threads that end, some of which we may have to reap ourselves.
  char buffer[256];
  const auto text = read_small(ProcPath{tid, "syscall"}, buffer);
  const auto call = text ? parse_system_call(*text) : text.error();
  if (call && (call->number == SYS_execve || call->number == SYS_execveat)) return Error{Errc::inconsistent};
  if (::ptrace(PTRACE_SEIZE, tid, nullptr, nullptr) != 0) {
    const Errc code = process_error(errno);
    const auto anew = describe(tid);  // a zombie is refused with EPERM
    return Error{anew ? code : anew.error().code};
  }
  tracee->state_ = State::running;
  return tracee;
}

inline Tracee::Stop Tracee::stop(std::chrono::nanoseconds budget) noexcept {
  if (state_ == State::listening) take_event();  // SIGCONT may have come
  if (state_ == State::running) halt(budget);
  switch (state_) {
    case State::running:
      return Stop::timeout;
    case State::stopped:
      return Stop::stopped;
    case State::group_stop:
    case State::listening:
      return Stop::group_stopped;
    case State::gone:
      return Stop::gone;
  }
  return Stop::gone;
}

inline void Tracee::resume() noexcept {
  if (!is_halted()) return;
  // Both fail when the thread was killed meanwhile; then its end is the next event.
  if (state_ == State::group_stop) {
    state_ = ::ptrace(PTRACE_LISTEN, tid_, nullptr, nullptr) == 0 ? State::listening : State::running;
    return;
  }
  ::ptrace(PTRACE_CONT, tid_, nullptr, static_cast<std::uintptr_t>(std::exchange(signal_, 0)));
  state_ = State::running;
}

inline bool Tracee::handle_events() noexcept {
  constexpr int most_events = 64;  // a thread under a rain of signals must not keep us here
  for (int i = 0; i < most_events && !is_halted(); ++i) {
    take_event();
    if (!is_halted()) break;
    resume();
  }
  return state_ != State::gone;
}

inline bool Tracee::detach(std::chrono::nanoseconds budget) noexcept {
  if (state_ == State::running || state_ == State::listening) halt(budget);
  if (state_ == State::gone) return true;
  if (!is_halted()) return false;
  // Nobody will mend it once we are gone: a signal that is about to run a handler must find EINTR.
  if (Registers now; read_registers(tid_, now) && repeated_.is_next(now)) {
    const auto sets = read_signal_sets(tid_);
    if (sets && sets->has_deliverable()) {
      end_call(now);
      write_registers(tid_, now);
    }
  }
  const bool is_left = ::ptrace(PTRACE_DETACH, tid_, nullptr, static_cast<std::uintptr_t>(signal_)) == 0;
  state_ = is_left ? State::gone : State::running;
  if (!is_left) halt(budget);  // killed meanwhile: to be reaped
  return state_ == State::gone;
}

/// Interrupts the thread and waits until it stands, or for `budget`.
inline void Tracee::halt(std::chrono::nanoseconds budget) noexcept {
  using std::chrono::nanoseconds;
  constexpr nanoseconds spin = std::chrono::microseconds{50}, longest_sleep = std::chrono::milliseconds{1};
  const auto is_out = [&] { return !is_halted() && state_ != State::gone; };
  take_event();  // one that stands already needs no interrupt
  if (is_out() && ::ptrace(PTRACE_INTERRUPT, tid_, nullptr, nullptr) != 0 && errno == ESRCH) {
    take_event();
    if (is_out()) leave();
    return;
  }
  const auto begin = std::chrono::steady_clock::now();
  for (nanoseconds sleep = spin; is_out();) {
    take_event();
    const nanoseconds elapsed = std::chrono::steady_clock::now() - begin;
    if (!is_out() || elapsed >= budget) return;
    if (elapsed < spin) continue;
    const timespec pause{0, static_cast<long>(std::min(sleep, budget - elapsed).count())};
    ::clock_nanosleep(CLOCK_MONOTONIC, 0, &pause, nullptr);
    sleep = std::min(2 * sleep, longest_sleep);
  }
}

/// Takes what the kernel has to tell of the thread, if anything, without waiting.
inline void Tracee::take_event() noexcept {
  if (state_ == State::gone) return;
  const auto id = static_cast<id_t>(tid_);
  siginfo_t info{};
  if (::waitid(P_PID, id, &info, WSTOPPED | WNOHANG | __WALL | (is_our_child_ ? 0 : WEXITED)) != 0) {
    if (errno == ECHILD) leave();
    return;
  }
  if (info.si_pid == 0 && is_our_child_) ::waitid(P_PID, id, &info, WEXITED | WNOHANG | WNOWAIT | __WALL);
  if (info.si_pid == 0) return;
  if (info.si_code == CLD_EXITED || info.si_code == CLD_KILLED || info.si_code == CLD_DUMPED) {
    state_ = State::gone;
  } else if (info.si_code == CLD_TRAPPED) {
    note_stop(info.si_status & 0xff, info.si_status >> 8);
  }
}

/// There is no such tracee any more. A thread that executed a program took over its process's number, and we trace it
/// under that one: let it go, or nobody passes its signals on.
inline void Tracee::leave() noexcept {
  state_ = State::gone;
  if (tid_ == process_) return;
  if (auto successor = describe(process_)) successor->state_ = State::running;
}

/// The thread stands: at the delivery of `signal`, or because of `event`.
inline void Tracee::note_stop(int signal, int event) noexcept {
  state_ = State::running;
  if (!read_registers(tid_, registers_)) return;  // killed meanwhile: its end is the next event
  signal_ = event == 0 ? signal : 0;
  state_ = event != 0 && signal != SIGTRAP ? State::group_stop : State::stopped;
  if (state_ == State::stopped) mend_call();
}

/// Hides from the thread that its system call was interrupted, unless a handler of its own is about to run.
///
/// The signal that runs it may come when we have already set the thread back to before the call; it then finds the
/// thread there, and the call ends with EINTR after all, as epoll_pwait must. What the process ignores is reported to a
/// tracer too and has then interrupted the call, which it wouldn't have done without one.
inline void Tracee::mend_call() noexcept {
  const bool is_interrupted = is_interrupted_call(registers_), is_next = repeated_.is_next(registers_);
  if (!is_interrupted && !is_next) return;
  bool is_caught = signal_ != 0;
  if (is_caught) {
    const auto sets = read_signal_sets(tid_);
    is_caught = !sets || !sets->is_ignored(signal_);
  }
  if (is_interrupted && !is_caught) {
    Registers registers = registers_;
    repeated_ = repeat_call(registers);
    write_registers(tid_, registers);
  } else if (is_next && is_caught) {
    end_call(registers_);
    write_registers(tid_, registers_);
  }
}

}  // namespace pyagent::inline v0::process
