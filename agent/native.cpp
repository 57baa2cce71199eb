// Unwinds the thread that a handler interrupted, by the call frame information that the program itself has mapped.
#include "native.hpp"

#include <fcntl.h>  // O_RDONLY
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>  // copy, min
#include <array>      // array
#include <atomic>     // atomic

#include "modules.hpp"
#include "pyagent/capture/native_capture.hpp"
#include "pyagent/dwarf/find_rule.hpp"
#include "pyagent/memory/buffer_memory.hpp"
#include "pyagent/process/task_files.hpp"
#include "pyagent/recording/native_quality.hpp"
#include "pyagent/unwind/rule_cache.hpp"
#include "state.hpp"

namespace pyagent::agent {
namespace {

using Cache = unwind::RuleCache<512>;

/// What was learned from earlier samples, for as many handlers at once; one more does without. One for each thread
/// would cost 32 KiB each, and the agent's own thread would learn nothing for itself.
struct Experience {
  std::atomic<bool> is_taken;
  capture::AnchorDistance anchor_distance;
  Cache rules;
};
constexpr std::size_t experience_count = 8;
std::atomic<std::array<Experience, experience_count>*> experiences;

/// One that nobody else uses, if there is one.
class TakenExperience {
 public:
  TakenExperience() noexcept {
    auto* const all = experiences.load(std::memory_order_acquire);
    if (all == nullptr) return;
    for (Experience& experience : *all)
      if (!experience.is_taken.exchange(true, std::memory_order_acquire)) {
        taken_ = &experience;
        return;
      }
  }
  ~TakenExperience() {
    if (taken_ != nullptr) taken_->is_taken.store(false, std::memory_order_release);
  }
  TakenExperience(const TakenExperience&) = delete;
  TakenExperience& operator=(const TakenExperience&) = delete;
  Experience* get() const noexcept { return taken_; }

 private:
  Experience* taken_ = nullptr;
};

/// The code of this process. Satisfies unwind::CodeMap.
class OwnCode {
 public:
  OwnCode(SampleModules& modules, Cache* cache) noexcept : modules_(modules), cache_(cache) {}

  __attribute__((noinline)) unwind::UnwindRule find_rule(Address pc) noexcept {
    const Module* const module = modules_.find(pc);
    if (module == nullptr || module->unwind_info.header.empty()) return {};
    unwind::UnwindRule rule;
    if (cache_ != nullptr && cache_->find(pc, module->generation, rule)) return rule;
    rule = dwarf::find_rule(module->unwind_info, pc.value).value_or({});
    if (cache_ != nullptr) cache_->keep(pc, module->generation, rule);
    return rule;
  }

  bool follows_call(Address address) noexcept { return unwind::NativeArch::ends_with_call(code_before(address)); }

  Address find_callee(Address address) noexcept {
    const Address callee{unwind::NativeArch::find_call_target(code_before(address), address.value)};
    if (!callee) return {};
    const auto code = code_at(callee, unwind::NativeArch::stub_size);
    return code.empty() || unwind::NativeArch::is_stub(code) ? Address{} : callee;
  }

 private:
  /// `size` bytes of code in place; empty where there are not so many.
  std::span<const std::byte> code_at(Address address, std::uint64_t size) noexcept {
    if (const Module* const module = modules_.find(address))
      for (const AddressRange& code : module->code)
        if (code.contains(address, size))
          return {reinterpret_cast<const std::byte*>(address.value), static_cast<std::size_t>(size)};
    return {};
  }
  /// As many bytes before `address` as a call can have.
  std::span<const std::byte> code_before(Address address) noexcept {
    return code_at(address - unwind::NativeArch::longest_call, unwind::NativeArch::longest_call);
  }

  SampleModules& modules_;
  Cache* cache_;
};

/// The interrupted thread's stack. A program may run on a stack of its own making, so each page is asked for before it
/// is read directly: once in the thread's life, if it is a page of the thread's own stack, which stays.
class StackMemory {
 public:
  static constexpr bool is_signal_safe = true;
  StackMemory(const memory::LocalMemory& memory, AddressRange own_stack, AddressRange& proven) noexcept
      : memory_(memory), own_stack_(own_stack), proven_(proven) {}

