// The Python threads of a process, kept in step with its own list.
#pragma once

#include <sys/types.h>  // pid_t

#include <algorithm>  // find, find_if
#include <array>      // array
#include <chrono>     // nanoseconds
#include <cstdint>    // uint64_t
#include <memory>     // unique_ptr
#include <string>     // string
#include <utility>    // exchange
#include <vector>     // vector

#include "pyagent/cpython/thread_name.hpp"
#include "pyagent/cpython/thread_state.hpp"
#include "pyagent/interpreter/self_check.hpp"
#include "pyagent/memory/snapshot.hpp"
#include "pyagent/process/namespaces.hpp"
#include "pyagent/process/proc_file.hpp"
#include "pyagent/process/task_files.hpp"
#include "pyagent/sampler/sample_sink.hpp"
#include "pyagent/sampler/sampled_thread.hpp"
#include "pyagent/sampler/target.hpp"

namespace pyagent::inline v0::sampler {

/// Keeps the list in step with the target's.
class ThreadList {
 public:
  using nanoseconds = std::chrono::nanoseconds;

  /// `with_others` lists threads that never ran Python, too.
  explicit ThreadList(const Target& target, bool with_others = false)
      : target_(target),
        ids_(process::ThreadIds::read(target.pid())),
        memory_(target.memory()),
        with_others_(with_others) {}

  std::vector<std::unique_ptr<SampledThread>>& all() noexcept { return threads_; }
  const std::vector<std::unique_ptr<SampledThread>>& all() const noexcept { return threads_; }

  /// Brings the list up to date if it is time to. New threads stand at the head of the target's list, so only the heads
  /// are looked at mostly. False when the target's list could not be followed to its end; then nothing has changed.
  bool refresh(nanoseconds time, SampleSink& sink);
  /// Makes the next `refresh` read the whole list.
  void look_again() noexcept { wants_all_ = true; }
  /// The list was followed to its end when it was last read.
  bool is_whole() const noexcept { return failures_ == nanoseconds{}; }
  /// The list could not be read for a second.
  bool has_failed_long() const noexcept {
    return failures_ != nanoseconds{} && time_ - failures_ > std::chrono::seconds{1};
  }

  /// The thread's name as threading knows it, else as the kernel does.
  std::string read_name(const SampledThread& thread, Address interpreter) const;
  /// Tells the sink how much CPU time the thread used, and how much of it its samples stand for.
  void give_cpu(SampledThread& thread, SampleSink& sink) const;

 private:
  struct Heads {
    Address interpreter, next, thread;
    friend bool operator==(const Heads&, const Heads&) = default;
  };

  bool read_heads(std::vector<Heads>& heads) const;
  bool read_all(nanoseconds time);
  void add(const cpython::RawThread& raw, pid_t tid, nanoseconds time);
  SampledThread* begin(pid_t tid, std::uint64_t thread_id, nanoseconds time);
  void add_others(nanoseconds time);
  pid_t find_tid(const cpython::RawThread& raw);
  bool is_attached(const cpython::RawThread& raw) const;
  void remove_ended(SampleSink& sink);

