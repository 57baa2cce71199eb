// Where a sampler's samples go: a recording, a profile, a table on the screen. May allocate
#pragma once

#include <cstdint>  // uint64_t
#include <span>     // span

#include "pyagent/base/errc.hpp"
#include "pyagent/cpython/raw_frame.hpp"
#include "pyagent/recording/file_format.hpp"
#include "pyagent/recording/records.hpp"

namespace pyagent::inline v0::sampler {

/// Why the sampling of a process ended.
enum class End : std::uint8_t {
  stopped,      ///< it was asked to
  exited,       ///< the process ended
  executed,     ///< the process runs another program now
  unreadable,   ///< its memory can't be read any more
  sink_failed,  ///< samples can't be kept any more: see SampleSink::status
};

/// Takes what is seen of one process, in order. What a record refers to comes before it.
class SampleSink {
 public:
  virtual ~SampleSink() = default;

  /// A code object, before the first sample that has its id in a frame. Ids begin at 1.
  virtual void add_code(const recording::CodeRecord& code) = 0;
  /// A module, before the first sample that has its id in a native frame. Ids begin at 1.
  virtual void add_module(const recording::ModuleRecord& module) { static_cast<void>(module); }
  /// A thread, before its first sample; again when its name is known or changed, and at its end with `cpu` and
  /// `sampled`. Indices are given in order from 0 and not used twice.
  virtual void add_thread(const recording::ThreadRecord& thread) = 0;
  /// The frames of the sample that comes next, leaf first, while its thread is still stopped (or blocked): the moment
  /// to read what belongs to them, such as locals. Most sinks need nothing of the kind.
  virtual void look(std::span<const cpython::RawFrame> frames) { static_cast<void>(frames); }
  /// One sample. The record is the sampler's and will be used again.
  virtual void add_sample(const recording::SampleRecord& sample) = 0;
  /// Something happened `amount` times. Samples that are given to `add_sample` are counted by whoever takes them.
  virtual void count(recording::Counter counter, std::uint64_t amount) = 0;
  /// Other than ok when nothing can be kept any more; the sampler then ends.
  virtual Errc status() const noexcept { return Errc::ok; }
};

/// What a sink counts of a sample that it keeps: `count(counter)` for each counter that goes up by one.
template <class Count>
void count_kept(const recording::SampleRecord& sample, Count&& count) {
  using recording::Counter;
  using recording::SampleFlag;
  count(Counter::samples);
  if (sample.elided != 0) count(Counter::elided);
  if (sample.has(SampleFlag::repaired)) count(Counter::repaired);
  if (sample.has(SampleFlag::suspect)) count(Counter::suspect);
  if (sample.has(SampleFlag::unreadable)) count(Counter::unreadable);
  if (!sample.native.empty()) count(recording::native_counter(sample.flags));
}

}  // namespace pyagent::inline v0::sampler
