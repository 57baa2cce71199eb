// Collects what a sampler sees in one round, with the locals of each frame.
#include "process_dump.hpp"

#include <algorithm>      // any_of, count_if, find_if, max, min, none_of, stable_sort
#include <array>          // array
#include <chrono>         // milliseconds
#include <thread>         // sleep_for
#include <unordered_map>  // unordered_map
#include <utility>        // exchange, move

#include "pyagent/cpython/thread_state.hpp"
#include "pyagent/process/proc_file.hpp"
#include "pyagent/process/status.hpp"
#include "pyagent/profile/sample_merger.hpp"
#include "pyagent/sampler/describe_process.hpp"
#include "pyagent/sampler/sampler.hpp"
#include "pyagent/symbol/code_symbol.hpp"
#include "pyagent/symbol/native_options.hpp"
#include "pyagent/symbol/native_symbols.hpp"

namespace pyagent::tools {
namespace {

/// The longer, the more often `--locals` was given.
interpreter::TextLimits text_limits(int locals) {
  constexpr int most = 6;
  const auto times = static_cast<std::size_t>(1) << 2 * std::min(std::max(locals, 1) - 1, most);
  return {
      .characters = 128 * times, .items = 64 * times, .depth = static_cast<std::size_t>(3 + std::min(locals, most))};
}

/// Keeps the newest sample of each thread.
class DumpSink final : public sampler::SampleSink {
 public:
  DumpSink(const sampler::Target& target, const DumpOptions& options)
      : target_(target),
        locals_(options.locals),
        natives_(symbol::native_options(target.pid(), options.symbol_directories)),
        merger_(frames_, natives_, {.is_everything = options.native_all, .full_filenames = true}) {}

  void add_code(const recording::CodeRecord& code) override { codes_.insert_or_assign(code.id, code); }
  void add_module(const recording::ModuleRecord& module) override {
    merger_.add_module(module);
    modules_.insert_or_assign(module.id, module.path);
  }

  void add_thread(const recording::ThreadRecord& record) override {
    if (DumpedThread* const known = find(record.index))
      known->record = record;
    else
      threads_.push_back({.record = record});
  }

  void look(std::span<const cpython::RawFrame> frames) override {
    is_new_ = true;
    if (locals_ == 0) return;
    locals_of_frames_.clear();
    interpreter::ObjectWriter<memory::RemoteMemory> writer{target_.memory(), target_.runtime(), text_limits(locals_)};
    for (const cpython::RawFrame& frame : frames)
      locals_of_frames_.push_back(interpreter::read_locals(target_.memory(), target_.runtime(), frame, writer));
  }

  void add_sample(const recording::SampleRecord& sample) override {
    DumpedThread* const thread = find(sample.thread);
    if (thread == nullptr || !std::exchange(is_new_, false)) return;  // or the thread still waits as it did
    thread->frames.clear();
    thread->flags = sample.flags;
    thread->is_running = !sample.has(recording::SampleFlag::off_cpu);
    const auto merged = merger_.merge(sample);
    std::uint32_t left_out = 0;
    for (auto frame = merged.rbegin(); frame != merged.rend(); ++frame) switch (frame->kind) {
        case stack::MergedFrame::Kind::python:
          add_python_frame(*thread, sample, frame->index, left_out);
          break;
        case stack::MergedFrame::Kind::native:
          add_native_frames(*thread, sample, frame->index, left_out);
          break;
        case stack::MergedFrame::Kind::elided:
          left_out = sample.elided;
          break;
        case stack::MergedFrame::Kind::truncated:
          thread->frames.push_back({.name = "[truncated]", .filename = {}, .short_filename = {}});
          break;
      }
    locals_of_frames_.clear();
  }

  void count(recording::Counter, std::uint64_t) override {}

  bool knows(std::uint64_t thread_id) const {
    return std::any_of(threads_.begin(), threads_.end(),
                       [=](const DumpedThread& thread) { return thread.record.thread_id == thread_id; });
  }
  /// Threads are looked at one after the other: more than one may have had the GIL when its turn came.
  std::ptrdiff_t holders() const {
    return std::count_if(threads_.begin(), threads_.end(),
                         [](const DumpedThread& thread) { return thread.has(recording::SampleFlag::holds_gil); });
  }
  std::vector<DumpedThread>& threads() noexcept { return threads_; }

 private:
  DumpedThread* find(recording::ThreadIndex index) {
    const auto found = std::find_if(threads_.begin(), threads_.end(),
                                    [=](const DumpedThread& thread) { return thread.record.index == index; });
    return found != threads_.end() ? &*found : nullptr;
  }

  void add_python_frame(DumpedThread& thread, const recording::SampleRecord& sample, std::size_t i,
                        std::uint32_t& left_out) {
    if (symbol::is_interpreters_own(codes_[sample.frames[i].code])) return;
    thread.frames.push_back(name_frame(sample.frames[i]));
    thread.frames.back().left_out = std::exchange(left_out, 0);
    if (i < locals_of_frames_.size()) thread.frames.back().locals = std::move(locals_of_frames_[i]);
  }