  Errc read(Address address, std::span<std::byte> out) const noexcept {
    if (!proven_.contains(address, out.size()) && !known_.contains(address, out.size()) && !extend(address, out.size()))
      return Errc::unreadable;
    memory::LocalMemory::copy(address, out);
    return Errc::ok;
  }

 private:
  static constexpr std::uint64_t page = 4096;

  bool extend(Address address, std::uint64_t size) const noexcept {
    const Address begin{address.value & ~(page - 1)}, end{(address.value + size + page - 1) & ~(page - 1)};
    if (end <= begin || end - begin > 2 * page) return false;
    for (Address at = begin; at < end; at = at + page) {
      if (known_.contains(at) || proven_.contains(at)) continue;
      std::byte probe;
      if (memory_.read_guarded(at, {&probe, 1}) != Errc::ok) return false;
    }
    join(known_, {begin, end});
    if (own_stack_.begin <= begin + page && end <= own_stack_.end + page) join(proven_, known_);
    return true;
  }

  /// Makes `range` cover `more` as well where both touch, else instead.
  static void join(AddressRange& range, AddressRange more) noexcept {
    if (more.begin <= range.end && range.begin <= more.end)
      range = {std::min(range.begin, more.begin), std::max(range.end, more.end)};
    else
      range = more;
  }

