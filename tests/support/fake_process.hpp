// An interpreter around a fake thread, in our own memory, so that a sampler can sample us or a child that we fork.
#pragma once

#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <string_view>
#include <utility>

#include "pyagent/cpython/layout.hpp"
#include "pyagent/interpreter/runtime.hpp"
#include "pyagent/sampler/target.hpp"
#include "support/catch.hpp"
#include "support/fake_thread.hpp"

namespace pyagent::test {

/// One interpreter with one thread state; others may be linked to it by hand.
class FakeProcess {
 public:
  /// Push the frames of `thread` before. Code objects are named as the frames are.
  explicit FakeProcess(const cpython::Layout& layout, std::size_t bytes = std::size_t{4} << 20)
      : layout_(layout), thread_(layout, bytes) {}

  FakeThread& thread() { return thread_; }
  Address head() { return build(), head_; }
  Address interpreter() { return build(), interpreter_; }

  /// Says that thread `tid` of a process runs the Python frames; `tid` 0: the one that calls.
  FakeProcess& run_by_caller() {
    build();
    put(thread_.address() + layout_.thread.thread_id, std::uint64_t{::pthread_self()});
    if (layout_.thread.native_thread_id != cpython::absent)
      put(thread_.address() + layout_.thread.native_thread_id, static_cast<std::uint64_t>(::syscall(SYS_gettid)));
    return *this;
  }

  interpreter::Runtime runtime() {
    build();
    interpreter::Runtime runtime;
    runtime.layout = layout_;
    runtime.interpreter_head = head_;
    runtime.code_type = thread_.code_type();
    runtime.none = thread_.none();
    runtime.runtime = runtime_;
    runtime.current_thread_symbol = head_ + 8;
    runtime.image = {head_, head_ + 16};
    return runtime;
  }

  sampler::Target target(pid_t pid) {
    auto identity = process::Identity::open(pid);
    REQUIRE(identity);
    return {std::move(*identity), runtime()};
  }

  /// A compact ASCII str.
  Address str(std::string_view text) {
    const auto& at = layout_.unicode;
    const Address object = thread_.allocate(at.ascii_data + text.size() + 1).begin;
    put(object + at.length, std::uint64_t{text.size()});
    put(object + at.hash, std::int64_t{-1});
    const std::uint32_t bits = 1 | 8 | 16;
    put(object + at.state, bits << (layout_.string_state == cpython::StringState::free_threaded ? 8 : 2));
    for (std::size_t i = 0; i < text.size(); ++i) put(object + at.ascii_data + i, text[i]);
    return object;
  }

  /// A code object without instructions.
  Address code(Address name, Address filename, std::int32_t first_line, std::uint32_t version = 0) {
    const Address object = thread_.allocate(layout_.code.size + 16).begin;
    put(object + layout_.object.type, thread_.code_type().value);
    set_code(object, name, filename, first_line, version);
    return object;
  }
  void set_code(Address object, Address name, Address filename, std::int32_t first_line, std::uint32_t version = 0) {
    put(object + layout_.code.name, name.value);
    if (layout_.code.qualname != cpython::absent) put(object + layout_.code.qualname, name.value);
    put(object + layout_.code.filename, filename.value);
    put(object + layout_.code.firstlineno, first_line);
    if (layout_.code.version != cpython::absent) put(object + layout_.code.version, version);
  }

  template <class T>
  void put(Address where, T value) {
    thread_.write(where, value);
  }

 private:
  void build() {
    if (std::exchange(is_built_, true)) return;
    const auto& at = layout_.interpreter;
    std::uint64_t size = 0;
    for (const cpython::Offset offset :
         {at.next, at.threads_head, at.modules, at.gil, at.gc_collecting, at.code_object_generation})
      if (offset != cpython::absent) size = std::max<std::uint64_t>(size, offset + 8);
    head_ = thread_.allocate(16).begin;
    interpreter_ = thread_.allocate(size).begin;
    const auto& runtime = layout_.runtime;
    runtime_ = thread_.allocate(runtime.tstate_current == cpython::absent ? 8 : runtime.tstate_current + 8).begin;
    put(head_, interpreter_.value);
    put(interpreter_ + at.threads_head, thread_.address().value);
    put(thread_.address() + layout_.thread.interpreter, interpreter_.value);
  }

  cpython::Layout layout_;
  FakeThread thread_;
  bool is_built_ = false;
  Address head_, interpreter_, runtime_;
};

}  // namespace pyagent::test
