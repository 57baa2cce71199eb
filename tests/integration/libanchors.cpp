// Captures the stack of the Python thread that calls it (programs/anchors.py), with the anchors of its entry frames.
#include <pthread.h>
#include <unistd.h>

#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "pyagent/capture/own_process.hpp"
#include "pyagent/capture/thread_capture.hpp"
#include "pyagent/sampler/target.hpp"

using namespace pyagent;

namespace {

const Result<sampler::Target>& own() {
  static const Result<sampler::Target> target = sampler::attach(::getpid());
  return target;
}

Address stack_end() {
  pthread_attr_t attributes;
  void* begin = nullptr;
  std::size_t size = 0;
  if (::pthread_getattr_np(::pthread_self(), &attributes) != 0) return {};
  ::pthread_attr_getstack(&attributes, &begin, &size);
  ::pthread_attr_destroy(&attributes);
  return Address{reinterpret_cast<std::uint64_t>(begin)} + size;
}

cpython::RawThread own_thread(const memory::LocalMemory& memory, const interpreter::Runtime& runtime) {
  std::byte scratch[cpython::max_thread_prefix_size];
  cpython::RawThread found;
  cpython::visit_threads(memory, runtime.layout, runtime.interpreter_head, scratch, [&](const cpython::RawThread& thread) {
    if (thread.thread_id == ::pthread_self()) found = thread;
    return !found.thread;
  });
  return found;
}

std::string list(const std::vector<Address>& addresses) {
  std::string text = "[";
  for (const Address address : addresses) text += (text.size() > 1 ? ", " : "") + std::to_string(address.value);
  return text + ']';
}

}  // namespace

/// JSON of the calling thread's entry frames: their number, their anchors innermost first, how the capture went, and
/// the part of the C stack that is in use. Gives its length, 0 if there is none.
extern "C" std::size_t read_anchors_json(char* out, std::size_t size) {
  if (!own()) return 0;
  const interpreter::Runtime& runtime = own()->runtime();
  const capture::Target target{.layout = runtime.layout,
                               .code_type = runtime.code_type,
                               .none = runtime.none,
                               .interpreter_head = runtime.interpreter_head,
                               .runtime = runtime.runtime,
                               .current_thread = runtime.current_thread_symbol};
  memory::LocalMemory memory{::getpid(), true};
  const cpython::RawThread thread = own_thread(memory, runtime);
  if (!thread.thread) return 0;
  const AddressRange stack{{reinterpret_cast<std::uint64_t>(__builtin_frame_address(0))}, stack_end()};
  std::vector<cpython::RawFrame> storage(8192);
  capture::RawStack frames{storage, 64};
  capture::OwnProcess process{target, memory, capture::Trust::own_thread, stack};
  capture::ThreadCapture capture{target, process, thread, capture::Wanted::anchors};
  const auto outcome = capture.run({{}, stack.begin}, frames);
  frames.finish();
  std::size_t entries = 0;
  std::vector<Address> anchors;
  for (const cpython::RawFrame& frame : frames.frames()) {
    entries += frame.is_entry;
    if (frame.anchor) anchors.push_back(frame.anchor);
  }
  const std::string text = "{\"outcome\": " + std::to_string(static_cast<int>(outcome)) +
                           ", \"frames\": " + std::to_string(frames.frames().size()) +
                           ", \"entries\": " + std::to_string(entries) + ", \"anchors\": " + list(anchors) +
                           ", \"stack\": " + list({stack.begin, stack.end}) + '}';
  if (text.size() > size) return 0;
  std::memcpy(out, text.data(), text.size());
  return text.size();
}
