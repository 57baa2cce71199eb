// From a recording to a profile: frames get their names, samples their stacks and weights. May allocate
#pragma once

#include <algorithm>      // is_sorted, max, min, stable_sort
#include <chrono>         // nanoseconds
#include <concepts>       // convertible_to, invocable
#include <cstddef>        // size_t
#include <cstdint>        // uint32_t
#include <map>            // map
#include <optional>       // optional
#include <span>           // span
#include <string>         // string, to_string
#include <string_view>    // string_view
#include <unordered_map>  // unordered_map
#include <utility>        // move
#include <vector>         // vector

#include "pyagent/profile/native_places.hpp"
#include "pyagent/profile/process_frames.hpp"
#include "pyagent/profile/profile.hpp"
#include "pyagent/profile/profile_facts.hpp"
#include "pyagent/profile/sample_merger.hpp"
#include "pyagent/recording/records.hpp"
#include "pyagent/stack/merge_stacks.hpp"
#include "pyagent/symbol/code_symbol.hpp"
#include "pyagent/symbol/native_options.hpp"
#include "pyagent/symbol/native_symbols.hpp"
#include "pyagent/symbol/position.hpp"

namespace pyagent::inline v0::profile {

/// What of a recording goes into a profile, and how frames are shown. Names as in py-spy.
struct ProfileOptions {
  bool function = false;        ///< frames carry the first line of their function, not the running one
  bool show_lines = true;       ///< false: no lines at all, even with `function`
  bool full_filenames = false;  ///< file names as the program has them, not shortened
  bool threads = false;         ///< each stack starts with a frame `thread (TID): NAME`
  bool processes = false;       ///< below that, frames `process PID:"COMMAND"` of the process and its ancestors
  bool gil = false;             ///< only samples whose thread held the GIL
  bool idle = false;            ///< wall time of threads that were not running counts too
  bool native = true;           ///< native frames between the Python ones, where they were recorded
  bool native_all = false;      ///< those of the interpreter and of the start of threads too
};

using symbol::Position;

/// A whole recording, read as often as wanted.
template <class R>
concept RecordingSource = requires(const R& recording) {
  recording.for_each_code([](const recording::CodeRecord&) {});
  recording.for_each_module([](const recording::ModuleRecord&) {});
  recording.for_each_sample([](const recording::SampleRecord&) {});
  { *recording.threads().begin() } -> std::convertible_to<const recording::ThreadRecord&>;
  { recording.process() } -> std::convertible_to<recording::ProcessRecord>;
  { recording.counters() } -> std::convertible_to<recording::Counters>;
};

/// Says what a code record means to people.
template <class S>
concept CodeSymbolizer = requires(S& symbolizer, const recording::CodeRecord& code, std::int32_t instruction) {
  { symbolizer.name(code) } -> std::convertible_to<std::string>;            // qualified where known
  { symbolizer.short_filename(code) } -> std::convertible_to<std::string>;  // as frames show it by default
  { symbolizer.position(code, instruction) } -> std::convertible_to<Position>;
};

/// Builds frames and stacks of one profile from the frames of samples.
template <CodeSymbolizer S, NativeSymbolizer N>
class StackBuilder {
 public:
  StackBuilder(Profile& profile, S& symbolizer, N& native_symbolizer, const ProfileOptions& options)
      : profile_(profile),
        symbolizer_(symbolizer),
        options_(options),
        merger_(profile, native_symbolizer,
                {.is_everything = options.native_all,
                 .full_filenames = options.full_filenames,
                 .show_lines = options.show_lines && !options.function}) {}

  void add_code(const recording::CodeRecord& code) { codes_.insert_or_assign(code.id, code); }
  void add_module(const recording::ModuleRecord& module) { merger_.add_module(module); }

