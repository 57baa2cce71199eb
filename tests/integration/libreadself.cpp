// Reads the stacks of the Python that has loaded it with ctypes (programs/read_self.py), or of another one.
#include <unistd.h>

#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "pyagent/format/json.hpp"
#include "pyagent/sampler/memory_recording.hpp"
#include "pyagent/sampler/read_stack.hpp"

using namespace pyagent;

namespace {

using Json = format::JsonWriter<format::StringSink>;

void write_stack(Json& json, const sampler::ThreadStack& stack) {
  json.begin_object();
  json.key("tid");
  json.number_text(std::to_string(stack.thread.tid));
  json.key("ident");
  json.number(stack.thread.thread_id);
  json.key("name");
  json.string(stack.thread.name);
  json.key("flags");
  json.number(stack.flags);
  json.key("elided");
  json.number(stack.elided);
  json.key("elided_at");
  json.number(stack.elided_at);
  json.key("is_read");
  json.number_text(stack.is_read ? "true" : "false");
  json.key("frames");
  json.begin_array();
  for (const sampler::StackFrame& frame : stack.frames) {
    json.begin_array();
    json.string(frame.name);
    json.string(frame.file);
    json.number_text(std::to_string(frame.line));
    json.number_text(std::to_string(frame.column));
    json.end_array();
  }
  json.end_array();
  json.end_object();
}

const Result<sampler::Target>& own() {
  static const Result<sampler::Target> target = sampler::attach(::getpid());
  return target;
}

Errc write_stacks(Json& json, const Result<sampler::Target>& target, int tid, const sampler::Options& options) {
  if (!target) return target.error().code;
  std::vector<sampler::ThreadStack> stacks;
  if (tid != 0) {
    const auto read = sampler::read_stack(*target, tid, options);
    if (!read) return read.error().code;
    stacks.push_back(*read);
  } else {
    const auto read = sampler::read_stacks(*target, options);
    if (!read) return read.error().code;
    stacks = *read;
  }
  json.begin_array();
  for (const sampler::ThreadStack& stack : stacks) write_stack(json, stack);
  json.end_array();
  return Errc::ok;
}

}  // namespace

/// JSON of the stack of thread `tid` of process `pid`, or of all its threads if `tid` is 0; or a message.
/// Gives its length.
extern "C" std::size_t read_stacks_json(int pid, int tid, int stop_threads, char* out, std::size_t size) {
  format::StringSink sink;
  Json json{sink};
  const sampler::Options options{.stop_threads = stop_threads != 0};
  const Errc failed = pid == ::getpid() ? write_stacks(json, own(), tid, options)
                                        : write_stacks(json, sampler::attach(pid), tid, options);
  (void)json.finish();
  const std::string text = failed == Errc::ok ? sink.text : message(failed);
  if (text.size() > size) return 0;
  std::memcpy(out, text.data(), text.size());
  return text.size();
}

/// Samples the own process ten times: how many samples there were, and how much of anything else was counted.
extern "C" void sample_self(int stop_threads, std::uint64_t* samples, std::uint64_t* others) {
  if (!own()) return;
  const sampler::Options options{.stop_threads = stop_threads != 0, .idle = true};
  sampler::MemoryRecording recording{sampler::describe_process(*own(), options)};
  sampler::Sampler sampler{*own(), options};
  for (int i = 0; i < 10; ++i) (void)sampler.sample(recording);
  sampler.finish(recording);
  const recording::Counters& counters = recording.counters();
  *samples = counters.samples;
  *others = counters.without_python + counters.repaired + counters.suspect + counters.unreadable + counters.dropped +
            counters.unsampled_threads + counters.unstopped_threads + counters.stop_timeouts;
}
