// A profile as a speedscope file (https://www.speedscope.app). May allocate
#pragma once

#include <algorithm>    // any_of, max_element, mismatch
#include <chrono>       // nanoseconds
#include <cstddef>      // size_t
#include <cstdint>      // uint32_t, uint64_t
#include <span>         // span
#include <string>       // string, to_string
#include <string_view>  // string_view
#include <vector>       // vector

#include "pyagent/base/errc.hpp"
#include "pyagent/format/json.hpp"
#include "pyagent/format/sink.hpp"
#include "pyagent/profile/profile.hpp"
#include "pyagent/profile/seconds.hpp"

namespace pyagent::inline v0::format {

/// What speedscope shows in its list of profiles: `Thread 4711 "MainThread"`, with the kernel's thread id where known.
/// Where there are several processes, `Process 4710 ` goes before it.
inline std::string speedscope_profile_name(const profile::Thread& thread, bool names_process = false) {
  const auto id = thread.tid != 0 ? std::to_string(thread.tid) : std::to_string(thread.id);
  const auto process = names_process ? "Process " + std::to_string(thread.pid) + ' ' : std::string{};
  return process + "Thread " + id + " \"" + thread.name + '"';
}

/// The most frames that a stack in a speedscope file has. The page of speedscope 1.25 recurses once per frame: in
/// Chromium 156 a file with stacks of 4,000 frames was refused ("Maximum call stack size exceeded"), 3,000 worked.
inline constexpr std::size_t speedscope_depth = 2'000;

namespace detail {

/// Calls `visit(stack, weight)` for each run of samples of `thread` that have equal stacks.
template <class Visit>
void for_each_run(const profile::Thread& thread, Visit visit) {
  const auto& samples = thread.samples;
  for (std::size_t i = 0; i < samples.size();) {
    const auto stack = samples[i].stack;
    std::chrono::nanoseconds weight{};
    for (; i < samples.size() && samples[i].stack == stack; ++i)
      weight = profile::add_weights(weight, samples[i].weight);
    visit(stack, weight);
  }
}

/// True when some stack of `profile` is deeper than speedscope_depth.
inline bool has_deep_stack(const profile::Profile& profile) {
  std::vector<std::uint32_t> depths(profile.stack_count());
  for (std::size_t i = 1; i < depths.size(); ++i) {  // a parent is interned before its children
    depths[i] = depths[profile.stack(static_cast<profile::StackId>(i)).parent] + 1;
    if (depths[i] > speedscope_depth) return true;
  }
  return false;
}

template <Sink S>
void write_speedscope_frame(JsonWriter<S>& json, const profile::Profile& profile, const profile::Frame& frame) {
  json.begin_object();
  json.key("name");
  json.string(profile.string(frame.name));
  if (const auto& file = profile.string(frame.file); !file.empty()) {
    json.key("file");
    json.string(file);
  }
  if (frame.line > 0) {
    json.key("line");
    json.number(static_cast<std::uint64_t>(frame.line));
  }
  if (frame.column > 0) {
    json.key("col");
    json.number(static_cast<std::uint64_t>(frame.column));
  }
  json.end_object();
}

/// Numbers of an array as text, `0,17,4`. Lists that follow each other mostly begin alike.
class NumberList {
 public:
  std::string_view assign(std::span<const std::uint32_t> numbers) {
    const auto differs = std::mismatch(numbers.begin(), numbers.end(), numbers_.begin(), numbers_.end());
    std::size_t kept = static_cast<std::size_t>(differs.first - numbers.begin());
    text_.resize(kept != 0 ? ends_[kept - 1] : 0);
    numbers_.assign(numbers.begin(), numbers.end());
    ends_.resize(numbers.size());
    for (; kept < numbers.size(); ++kept) {
      if (kept != 0) text_ += ',';
      text_ += std::to_string(numbers[kept]);
      ends_[kept] = text_.size();
    }
    return text_;
  }