  /// The stack of `sample`, on top of `root`.
  StackId build(StackId root, const recording::SampleRecord& sample) {
    StackId stack = root;
    if (sample.has(recording::SampleFlag::unreadable)) stack = push_name(stack, "[truncated]");
    if (sample.has(recording::SampleFlag::suspect)) stack = push_name(stack, "[incomplete]");
    if (stack != last_base_) last_.clear();
    last_base_ = stack;
    const auto merged = merger_.merge(sample, options_.native);
    // Samples that follow each other mostly have their outer frames in common.
    std::size_t shared = 0;
    while (shared < std::min(last_.size(), merged.size()) && last_[shared].key == key_of(sample, merged[shared]))
      ++shared;
    last_.resize(shared);
    if (shared != 0) stack = last_.back().stack;
    for (const stack::MergedFrame& frame : merged.subspan(shared)) {
      stack = push(stack, sample, frame);
      last_.push_back({key_of(sample, frame), stack});
    }
    return stack;
  }

  StackId push_name(StackId stack, std::string_view name) {
    return profile_.intern_stack(stack, profile_.intern_frame({.name = profile_.intern_string(name)}));
  }

 private:
  using Kind = stack::MergedFrame::Kind;

  /// A frame of the last stack, and the stack that ends with it.
  struct BuiltFrame {
    std::uint64_t key;
    StackId stack;
  };

  /// What a place of a stack is, as a number. Ids of codes are below 2^31, since recordings hold them doubled in 32
  /// bits.
  std::uint64_t key_of(const recording::SampleRecord& sample, const stack::MergedFrame& frame) const noexcept {
    if (frame.kind == Kind::python) return key_of(sample.frames[frame.index]);
    const std::uint32_t number = frame.kind == Kind::native   ? merger_.place_of(frame.index)
                                 : frame.kind == Kind::elided ? sample.elided
                                                              : 0;
    return std::uint64_t{1} << 63 | static_cast<std::uint64_t>(frame.kind) << 32 | number;
  }

  StackId push(StackId stack, const recording::SampleRecord& sample, const stack::MergedFrame& frame) {
    switch (frame.kind) {
      case Kind::python:
        if (const auto found = find_frame(sample.frames[frame.index])) return profile_.intern_stack(stack, *found);
        return stack;
      case Kind::native:
        for (const FrameId each : merger_.frames_of(frame.index)) stack = profile_.intern_stack(stack, each);
        return stack;
      case Kind::elided:
        return push_name(stack, '[' + std::to_string(sample.elided) + " frames left out]");
      case Kind::truncated:
        return push_name(stack, "[truncated]");
    }
    return stack;
  }

  static std::uint64_t key_of(const recording::FrameRecord& record) noexcept {
    return std::uint64_t{record.code} << 32 | static_cast<std::uint32_t>(record.instruction);
  }

  /// None for a frame of the interpreter's own, which is not shown.
  std::optional<FrameId> find_frame(const recording::FrameRecord& record) {
    const auto key = key_of(record);
    const auto known = frames_.find(key);
    return known != frames_.end() ? known->second : frames_[key] = build_frame(record);
  }

  std::optional<FrameId> build_frame(const recording::FrameRecord& record) {
    const auto found = codes_.find(record.code);
    if (found == codes_.end()) return profile_.intern_frame({.name = profile_.intern_string("[unknown code]")});
    const recording::CodeRecord& code = found->second;
    if (symbol::is_interpreters_own(code)) return {};
    const std::string file = options_.full_filenames ? code.filename : std::string{symbolizer_.short_filename(code)};
    Frame frame{.name = profile_.intern_string(symbolizer_.name(code)), .file = profile_.intern_string(file)};
    if (options_.show_lines) {
      const Position position = options_.function ? Position{.line = code.first_line}
                                                  : Position{symbolizer_.position(code, record.instruction)};
      frame.line = std::max(position.line, 0);
      frame.column = std::max(position.column, 0);
    }
    return profile_.intern_frame(frame);
  }