  const Target& target_;
  process::ThreadIds ids_;
  memory::Snapshot memory_;
  memory::ReadBatch batch_;
  memory::ReadPlan plan_;
  std::vector<std::unique_ptr<SampledThread>> threads_;
  std::vector<Heads> heads_, new_heads_;
  nanoseconds time_{}, next_look_{}, next_full_look_{}, failures_{};
  recording::ThreadIndex next_index_ = 0;
  bool wants_all_ = true;
  bool has_refreshed_ids_ = false;
  bool with_others_;
};

inline bool ThreadList::refresh(nanoseconds time, SampleSink& sink) {
  constexpr std::chrono::milliseconds interval{10}, full_interval{200};
  time_ = time;
  if (!wants_all_ && time < next_look_) return true;
  next_look_ = time + interval;
  const bool wants_all = std::exchange(wants_all_, false) || time >= next_full_look_;
  if (wants_all) next_full_look_ = time + full_interval;
  const bool has_heads = read_heads(new_heads_);
  const bool is_same = has_heads && new_heads_ == heads_;
  bool is_read = true;
  if (!is_same || wants_all) is_read = has_heads && read_all(time);
  if (is_read) {
    heads_ = new_heads_;
    failures_ = {};
  } else {
    wants_all_ = true;
    if (failures_ == nanoseconds{}) failures_ = time;
  }
  remove_ended(sink);
  return is_read;
}

inline bool ThreadList::read_heads(std::vector<Heads>& heads) const {
  constexpr std::size_t most = 64;
  const auto& layout = target_.runtime().layout.interpreter;
  const auto& memory = target_.memory();
  heads.clear();
  auto interpreter = memory::read_pointer(memory, target_.runtime().interpreter_head);
  while (interpreter && *interpreter && heads.size() < most) {
    const auto next = memory::read_pointer(memory, *interpreter + layout.next);
    const auto thread = memory::read_pointer(memory, *interpreter + layout.threads_head);
    if (!next || !thread) return false;
    heads.push_back({*interpreter, *next, *thread});
    interpreter = next;
  }
  return bool{interpreter};
}

inline bool ThreadList::read_all(nanoseconds time) {
  batch_.clear();
  memory_.plan(plan_, batch_);
  batch_.run(target_.pid());
  memory_.take(batch_);
  has_refreshed_ids_ = false;
  for (auto& thread : threads_) thread->seen_states.clear();
  std::array<std::byte, cpython::max_thread_prefix_size> scratch;
  const Errc failed = cpython::visit_threads(memory_, target_.runtime().layout, target_.runtime().interpreter_head,
                                             scratch, [&](const cpython::RawThread& raw) {
                                               if (const pid_t tid = find_tid(raw)) add(raw, tid, time);
                                               return true;
                                             });
  memory_.learn(plan_);
  if (failed != Errc::ok) return false;
  for (auto& thread : threads_) {
    thread->states.swap(thread->seen_states);
    if (thread->states.empty() && !thread->is_other) thread->has_ended = true;
  }
  if (with_others_) add_others(time);
  return true;
}

/// Threads that Python does not know, or not yet: when it does, they begin anew.
inline void ThreadList::add_others(nanoseconds time) {
  const auto tasks = process::read_tasks(target_.pid());
  if (!tasks) return;
  for (const pid_t tid : *tasks) {
    const auto is_listed = [&](const auto& thread) { return thread->tid == tid && !thread->has_ended; };
    if (std::find_if(threads_.begin(), threads_.end(), is_listed) != threads_.end()) continue;
    if (SampledThread* const thread = begin(tid, 0, time)) thread->is_other = true;
  }
}

inline SampledThread* ThreadList::begin(pid_t tid, std::uint64_t thread_id, nanoseconds time) {
  auto files = process::TaskFiles::open(target_.pid(), tid);
  if (!files) return nullptr;
  const auto schedule = files->read_schedule();
  if (!schedule) return nullptr;
  threads_.push_back(std::make_unique<SampledThread>(std::move(*files)));
  SampledThread* const thread = threads_.back().get();
  thread->first_schedule = *schedule;
  thread->first_time = thread->last_time = time;
  thread->record.index = next_index_++;
  thread->record.tid = tid;
  thread->record.thread_id = thread_id;
  thread->record.is_main = tid == target_.pid();
  return thread;
}

inline void ThreadList::add(const cpython::RawThread& raw, pid_t tid, nanoseconds time) {
  const auto place = std::find_if(threads_.begin(), threads_.end(), [&](const auto& thread) {
    return thread->tid == tid && thread->record.thread_id == raw.thread_id && !thread->has_ended;
  });
  SampledThread* thread = place != threads_.end() ? place->get() : nullptr;
  if (thread == nullptr) {
    for (auto& other : threads_)
      if (other->tid == tid && other->is_other) other->has_ended = true;
    thread = begin(tid, raw.thread_id, time);
    if (thread == nullptr) return;
  }
  // The state that runs belongs to the innermost interpreter on the thread's stack.
  auto& seen = thread->seen_states;
  constexpr std::size_t most_states = 64;  // the main interpreter's comes last, behind those of as many others
  if (std::find(seen.begin(), seen.end(), raw.thread) != seen.end()) return;
  const bool is_first = is_attached(raw);
  if (seen.size() == most_states && is_first) seen.pop_back();
  if (seen.size() < most_states) seen.insert(is_first ? seen.begin() : seen.end(), raw.thread);
}

/// Kernel id of the thread as we count; 0 while it has none.
inline pid_t ThreadList::find_tid(const cpython::RawThread& raw) {
  auto native = static_cast<pid_t>(raw.native_thread_id);
  if (target_.runtime().layout.thread.native_thread_id == cpython::absent)
    native = interpreter::read_native_id(memory_, target_.runtime().layout, raw.thread).value_or(0);
  if (native <= 0 || raw.thread_id == 0) return 0;
  pid_t ours = ids_.find(native);
  if (ours == 0 && !std::exchange(has_refreshed_ids_, true)) {
    ids_.refresh();
    ours = ids_.find(native);
  }
  return ours;
}

inline bool ThreadList::is_attached(const cpython::RawThread& raw) const {
  const cpython::Layout& layout = target_.runtime().layout;
  if (layout.thread.state != cpython::absent) return raw.state == 1;
  constexpr std::uint32_t active = 1 << 4;  // _PyThreadStateObject._status.active, 3.12
  return layout.thread.status != cpython::absent &&
         (memory::read_value<std::uint32_t>(memory_, raw.thread + layout.thread.status).value_or(0) & active) != 0;
}

inline void ThreadList::remove_ended(SampleSink& sink) {
  std::erase_if(threads_, [&](auto& thread) {
    if (thread->has_ended && thread->is_known) give_cpu(*thread, sink);
    return thread->has_ended;
  });
}

inline std::string ThreadList::read_name(const SampledThread& thread, Address interpreter) const {
  if (thread.record.is_main) return "MainThread";
  std::array<char, 1024> text;
  memory_.clear();
  const auto piece =
      cpython::read_thread_name(memory_, target_.runtime().layout, interpreter, thread.record.thread_id, text);
  if (piece && piece->size != 0) return std::string(text.data(), piece->size);
  std::string name =
      process::read_text(process::proc_path(target_.pid(), "task/" + std::to_string(thread.tid) + "/comm"))
          .value_or({});
  if (!name.empty() && name.back() == '\n') name.pop_back();
  return name;
}

inline void ThreadList::give_cpu(SampledThread& thread, SampleSink& sink) const {
  thread.record.cpu = thread.cpu;
  thread.record.sampled = thread.sampled;
  sink.add_thread(thread.record);
}

}  // namespace pyagent::inline v0::sampler