  void add_native_frames(DumpedThread& thread, const recording::SampleRecord& sample, std::size_t i,
                         std::uint32_t& left_out) {
    const auto places = merger_.frames_of(i);
    for (auto id = places.rbegin(); id != places.rend(); ++id) {
      const profile::Frame& frame = frames_.frame(*id);
      const std::string& file = frames_.string(frame.file);
      thread.frames.push_back({.name = frames_.string(frame.name),
                               .filename = file,
                               .short_filename = std::string{profile::file_name(file)},
                               .module = modules_[sample.native[i].module],
                               .line = frame.line,
                               .is_native = true});
      thread.frames.back().left_out = std::exchange(left_out, 0);
    }
  }

  DumpedFrame name_frame(const recording::FrameRecord& frame) {
    const recording::CodeRecord& code = codes_[frame.code];
    return {.name = symbols_.name(code),
            .filename = code.filename,
            .short_filename = symbols_.short_filename(code),
            .module = {},
            .line = symbols_.position(code, frame.instruction).line,
            .is_entry = frame.is_entry};
  }

  const sampler::Target& target_;
  int locals_;
  bool is_new_ = false;
  std::unordered_map<recording::CodeId, recording::CodeRecord> codes_;
  std::vector<std::vector<interpreter::Local>> locals_of_frames_;
  std::vector<DumpedThread> threads_;
  symbol::CodeSymbols symbols_;
  symbol::NativeSymbols natives_;
  profile::Profile frames_;  // native ones
  profile::SampleMerger<symbol::NativeSymbols> merger_;
  std::unordered_map<recording::ModuleId, std::string> modules_;
};

/// The threads that the interpreters list, once for each kernel thread.
std::vector<cpython::RawThread> list_threads(const sampler::Target& target) {
  std::vector<cpython::RawThread> threads;
  std::array<std::byte, cpython::max_thread_prefix_size> scratch;
  const auto add = [&](const cpython::RawThread& raw) {
    const bool is_listed =
        std::any_of(threads.begin(), threads.end(), [&](const auto& one) { return one.thread_id == raw.thread_id; });
    if (raw.thread_id != 0 && !is_listed) threads.push_back(raw);
    return true;
  };
  (void)cpython::visit_threads(target.memory(), target.runtime().layout, target.runtime().interpreter_head, scratch,
                               add);
  return threads;
}

bool is_ready(pid_t pid, pid_t tid) {
  const auto text = process::read_text(process::proc_path(pid, "task/" + std::to_string(tid) + "/stat"));
  const auto status = text ? process::parse_status(*text) : Result<process::Status>{text.error()};
  return status && status->state == 'R';
}

}  // namespace

Result<ProcessDump> read_dump(const sampler::Target& target, const DumpOptions& options) {
  constexpr int most_rounds = 10, most_rounds_for_holders = 4;  // subinterpreters may have a GIL each (3.12 on)
  sampler::Options sampling{.stop_threads = options.stop_threads, .idle = true, .native = options.native};
  if (options.native)
    sampling.stop_budget = std::chrono::milliseconds{200};  // nothing of a thread that runs is to be had
  DumpSink sink{target, options};
  ProcessDump dump{.process = sampler::describe_process(target, sampling),
                   .is_free_threaded = target.runtime().layout.flags.free_threaded,
                   .has_shims = target.runtime().layout.entry_mark == cpython::EntryMark::shim,
                   .threads = {}};
  std::vector<cpython::RawThread> missing;
  sampler::Sampler sampler{target, sampling};
  for (int round = 0; round < most_rounds; ++round) {
    if (round != 0) std::this_thread::sleep_for(std::chrono::milliseconds{round});
    if (const auto end = sampler.sample(sink))
      return Error{*end == sampler::End::unreadable ? Errc::unreadable : Errc::no_process};
    sampler.handle_events();
    missing = list_threads(target);
    std::erase_if(missing, [&](const cpython::RawThread& raw) { return sink.knows(raw.thread_id); });
    const bool is_one_moment = sink.holders() <= 1 || dump.is_free_threaded || round + 1 >= most_rounds_for_holders;
    const auto& listed = sampler.threads().all();
    const bool is_complete = !options.native || std::none_of(listed.begin(), listed.end(), [](const auto& thread) {
      return thread->is_other && !thread->is_known && !thread->has_ended;
    });
    if (missing.empty() && is_one_moment && is_complete) break;
  }
  dump.threads = std::move(sink.threads());
  for (DumpedThread& thread : dump.threads)
    if (!thread.flags) thread.is_running = is_ready(target.pid(), thread.record.tid);
  for (const cpython::RawThread& raw : missing) {
    DumpedThread thread{.is_read = false};
    thread.record.tid = static_cast<std::int32_t>(raw.native_thread_id);
    thread.record.thread_id = raw.thread_id;
    dump.threads.push_back(std::move(thread));
  }
  std::stable_sort(dump.threads.begin(), dump.threads.end(), [](const DumpedThread& left, const DumpedThread& right) {
    return left.record.is_main > right.record.is_main;
  });
  return dump;
}

}  // namespace pyagent::tools