  Profile& profile_;
  S& symbolizer_;
  const ProfileOptions& options_;
  std::unordered_map<recording::CodeId, recording::CodeRecord> codes_;
  std::unordered_map<std::uint64_t, std::optional<FrameId>> frames_;  // by code and instruction
  SampleMerger<N> merger_;
  std::vector<BuiltFrame> last_;  // root first
  StackId last_base_ = 0;
};

/// `thread (4711): MainThread`, the frame that py-spy 0.4 puts below each stack with `--threads`.
inline std::string thread_frame_name(const Thread& thread) {
  const auto id = thread.tid != 0 ? std::to_string(thread.tid) : std::to_string(thread.id);
  return "thread (" + id + (thread.name.empty() ? ")" : "): ") + thread.name;
}

/// The time that `sample` stands for: the CPU time its thread used, and with `idle` the time it spent off the CPU too.
inline std::chrono::nanoseconds sample_weight(const recording::SampleRecord& sample, const ProfileOptions& options) {
  constexpr std::chrono::nanoseconds none{};
  const auto cpu = std::max(sample.cpu, none);
  return options.idle ? add_weights(cpu, std::max(sample.wall, none)) : cpu;
}

/// Adds the threads, samples and facts of `recording` to `profile`, each stack on top of frames called `roots`.
///
/// Shape:  threads in the recording's order, those without samples left out; samples in order of time. Every sample
///         that has frames is kept: those whose outer frames could not be read start with a frame `[truncated]`, those
///         that may lack frames with `[incomplete]`. A gap in a deep stack is a frame `[N frames left out]` at its
///         place. Native frames stand between the Python ones; where they end early, there is a frame `[truncated]`.
///         Without `idle`, samples of threads that were off the CPU and had used no CPU time are left out.
///         `facts` says what was sampled, how, and what was lost (`profile_facts.hpp`).
/// Errors: none; codes and threads that a damaged recording lacks are shown as unknown.
template <RecordingSource R, CodeSymbolizer S, NativeSymbolizer N>
void append_profile(Profile& profile, const R& recording, const ProfileOptions& options, S& symbolizer,
                    N& native_symbolizer, std::span<const std::string> roots = {}) {
  const recording::ProcessRecord process = recording.process();
  StackBuilder<S, N> builder{profile, symbolizer, native_symbolizer, options};
  recording.for_each_code([&](const recording::CodeRecord& code) { builder.add_code(code); });
  recording.for_each_module([&](const recording::ModuleRecord& module) { builder.add_module(module); });
  StackId process_root = 0;
  for (const std::string& name : roots) process_root = builder.push_name(process_root, name);

  std::vector<Thread> threads;
  std::unordered_map<recording::ThreadIndex, std::size_t> places;
  const auto add_thread = [&](const recording::ThreadRecord& record) {
    if (places.try_emplace(record.index, threads.size()).second)
      threads.push_back({.id = record.thread_id, .tid = record.tid, .pid = process.pid, .name = record.name});
  };
  for (const recording::ThreadRecord& record : recording.threads()) add_thread(record);

  std::uint64_t without_frames = 0;
  recording.for_each_sample([&](const recording::SampleRecord& sample) {
    if (options.gil && !sample.has(recording::SampleFlag::holds_gil)) return;
    const auto weight = sample_weight(sample, options);
    if (!options.idle && sample.has(recording::SampleFlag::off_cpu) && weight.count() == 0) return;
    if (sample.frames.empty() && (sample.native.empty() || !options.native)) {
      ++without_frames;
      return;
    }
    recording::ThreadRecord unknown;
    unknown.index = sample.thread;
    add_thread(unknown);
    Thread& thread = threads[places[sample.thread]];
    const StackId root = options.threads ? builder.push_name(process_root, thread_frame_name(thread)) : process_root;
    thread.samples.push_back({.stack = builder.build(root, sample), .weight = weight, .time = sample.time});
  });

  constexpr auto earlier = [](const Sample& left, const Sample& right) { return left.time < right.time; };
  for (Thread& thread : threads) {
    if (!std::is_sorted(thread.samples.begin(), thread.samples.end(), earlier))
      std::stable_sort(thread.samples.begin(), thread.samples.end(), earlier);
    if (!thread.samples.empty()) profile.threads.push_back(std::move(thread));
  }

  const Facts facts = process_facts(process);
  profile.facts.insert(profile.facts.end(), facts.begin(), facts.end());
  append_counter_facts(profile.facts, recording.counters(), without_frames);
  for (const recording::ThreadRecord& record : recording.threads()) append_thread_facts(profile.facts, record);
}

/// One profile of several recordings: of a tree of processes, or of one process before and after it executed another
/// program. Title and interval are the first one's. `native_of(process)` gives the symbolizer of a process's native
/// frames, as a reference.
template <RecordingSource R, CodeSymbolizer S, class NativeOf>
requires std::invocable<NativeOf&, const recording::ProcessRecord&> Profile build_profile(std::span<const R> recordings,
                                                                                          const ProfileOptions& options,
                                                                                          S& symbolizer,
                                                                                          NativeOf&& native_of) {
  std::vector<recording::ProcessRecord> processes;
  for (const R& recording : recordings) processes.push_back(recording.process());
  Profile profile;
  profile.exporter = exporter_name;
  if (!processes.empty()) {
    profile.name = profile_name(processes[0]);
    profile.interval = processes[0].interval;
  }
  for (std::size_t i = 0; i < recordings.size(); ++i) {
    const auto roots = options.processes ? process_frame_names(processes, i) : std::vector<std::string>{};
    append_profile(profile, recordings[i], options, symbolizer, native_of(processes[i]), roots);
  }
  return profile;
}

/// The same, with one symbolizer for the native frames of all.
template <RecordingSource R, CodeSymbolizer S, NativeSymbolizer N>
Profile build_profile(std::span<const R> recordings, const ProfileOptions& options, S& symbolizer,
                      N& native_symbolizer) {
  return build_profile(recordings, options, symbolizer,
                       [&](const recording::ProcessRecord&) -> N& { return native_symbolizer; });
}

/// The profile of one recording.
template <RecordingSource R, CodeSymbolizer S, NativeSymbolizer N>
Profile build_profile(const R& recording, const ProfileOptions& options, S& symbolizer, N& native_symbolizer) {
  return build_profile(std::span<const R>{&recording, 1}, options, symbolizer, native_symbolizer);
}

/// The same, with native frames named by their addresses.
template <RecordingSource R, CodeSymbolizer S>
Profile build_profile(std::span<const R> recordings, const ProfileOptions& options, S& symbolizer) {
  NativeAddresses addresses;
  return build_profile(recordings, options, symbolizer, addresses);
}
template <RecordingSource R, CodeSymbolizer S>
Profile build_profile(const R& recording, const ProfileOptions& options, S& symbolizer) {
  return build_profile(std::span<const R>{&recording, 1}, options, symbolizer);
}

/// The same, with names and lines as symbol::CodeSymbols and symbol::NativeSymbols give them.
template <RecordingSource R>
Profile build_profile(std::span<const R> recordings, const ProfileOptions& options) {
  symbol::CodeSymbols symbols;
  std::map<std::int32_t, symbol::NativeSymbols> natives;  // by process: each may have code made at run time
  return build_profile(recordings, options, symbols, [&](const recording::ProcessRecord& process) -> auto& {
    return natives.try_emplace(process.pid, symbol::native_options(process.pid)).first->second;
  });
}
template <RecordingSource R>
Profile build_profile(const R& recording, const ProfileOptions& options) {
  return build_profile(std::span<const R>{&recording, 1}, options);
}

}  // namespace pyagent::inline v0::profile
