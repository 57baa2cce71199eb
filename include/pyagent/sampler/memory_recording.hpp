// Samples kept in memory, to be made into a profile.
#pragma once

#include <algorithm>  // max
#include <cstddef>    // size_t
#include <cstdint>    // uint64_t
#include <utility>    // move
#include <vector>     // vector

#include "pyagent/profile/build_profile.hpp"
#include "pyagent/recording/records.hpp"
#include "pyagent/sampler/sample_sink.hpp"

namespace pyagent::inline v0::sampler {

/// A sink that is a profile::RecordingSource: what one process gave, with equal neighbouring stacks of a thread kept
/// once.
class MemoryRecording : public SampleSink {
 public:
  explicit MemoryRecording(recording::ProcessRecord process) : process_(std::move(process)) {}

  void add_code(const recording::CodeRecord& code) override { codes_.push_back(code); }
  void add_module(const recording::ModuleRecord& module) override { modules_.push_back(module); }
  void add_thread(const recording::ThreadRecord& thread) override {
    if (threads_.size() <= thread.index) threads_.resize(thread.index + 1);
    threads_[thread.index] = thread;
  }
  void add_sample(const recording::SampleRecord& sample) override;
  void count(recording::Counter counter, std::uint64_t amount) override;

  const recording::ProcessRecord& process() const noexcept { return process_; }
  const std::vector<recording::ThreadRecord>& threads() const noexcept { return threads_; }
  const recording::Counters& counters() const noexcept { return counters_; }
  const std::vector<recording::ModuleRecord>& modules() const noexcept { return modules_; }
  template <class Take>
  void for_each_module(Take&& take) const {
    for (const recording::ModuleRecord& module : modules_) take(module);
  }
  template <class Take>
  void for_each_code(Take&& take) const {
    for (const recording::CodeRecord& code : codes_) take(code);
  }
  template <class Take>
  void for_each_sample(Take&& take) const {
    for (const recording::SampleRecord& sample : samples_) take(sample);
  }

 private:
  recording::ProcessRecord process_;
  std::vector<recording::CodeRecord> codes_;
  std::vector<recording::ModuleRecord> modules_;
  std::vector<recording::ThreadRecord> threads_;
  std::vector<recording::SampleRecord> samples_;
  std::vector<std::size_t> last_;  // of each thread, one more than the place of its last sample
  recording::Counters counters_;
};
static_assert(profile::RecordingSource<MemoryRecording>);

inline void MemoryRecording::add_sample(const recording::SampleRecord& sample) {
  count_kept(sample, [&](recording::Counter counter) { count(counter, 1); });
  if (last_.size() <= sample.thread) last_.resize(sample.thread + 1);
  std::size_t& last = last_[sample.thread];
  const auto is_same = [](const recording::FrameRecord& one, const recording::FrameRecord& other) {
    return one.code == other.code && one.instruction == other.instruction && one.is_entry == other.is_entry;
  };
  if (last != 0) {
    recording::SampleRecord& before = samples_[last - 1];
    if (before.flags == sample.flags && before.elided == sample.elided && before.elided_at == sample.elided_at &&
        before.native == sample.native &&
        std::equal(before.frames.begin(), before.frames.end(), sample.frames.begin(), sample.frames.end(), is_same)) {
      before.time = sample.time;
      before.cpu += sample.cpu;
      before.wall += sample.wall;
      return;
    }
  }
  samples_.push_back(sample);
  last = samples_.size();
}

inline void MemoryRecording::count(recording::Counter counter, std::uint64_t amount) {
  counters_.*recording::counter_fields[static_cast<std::size_t>(counter)] += amount;
}

}  // namespace pyagent::inline v0::sampler
