// From a recording to a profile: frames get their names, samples their stacks and weights. May allocate
#pragma once

#include <algorithm>      // is_sorted, stable_sort, erase_if, max
#include <chrono>         // nanoseconds
#include <concepts>       // convertible_to
#include <cstddef>        // size_t
#include <cstdint>        // uint32_t
#include <string>         // string, to_string
#include <string_view>    // string_view
#include <unordered_map>  // unordered_map
#include <vector>         // vector

#include "pyagent/profile/profile.hpp"
#include "pyagent/profile/profile_facts.hpp"
#include "pyagent/recording/records.hpp"
#include "pyagent/symbol/code_symbol.hpp"
#include "pyagent/symbol/position.hpp"

namespace pyagent::inline v0::profile {

/// What of a recording goes into a profile, and how frames are shown. Names as in py-spy.
struct ProfileOptions {
  bool function = false;        ///< frames carry the first line of their function, not the running one
  bool show_lines = true;       ///< false: no lines at all, even with `function`
  bool full_filenames = false;  ///< file names as the program has them, not shortened
  bool threads = false;         ///< each stack starts with a frame `thread (TID): NAME`
  bool gil = false;             ///< only samples whose thread held the GIL
  bool idle = false;            ///< wall time of threads that were not running counts too
};

using symbol::Position;

/// A whole recording, read as often as wanted.
template <class R>
concept RecordingSource = requires(const R& recording) {
  recording.for_each_code([](const recording::CodeRecord&) {});
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
template <CodeSymbolizer S>
class StackBuilder {
 public:
  StackBuilder(Profile& profile, S& symbolizer, const ProfileOptions& options)
      : profile_(profile), symbolizer_(symbolizer), options_(options) {}

  void add_code(const recording::CodeRecord& code) { codes_.insert_or_assign(code.id, code); }

  /// The stack of `sample`, on top of `root`.
  StackId build(StackId root, const recording::SampleRecord& sample) {
    StackId stack = root;
    if (sample.has(recording::SampleFlag::unreadable)) stack = push_name(stack, "[truncated]");
    if (sample.has(recording::SampleFlag::suspect)) stack = push_name(stack, "[incomplete]");
    for (std::size_t i = sample.frames.size(); i > 0; --i) {
      if (sample.elided != 0 && i == sample.elided_at)
        stack = push_name(stack, '[' + std::to_string(sample.elided) + " frames left out]");
      if (!is_interpreters_own(sample.frames[i - 1])) stack = profile_.intern_stack(stack, find_frame(sample.frames[i - 1]));
    }
    return stack;
  }

  StackId push_name(StackId stack, std::string_view name) {
    return profile_.intern_stack(stack, profile_.intern_frame({.name = profile_.intern_string(name)}));
  }

 private:
  /// The few instructions that 3.12 and later run around `__init__` of an inlined call: no code of the program, and not in
  /// its tracebacks. Source: _Py_InitCleanup, CPython 3.13 Python/specialize.c; its file is called __init__ as well.
  bool is_interpreters_own(const recording::FrameRecord& record) const {
    const auto found = codes_.find(record.code);
    return found != codes_.end() && found->second.first_line == 0 && found->second.name == "__init__" && found->second.filename == "__init__";
  }

  FrameId find_frame(const recording::FrameRecord& record) {
    const auto key = std::uint64_t{record.code} << 32 | static_cast<std::uint32_t>(record.instruction);
    const auto known = frames_.find(key);
    return known != frames_.end() ? known->second : frames_[key] = build_frame(record);
  }

  FrameId build_frame(const recording::FrameRecord& record) {
    const auto found = codes_.find(record.code);
    if (found == codes_.end()) return profile_.intern_frame({.name = profile_.intern_string("[unknown code]")});
    const recording::CodeRecord& code = found->second;
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
  std::unordered_map<std::uint64_t, FrameId> frames_;  // by code and instruction
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

/// The profile of a recording.
///
/// Shape:  threads in the recording's order, those without samples left out; samples in order of time. Every sample
///         that has frames is kept: those whose outer frames could not be read start with a frame `[truncated]`, those
///         that may lack frames with `[incomplete]`. A gap in a deep stack is a frame `[N frames left out]` at its place.
///         Without `idle`, samples of threads that were off the CPU and had used no CPU time are left out.
///         `facts` says what was sampled, how, and what was lost (`profile_facts.hpp`).
/// Errors: none; codes and threads that a damaged recording lacks are shown as unknown.
template <RecordingSource R, CodeSymbolizer S>
Profile build_profile(const R& recording, const ProfileOptions& options, S& symbolizer) {
  const recording::ProcessRecord process = recording.process();
  Profile profile;
  profile.name = profile_name(process);
  profile.exporter = exporter_name;
  profile.interval = process.interval;

  StackBuilder<S> builder{profile, symbolizer, options};
  recording.for_each_code([&](const recording::CodeRecord& code) { builder.add_code(code); });

  std::unordered_map<recording::ThreadIndex, std::size_t> places;
  const auto add_thread = [&](const recording::ThreadRecord& record) {
    if (places.try_emplace(record.index, profile.threads.size()).second)
      profile.threads.push_back({.id = record.thread_id, .tid = record.tid, .pid = process.pid, .name = record.name});
  };
  for (const recording::ThreadRecord& record : recording.threads()) add_thread(record);

  std::uint64_t without_frames = 0;
  recording.for_each_sample([&](const recording::SampleRecord& sample) {
    if (options.gil && !sample.has(recording::SampleFlag::holds_gil)) return;
    const auto weight = sample_weight(sample, options);
    if (!options.idle && sample.has(recording::SampleFlag::off_cpu) && weight.count() == 0) return;
    if (sample.frames.empty()) {
      ++without_frames;
      return;
    }
    recording::ThreadRecord unknown;
    unknown.index = sample.thread;
    add_thread(unknown);
    Thread& thread = profile.threads[places[sample.thread]];
    const StackId root = options.threads ? builder.push_name(0, thread_frame_name(thread)) : 0;
    thread.samples.push_back({.stack = builder.build(root, sample), .weight = weight, .time = sample.time});
  });

  constexpr auto earlier = [](const Sample& left, const Sample& right) { return left.time < right.time; };
  for (Thread& thread : profile.threads)
    if (!std::is_sorted(thread.samples.begin(), thread.samples.end(), earlier))
      std::stable_sort(thread.samples.begin(), thread.samples.end(), earlier);
  std::erase_if(profile.threads, [](const Thread& thread) { return thread.samples.empty(); });

  profile.facts = process_facts(process);
  append_counter_facts(profile.facts, recording.counters(), without_frames);
  for (const recording::ThreadRecord& record : recording.threads()) append_thread_facts(profile.facts, record);
  return profile;
}

/// The same, with names and lines as symbol::CodeSymbols gives them.
template <RecordingSource R>
Profile build_profile(const R& recording, const ProfileOptions& options) {
  symbol::CodeSymbols symbols;
  return build_profile(recording, options, symbols);
}

}  // namespace pyagent::inline v0::profile
