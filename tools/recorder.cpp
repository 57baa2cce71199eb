// What happens at the events of a session that is recorded.
#include "recorder.hpp"

#include <unistd.h>  // isatty

#include <algorithm>  // erase
#include <cstdio>     // snprintf, fputs

#include "output.hpp"
#include "permissions.hpp"
#include "say.hpp"
#include "stop_signals.hpp"
#include "terminal_text.hpp"

namespace pyagent::tools {
namespace {

using recording::Counter;
using sampler::End;

/// What there is to say about a process that is not sampled any more; nothing when it was we who ended that.
std::string describe_end(const std::string& process, End end, Errc status) {
  switch (end) {
    case End::stopped:
      return {};
    case End::exited:
      return "process " + process + " has ended";
    case End::executed:
      return "process " + process + " runs another program now";
    case End::unreadable:
      return "process " + process + " can't be read any more";
    case End::sink_failed:
      return std::string{"no more samples could be kept: "} + message(status);
  }
  return {};
}

}  // namespace

Recorder::Recorder(std::string output, const sampler::Options& options, pid_t named, bool is_quiet)
    : output_(std::move(output)),
      options_(options),
      named_(named),
      is_quiet_(is_quiet),
      shows_line_(!is_quiet && ::isatty(STDERR_FILENO) == 1) {}

std::unique_ptr<sampler::SampleSink> Recorder::open(const sampler::Target& target) {
  const std::string path = choose_recording(output_, target.pid());
  auto sink = sampler::RecordingSink::create(path, target, options_);
  if (!sink) {
    has_failed_ = true;
    say_above_line("process " + describe_process(target.pid()) + " could not be recorded: " + message(sink.error()));
    return nullptr;
  }
  paths_.push_back(path);
  sinks_.push_back(sink->get());
  return std::move(*sink);
}

void Recorder::ended(const sampler::Target& target, sampler::SampleSink& sink, End end) {
  auto& recording = static_cast<sampler::RecordingSink&>(sink);
  for (std::size_t i = 0; i < ended_counts_.size(); ++i) ended_counts_[i] += recording.counted(static_cast<Counter>(i));
  recording.finish();
  std::erase(sinks_, &recording);
  const bool is_failure = end == End::sink_failed || end == End::unreadable, is_named = target.pid() == named_;
  has_failed_ = has_failed_ || is_failure;
  has_lost_process_ = has_lost_process_ || (is_named && end != End::stopped);
  const std::string note = describe_end(describe_process(target.pid()), end, recording.status());
  if (is_failure || (is_named && !is_quiet_ && !note.empty())) say_above_line(note);
}

void Recorder::refused(pid_t pid, Error error, const interpreter::FindFailure& why) {
  if (!is_quiet_) say_above_line(explain_attach_failure(pid, error, why));
}

bool Recorder::tick(const sampler::Tick& tick) {
  if (shows_line_ && tick.time >= next_line_) show_line(tick);
  return interrupted();
}

bool Recorder::interrupted() { return !is_stop_asked(); }

std::uint64_t Recorder::counted(Counter counter) const {
  std::uint64_t sum = ended_counts_[static_cast<std::size_t>(counter)];
  for (const auto* const sink : sinks_) sum += sink->counted(counter);
  return sum;
}

void Recorder::show_line(const sampler::Tick& tick) {
  constexpr std::chrono::milliseconds pause{250};
  next_line_ = tick.time + pause;
  const double seconds = elapsed().count();
  char text[160];
  std::snprintf(
      text, sizeof text, "\r%.1f s  %llu samples  %.0f looks a second  %llu dropped  %llu missed  (^C ends it)\x1b[K",
      seconds, static_cast<unsigned long long>(counted(Counter::samples)),
      static_cast<double>(tick.number) / std::max(seconds, 0.001),
      static_cast<unsigned long long>(counted(Counter::dropped)), static_cast<unsigned long long>(tick.missed));
  std::fputs(text, stderr);
  std::fflush(stderr);
  has_line_ = true;
}

void Recorder::say_above_line(const std::string& text) {
  clear_line();
  say(text);
}

void Recorder::clear_line() {
  if (has_line_) std::fputs("\r\x1b[K", stderr);
  has_line_ = false;
}

}  // namespace pyagent::tools