  const memory::LocalMemory& memory_;
  AddressRange own_stack_;
  AddressRange& proven_;
  mutable AddressRange known_{};
};

/// Where a stack ends is known of the main thread. Other threads have what the C library keeps of them at the upper end
/// of theirs. Source: allocate_stack, glibc 2.36 nptl/allocatestack.c
/// Empty when it isn't known.
AddressRange own_stack_of(const Slot& slot, Address stack_pointer) noexcept {
  constexpr std::uint64_t most = std::uint64_t{1} << 30;
  for (const Address end : {Address{slot.thread.thread_id}, slot.own_stack.end})
    if (end > stack_pointer && end - stack_pointer < most) return {stack_pointer, end};
  return {};
}

AddressRange stack_of(const Slot& slot, Address stack_pointer) noexcept {
  const AddressRange own = own_stack_of(slot, stack_pointer);
  return own.size() != 0 ? own : AddressRange{stack_pointer, stack_pointer + (std::uint64_t{8} << 20)};
}

/// What of Python's is on the C stack, innermost first. Up to 3.9 nothing is but what the eval loops work on.
capture::PythonAnchors find_anchors(Slot& slot, std::span<const cpython::RawFrame> python) noexcept {
  std::size_t count = 0;
  bool has_anchors = state.target->layout.frame_chain != cpython::FrameChain::frame_object;
  for (const cpython::RawFrame& frame : python) has_anchors = has_anchors || frame.anchor;
  for (const cpython::RawFrame& frame : python)
    if (frame.is_entry && count < slot.anchors.size()) slot.anchors[count++] = has_anchors ? frame.anchor : frame.frame;
  return {.anchors = std::span{slot.anchors}.first(count), .are_spilled = !has_anchors, .eval_code = state.eval_code};
}

template <memory::Memory M>
__attribute__((noinline)) capture::NativeWalk walk_stack(const M& stack, Slot& slot, const unwind::Registers& start,
                                                         const capture::PythonAnchors& anchors,
                                                         SampleModules& modules) noexcept {
  const TakenExperience taken;
  Experience* const experience = taken.get();
  OwnCode code{modules, experience != nullptr ? &experience->rules : nullptr};
  capture::AnchorDistance nothing_learned;
  return capture::capture_native(stack, code, start, stack_of(slot, start.stack_pointer()), anchors,
                                 experience != nullptr ? experience->anchor_distance : nothing_learned,
                                 slot.native_frames);
}

/// The frames of `walk` as recordings have them.
__attribute__((noinline)) NativeSample describe_walk(Slot& slot, const capture::NativeWalk& walk,
                                                     std::size_t evaluations, SampleModules& modules) noexcept {
  std::size_t count = 0;
  for (const capture::NativeFrame& frame : std::span{slot.native_frames}.first(walk.depth)) {
    const Module* const module = frame.pc ? modules.find(unwind::lookup_address(frame.pc, frame.is_exact)) : nullptr;
    if (module != nullptr && module->is_agent) continue;  // what starts a thread for the program
    const recording::ModuleId id = module != nullptr ? record_module(slot, *module) : 0;
    slot.native[count++] = {
        .module = id,
        .address = frame.pc.value - (id != 0 ? module->bias : 0),
        .flags = recording::native_flags(frame.is_eval, frame.is_exact, static_cast<std::uint8_t>(frame.found_by))};
  }
  return {.frames = std::span{slot.native}.first(count), .flags = recording::native_sample_flags(walk, evaluations)};
}

/// Where a thread waits, as the kernel tells it.
process::SystemCall read_system_call(pid_t tid) noexcept {
  char path[64] = "/proc/self/task/", digits[16];
  std::size_t length = 16, count = 0;
  for (; tid > 0; tid /= 10) digits[count++] = static_cast<char>('0' + tid % 10);
  while (count > 0) path[length++] = digits[--count];
  constexpr char name[] = "/syscall";
  std::copy(std::begin(name), std::end(name), path + length);
  const long file = ::syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
  if (file < 0) return {};
  char text[256];
  const long size = ::syscall(SYS_read, file, text, sizeof text);
  ::syscall(SYS_close, file);
  if (size <= 0) return {};
  return process::parse_system_call({text, static_cast<std::size_t>(size)}).value_or({});
}

/// Copies another thread's stack, which may go at any moment, as far as it can be read.
std::span<const std::byte> copy_stack(const memory::LocalMemory& memory, AddressRange stack) noexcept {
  constexpr std::size_t most = 256 * 1024;
  constexpr std::uint64_t page = 4096;
  static std::byte* storage;  // of the agent's own thread
  if (storage == nullptr) {
    void* const fresh = ::mmap(nullptr, most, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (fresh == MAP_FAILED) return {};
    storage = static_cast<std::byte*>(fresh);
  }
  const auto wanted = static_cast<std::size_t>(std::min<std::uint64_t>(most, stack.size()));
  std::size_t size = 0;
  while (size < wanted) {
    const Address at = stack.begin + size;
    const auto piece = std::min<std::size_t>(wanted - size, page - at.value % page);
    if (memory.read_guarded(at, {storage + size, piece}) != Errc::ok) break;
    size += piece;
  }
  return {storage, size};
}

}  // namespace

bool prepare_native() noexcept {
  prepare_modules();
  constexpr std::size_t bytes = sizeof(std::array<Experience, experience_count>);
  void* const fresh = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (fresh == MAP_FAILED) return false;
  experiences.store(static_cast<std::array<Experience, experience_count>*>(fresh), std::memory_order_release);
  return true;
}

NativeSample capture_native_frames(const memory::LocalMemory& memory, Slot& slot, const unwind::Registers& start,
                                   std::span<const cpython::RawFrame> python) noexcept {
  SampleModules modules{memory};
  const capture::PythonAnchors anchors = find_anchors(slot, python);
  const capture::NativeWalk walk = walk_stack(
      StackMemory{memory, own_stack_of(slot, start.stack_pointer()), slot.proven_stack}, slot, start, anchors, modules);
  return describe_walk(slot, walk, anchors.anchors.size(), modules);
}

NativeSample capture_waiting_native_frames(const memory::LocalMemory& memory, Slot& slot,
                                           std::span<const cpython::RawFrame> python) noexcept {
  const process::SystemCall call = read_system_call(slot.thread.tid);
  if (!call.stack_pointer || !call.program_counter) return {};
  const auto copy = copy_stack(memory, stack_of(slot, call.stack_pointer));
  SampleModules modules{memory};
  const capture::PythonAnchors anchors = find_anchors(slot, python);
  const capture::NativeWalk walk =
      walk_stack(memory::BufferMemory{call.stack_pointer, copy}, slot,
                 unwind::registers_of_blocked(call.program_counter, call.stack_pointer), anchors, modules);
  return describe_walk(slot, walk, anchors.anchors.size(), modules);
}

}  // namespace pyagent::agent
