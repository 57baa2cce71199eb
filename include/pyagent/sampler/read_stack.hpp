// The Python stacks of a process as they are now: of one thread, or of all. May allocate
#pragma once

#include <sys/types.h>  // pid_t

#include <algorithm>      // any_of, find_if, stable_partition
#include <chrono>         // milliseconds
#include <cstddef>        // size_t
#include <cstdint>        // int32_t
#include <string>         // string
#include <unordered_map>  // unordered_map
#include <utility>        // move
#include <vector>         // vector

#include "pyagent/base/result.hpp"
#include "pyagent/recording/records.hpp"
#include "pyagent/sampler/event_wait.hpp"
#include "pyagent/sampler/options.hpp"
#include "pyagent/sampler/sample_sink.hpp"
#include "pyagent/sampler/sampler.hpp"
#include "pyagent/sampler/target.hpp"
#include "pyagent/symbol/code_symbol.hpp"

namespace pyagent::inline v0::sampler {

/// One Python frame, as people read it.
struct StackFrame {
  std::string name;         ///< qualified where that is known
  std::string file;         ///< as the program has it
  std::int32_t line = 0;    ///< 1-based; 0 where unknown
  std::int32_t column = 0;  ///< 1-based, in UTF-8 bytes; 0 where unknown
};

/// The Python stack of one thread.
struct ThreadStack {
  recording::ThreadRecord thread;
  std::vector<StackFrame> frames;  ///< leaf first; none when no Python function runs in it
  std::uint16_t flags = 0;         ///< recording::SampleFlag bits
  std::uint32_t elided = 0;        ///< frames of a deep stack that are left out before frames[elided_at]
  std::uint32_t elided_at = 0;
  bool is_read = true;  ///< false: it changed each time it was read, and all that is known is its id

  bool has(recording::SampleFlag flag) const noexcept { return (flags & static_cast<std::uint16_t>(flag)) != 0; }
};

/// Reads the stack of the thread with the kernel id `tid`.
///
/// Of `options`, `stop_threads` and `stop_budget` count. The process may be our own, and the thread the one that calls:
/// its frames are those that stood when it called into C. Threads of our own process are never stopped. Another one of
/// them that runs Python meanwhile may change too fast; none does while the caller holds the GIL.
///
/// Each call finds the thread and its code objects anew, which takes milliseconds: whoever wants many makes a Sampler.
///
/// Errors: not_found when Python does not know the thread, or no more; inconsistent when it changed at each reading;
///         no_process when the process has ended or runs another program; unreadable.
Result<ThreadStack> read_stack(const Target& target, pid_t tid, const Options& options = {});

/// The same of each thread that Python knows, the main thread first. They are read one after the other: only of a
/// process that is stopped, or by a caller who holds its GIL, is it one moment.
///
/// Errors: no_process, unreadable.
Result<std::vector<ThreadStack>> read_stacks(const Target& target, const Options& options = {});

namespace detail {

/// Keeps the newest sample of each thread, in words.
class StackSink final : public SampleSink {
 public:
  void add_code(const recording::CodeRecord& code) override { codes_.insert_or_assign(code.id, code); }
  void add_thread(const recording::ThreadRecord& thread) override { find(thread.index).thread = thread; }
  void add_sample(const recording::SampleRecord& sample) override;
  void count(recording::Counter, std::uint64_t) override {}

  std::vector<ThreadStack> take() { return std::move(stacks_); }

 private:
  ThreadStack& find(recording::ThreadIndex index) {
    const auto known = std::find_if(stacks_.begin(), stacks_.end(),
                                    [=](const ThreadStack& stack) { return stack.thread.index == index; });
    if (known != stacks_.end()) return *known;
    stacks_.emplace_back().thread.index = index;
    return stacks_.back();
  }

  std::unordered_map<recording::CodeId, recording::CodeRecord> codes_;
  std::vector<ThreadStack> stacks_;
};

inline void StackSink::add_sample(const recording::SampleRecord& sample) {
  ThreadStack& stack = find(sample.thread);
  stack.flags = sample.flags;
  stack.elided = sample.elided;
  stack.frames.clear();
  for (std::size_t i = 0; i < sample.frames.size(); ++i) {
    if (i == sample.elided_at) stack.elided_at = static_cast<std::uint32_t>(stack.frames.size());
    const recording::CodeRecord& code = codes_[sample.frames[i].code];
    if (symbol::is_interpreters_own(code)) continue;
    const symbol::Position position = symbol::code_position(code, sample.frames[i].instruction);
    stack.frames.push_back({symbol::code_name(code), code.filename, position.line, position.column});
  }
}

}  // namespace detail

inline Result<std::vector<ThreadStack>> read_stacks(const Target& target, const Options& options) {
  constexpr int most_rounds = 10;
  Options all = options;
  all.idle = true;
  all.gil = false;
  all.native = false;  // these are stacks of Python functions
  detail::StackSink sink;
  EventWait wait;  // made first: threads are let go while SIGCHLD is still blocked
  Sampler sampler{target, all};
  const auto is_unread = [&](const auto& thread) {
    return !thread->is_known && !thread->has_ended && (all.thread == 0 || all.thread == thread->tid);
  };
  const auto& threads = sampler.threads().all();
  for (int round = 1; round <= most_rounds; ++round) {
    if (const auto end = sampler.sample(sink))
      return Error{*end == End::unreadable ? Errc::unreadable : Errc::no_process};
    if (sampler.threads().is_whole() && !std::any_of(threads.begin(), threads.end(), is_unread)) break;
    const auto next = Sampler::Clock::now() + std::chrono::milliseconds{round};
    while (Sampler::Clock::now() < next)
      wait.wait_until(
          next, [&] { return sampler.holds_threads(); }, [&] { sampler.handle_events(); });
  }
  auto stacks = sink.take();
  for (const auto& thread : threads) {
    if (!is_unread(thread)) continue;
    stacks.emplace_back().thread = thread->record;
    stacks.back().is_read = false;
  }
  std::stable_partition(stacks.begin(), stacks.end(), [](const ThreadStack& stack) { return stack.thread.is_main; });
  return stacks;
}

inline Result<ThreadStack> read_stack(const Target& target, pid_t tid, const Options& options) {
  Options one = options;
  one.thread = tid;
  auto stacks = read_stacks(target, one);
  if (!stacks) return stacks.error();
  if (stacks->empty()) return Error{Errc::not_found};
  ThreadStack& stack = stacks->front();
  if (!stack.is_read) return Error{Errc::inconsistent};
  return std::move(stack);
}

}  // namespace pyagent::inline v0::sampler