 private:
  std::vector<std::uint32_t> numbers_;
  std::vector<std::size_t> ends_;
  std::string text_;
};

template <Sink S>
void write_speedscope_profile(JsonWriter<S>& json, const profile::Profile& profile, const profile::Thread& thread,
                              std::string_view name) {
  json.begin_object();
  json.key("type");
  json.string("sampled");
  json.key("name");
  json.string(name);
  json.key("unit");
  json.string("seconds");
  json.key("startValue");
  json.number(0);
  json.key("endValue");
  json.number_text(profile::seconds_text(profile::total_weight(thread)));
  json.key("samples");
  json.begin_array();
  std::vector<profile::FrameId> frames;
  NumberList list;
  for_each_run(thread, [&](profile::StackId stack, std::chrono::nanoseconds) {
    profile.frames_of(stack, frames);
    if (frames.size() > speedscope_depth) {
      const auto gap = frames.begin() + speedscope_depth / 2;
      *gap = static_cast<profile::FrameId>(profile.frame_count());
      frames.erase(gap + 1, frames.end() - (speedscope_depth - speedscope_depth / 2 - 1));
    }
    json.begin_array();
    if (!frames.empty()) json.number_text(list.assign(frames));
    json.end_array();
  });
  json.end_array();
  json.key("weights");
  json.begin_array();
  for_each_run(thread, [&](profile::StackId, std::chrono::nanoseconds weight) {
    json.number_text(profile::seconds_text(weight));
  });
  json.end_array();
  json.end_object();
}

}  // namespace detail

/// Writes `profile` as JSON that the schema of the npm package `speedscope` 1.25 accepts
/// (dist/release/file-format-schema.json), followed by one line feed.
///
/// Shape:  one `sampled` profile per thread, in the profile's order. The one that is shown first (`activeProfileIndex`)
///         is the one with the most time, which is where the program was, main thread or not; of equals the first.
///         Without any thread there is one empty profile, since speedscope cannot open a file with none.
///         Neighbouring samples with equal stacks are one sample. A stack of more than `speedscope_depth` frames keeps
///         its root and its leaf half, with a frame `[frames left out]` between them. A frame's `file`, `line` and `col` are left out
///         where they are not known.
/// Units:  weights and end values in seconds of measured time, exact to the nanosecond; `line` and `col` from 1.
/// Errors: the sink's first error; nothing is thrown. A file appears under its name when all went well.
template <Sink S>
Result<void> write_speedscope(const profile::Profile& profile, S& sink) {
  const auto& threads = profile.threads;
  const auto longest = std::max_element(threads.begin(), threads.end(), [](const auto& left, const auto& right) {
    return profile::total_weight(left) < profile::total_weight(right);
  });

  const bool names_process =
      std::any_of(threads.begin(), threads.end(), [&](const auto& thread) { return thread.pid != threads[0].pid; });

  JsonWriter<S> json{sink};
  json.begin_object();
  json.key("$schema");
  json.string("https://www.speedscope.app/file-format-schema.json");
  json.key("exporter");
  json.string(profile.exporter);
  json.key("name");
  json.string(profile.name);
  json.key("activeProfileIndex");
  json.number(threads.empty() ? 0 : static_cast<std::uint64_t>(longest - threads.begin()));
  json.key("shared");
  json.begin_object();
  json.key("frames");
  json.begin_array();
  for (std::size_t i = 0; i < profile.frame_count() && json.status() == Errc::ok; ++i)
    detail::write_speedscope_frame(json, profile, profile.frame(static_cast<profile::FrameId>(i)));
  if (detail::has_deep_stack(profile)) {
    json.begin_object();
    json.key("name");
    json.string("[frames left out]");
    json.end_object();
  }
  json.end_array();
  json.end_object();
  json.key("profiles");
  json.begin_array();
  if (threads.empty()) detail::write_speedscope_profile(json, profile, profile::Thread{}, "no samples");
  for (const profile::Thread& thread : threads) {
    if (json.status() != Errc::ok) return Error{json.status()};
    detail::write_speedscope_profile(json, profile, thread, speedscope_profile_name(thread, names_process));
  }
  json.end_array();
  json.end_object();
  return finish(sink, json.finish());
}

}  // namespace pyagent::inline v0::format
