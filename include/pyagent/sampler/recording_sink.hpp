// Samples into a recording on the disk, which is whole up to the last one whatever happens.
#pragma once

#include <algorithm>  // max
#include <chrono>     // nanoseconds
#include <cstddef>    // byte
#include <cstring>    // memcpy
#include <memory>     // unique_ptr
#include <span>       // span
#include <string>     // string
#include <vector>     // vector

#include "pyagent/base/result.hpp"
#include "pyagent/recording/encode_process.hpp"
#include "pyagent/recording/spool.hpp"
#include "pyagent/recording/stream_writer.hpp"
#include "pyagent/sampler/describe_process.hpp"
#include "pyagent/sampler/options.hpp"
#include "pyagent/sampler/sample_sink.hpp"
#include "pyagent/sampler/target.hpp"

namespace pyagent::inline v0::sampler {

/// Writes the recording of one process.
class RecordingSink : public SampleSink {
 public:
  /// Creates the file `path`, absolute, which must not exist.
  ///
  /// Errors: no_space, io_error.
  static Result<std::unique_ptr<RecordingSink>> create(const std::string& path, const Target& target,
                                                       const Options& options);

  void add_code(const recording::CodeRecord& code) override;
  void add_module(const recording::ModuleRecord& module) override;
  void add_thread(const recording::ThreadRecord& thread) override;
  void add_sample(const recording::SampleRecord& sample) override;
  void count(recording::Counter counter, std::uint64_t amount) override { spool_.count(counter, amount); }
  Errc status() const noexcept override { return status_; }

  const std::string& path() const noexcept { return path_; }
  std::uint64_t counted(recording::Counter counter) const noexcept {
    return spool_.header()->counters[static_cast<std::size_t>(counter)];
  }
  /// Cuts the file to what was written. Nothing may be added afterwards.
  Errc finish() { return spool_.trim(); }

 private:
  /// A thread's own part of the file; its samples are coded against each other.
  struct Stream {
    std::vector<recording::CodedFrame> previous = std::vector<recording::CodedFrame>(most_frames);
    std::vector<recording::NativeFrameRecord> previous_native;  // from the first native stack on
    recording::StreamWriter writer;
    recording::ThreadIndex thread = 0;
    bool is_used = false;
  };
  static constexpr std::size_t most_frames = 4096;
  static constexpr std::size_t most_streams = 64;  // beyond that threads share them

  explicit RecordingSink(std::string path) : path_(std::move(path)) {}
  Stream& stream_of(recording::ThreadIndex thread);
  void note(Errc result) noexcept {
    if (result == Errc::no_space || result == Errc::io_error) status_ = result;
  }

  std::string path_;
  recording::Spool spool_;
  recording::StreamWriter common_;
  std::vector<std::unique_ptr<Stream>> streams_;
  std::vector<recording::ThreadHead> threads_;
  std::vector<std::string> names_;
  std::vector<recording::CodedFrame> coded_;
  Errc status_ = Errc::ok;
};

inline Result<std::unique_ptr<RecordingSink>> RecordingSink::create(const std::string& path, const Target& target,
                                                                    const Options& options) {
  std::unique_ptr<RecordingSink> sink{new RecordingSink{path}};
  if (const Errc failed = sink->spool_.create(sink->path_.c_str()); failed != Errc::ok) return Error{failed};
  sink->common_ = {sink->spool_, 0, {}};
  std::vector<std::byte> payload(recording::process_record_size);
  recording::Encoder out{payload};
  recording::encode_process(describe_process(target, options), out);
  const Errc written =
      sink->common_.write_payload(recording::RecordKind::process, std::span{payload}.first(out.size()));
  if (written != Errc::ok) return Error{written};
  return sink;
}

inline void RecordingSink::add_code(const recording::CodeRecord& code) {
  note(common_.write_code(
      {.id = code.id, .first_line = code.first_line, .line_format = static_cast<std::uint8_t>(code.line_format)},
      code.name, code.qualified_name, code.filename, code.lines.size(), [&](std::span<std::byte> out) {
        if (!out.empty()) std::memcpy(out.data(), code.lines.data(), out.size());
        return true;
      }));
}

inline void RecordingSink::add_module(const recording::ModuleRecord& module) {
  note(common_.write_module(
      {.id = module.id, .range = module.range, .bias = module.bias, .is_interpreter = module.is_interpreter},
      module.path, std::as_bytes(std::span{module.build_id})));
}

inline void RecordingSink::add_thread(const recording::ThreadRecord& thread) {
  if (threads_.size() <= thread.index) {
    threads_.resize(thread.index + 1);
    names_.resize(thread.index + 1);
  }
  threads_[thread.index] = {
      .index = thread.index, .tid = thread.tid, .thread_id = thread.thread_id, .is_main = thread.is_main};
  if (names_[thread.index] != thread.name) note(common_.write_thread_name(thread.index, thread.name));
  names_[thread.index] = thread.name;
  const auto count = [](std::chrono::nanoseconds time) {
    return static_cast<std::uint64_t>(std::max(time.count(), 0L));
  };
  if (thread.cpu.count() > 0) note(common_.write_thread_cpu(thread.index, count(thread.cpu), count(thread.sampled)));
}

inline RecordingSink::Stream& RecordingSink::stream_of(recording::ThreadIndex thread) {
  const std::size_t place = thread % most_streams;
  if (streams_.size() <= place) streams_.resize(place + 1);
  auto& stream = streams_[place];
  if (stream == nullptr) {
    stream = std::make_unique<Stream>();
    stream->writer = {spool_, static_cast<std::uint32_t>(place) + 1, stream->previous};
  }
  if (!stream->is_used || stream->thread != thread) {
    stream->writer.begin_thread(threads_[thread]);
    stream->thread = thread;
    stream->is_used = true;
  }
  return *stream;
}

inline void RecordingSink::add_sample(const recording::SampleRecord& sample) {
  using recording::Counter;
  coded_.resize(sample.frames.size());
  for (std::size_t i = 0; i < coded_.size(); ++i)
    coded_[i] = {sample.frames[i].code * 2 + sample.frames[i].is_entry, sample.frames[i].instruction};
  const recording::SampleHead head{.time = static_cast<std::uint64_t>(sample.time.count()),
                                   .cpu = static_cast<std::uint64_t>(sample.cpu.count()),
                                   .wall = static_cast<std::uint64_t>(sample.wall.count()),
                                   .flags = sample.flags,
                                   .elided = sample.elided,
                                   .elided_at = sample.elided_at};
  Stream& stream = stream_of(sample.thread);
  if (!sample.native.empty() && stream.previous_native.empty()) {
    stream.previous_native.resize(most_frames);
    stream.writer.keep_native(stream.previous_native);
  }
  const Errc failed = stream.writer.write_sample(head, coded_, sample.native);
  note(failed);
  if (failed != Errc::ok) return spool_.count(Counter::dropped);
  count_kept(sample, [&](Counter counter) { spool_.count(counter); });
}

}  // namespace pyagent::inline v0::sampler
