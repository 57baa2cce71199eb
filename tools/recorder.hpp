// Records all processes of a session, each into a file of its own.
#pragma once

#include <chrono>  // steady_clock
#include <string>  // string
#include <vector>  // vector

#include "pyagent/sampler/recording_sink.hpp"
#include "pyagent/sampler/session.hpp"

namespace pyagent::tools {

/// Gives each process of a session its recording, shows on a terminal how it goes, and ends it when a signal asks for
/// that.
class Recorder final : public sampler::SessionEvents {
 public:
  /// Recordings stand beside `output`. The end of process `named` is worth a note. `is_quiet` leaves out what is no
  /// failure.
  Recorder(std::string output, const sampler::Options& options, pid_t named, bool is_quiet);

  std::unique_ptr<sampler::SampleSink> open(const sampler::Target& target) override;
  void ended(const sampler::Target& target, sampler::SampleSink& sink, sampler::End end) override;
  void refused(pid_t pid, Error error, const interpreter::FindFailure& why) override;
  bool tick(const sampler::Tick& tick) override;
  bool interrupted() override;

  /// The recordings that were made, in the order in which they were begun.
  const std::vector<std::string>& recordings() const noexcept { return paths_; }
  /// The process that was named has ended, or can't be sampled any more.
  bool has_lost_process() const noexcept { return has_lost_process_; }
  /// Samples could not be kept, or a process not be recorded.
  bool has_failed() const noexcept { return has_failed_; }
  std::chrono::duration<double> elapsed() const noexcept { return std::chrono::steady_clock::now() - started_; }
  /// Takes the line that shows how it goes from the terminal.
  void clear_line();

 private:
  using Clock = std::chrono::steady_clock;

  void say_above_line(const std::string& text);
  void show_line(const sampler::Tick& tick);
  std::uint64_t counted(recording::Counter counter) const;

  std::string output_;
  sampler::Options options_;
  pid_t named_;
  bool is_quiet_;
  bool shows_line_;
  bool has_line_ = false;
  bool has_failed_ = false;
  bool has_lost_process_ = false;
  Clock::time_point started_ = Clock::now();
  Clock::time_point next_line_ = started_;
  std::vector<const sampler::RecordingSink*> sinks_;  // of the processes that are sampled now
  std::vector<std::uint64_t> ended_counts_ = std::vector<std::uint64_t>(recording::counter_count);
  std::vector<std::string> paths_;
};

}  // namespace pyagent::tools
