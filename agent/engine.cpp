// One CPU-clock timer per thread (SIGEV_THREAD_ID), by raw system calls: no helper thread, no descriptor, no EINTR.
#include "engine.hpp"

#include <fcntl.h>    // O_DIRECTORY
#include <pthread.h>  // pthread_self
#include <signal.h>   // sigevent
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <cstring>  // memcpy

#include "modules.hpp"
#include "parked.hpp"
#include "signals.hpp"
#include "state.hpp"

namespace pyagent::agent {
namespace {

using recording::Counter;

constexpr pid_t being_set_up = -1;

/// Where the next free slot is looked for, and one more than the highest number ever used.
std::atomic<std::uint32_t> slot_hint;
std::atomic<std::uint32_t> highest_slot;

// No std::random_device: the first ticks of threads only need to differ.
std::uint64_t scramble(std::uint64_t value) noexcept {
  value = (value ^ value >> 31) * 0x9e3779b97f4a7c15u;
  return value ^ value >> 29;
}

Slot* chunk_of(std::uint32_t chunk) noexcept {
  if (Slot* const slots = state.chunks[chunk].load(std::memory_order_acquire)) return slots;
  constexpr std::size_t bytes = sizeof(Slot) * slots_per_chunk;
  const long fresh =
      ::syscall(SYS_mmap, nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (fresh < 0 && fresh > -4096) return nullptr;
  ::syscall(SYS_madvise, fresh, bytes, MADV_DONTDUMP);
  Slot* const slots = reinterpret_cast<Slot*>(fresh);
  Slot* expected = nullptr;
  if (state.chunks[chunk].compare_exchange_strong(expected, slots, std::memory_order_acq_rel)) return slots;
  ::syscall(SYS_munmap, fresh, bytes);
  return expected;
}

/// A slot of nobody else, its owner not yet set.
Slot* take_slot() noexcept {
  const std::uint32_t start = slot_hint.load(std::memory_order_relaxed);
  for (std::uint32_t i = 0; i < max_slots; ++i) {
    const std::uint32_t number = (start + i) % max_slots;
    pid_t expected = 0;
    if (state.owners[number].load(std::memory_order_relaxed) != 0 ||
        !state.owners[number].compare_exchange_strong(expected, being_set_up, std::memory_order_acquire))
      continue;
    Slot* const slots = chunk_of(number / slots_per_chunk);
    if (slots == nullptr) {
      state.owners[number].store(0, std::memory_order_release);
      return nullptr;
    }
    slot_hint.store(number + 1, std::memory_order_relaxed);
    for (auto highest = highest_slot.load();
         highest <= number && !highest_slot.compare_exchange_weak(highest, number + 1);) {
    }
    Slot* const slot = slots + number % slots_per_chunk;
    slot->number = number;
    return slot;
  }
  return nullptr;
}

void free_slot(Slot& slot) noexcept {
  slot.is_armed.store(false, std::memory_order_release);
  state.owners[slot.number].store(0, std::memory_order_release);
  // Used again soon: its pages are there, and its block of the recording is not full.
  slot_hint.store(slot.number, std::memory_order_relaxed);
}

timespec to_timespec(std::uint64_t time) noexcept {
  return {static_cast<time_t>(time / 1'000'000'000), static_cast<long>(time % 1'000'000'000)};
}

/// A timer whose ticks go to `tid` and speak of `slot`; false if the kernel refuses.
bool make_timer(Slot& slot, pid_t tid, clockid_t clock, int& timer) noexcept {
  sigevent event{};
  event.sigev_notify = SIGEV_THREAD_ID;
  event.sigev_signo = state.signal;
  event.sigev_value.sival_ptr = &slot;
  event._sigev_un._tid = tid;
  return ::syscall(SYS_timer_create, clock, &event, &timer) == 0;
}

bool create_timer(Slot& slot, pid_t tid, clockid_t clock) noexcept {
  if (!make_timer(slot, tid, clock, slot.timer)) return false;
  // The first tick comes at a random point of the interval, so that threads don't tick in step with what they do.
  const std::uint64_t first =
      1 + scramble(static_cast<std::uint64_t>(tid) ^ read_clock(CLOCK_MONOTONIC)) % state.interval;
  // A wall clock runs on while the handler works: such a timer is set anew by each tick, or it would starve the
  // program.
  const itimerspec times{.it_interval = to_timespec(clock == CLOCK_MONOTONIC ? 0 : state.interval),
                         .it_value = to_timespec(first)};
  slot.is_armed.store(true, std::memory_order_release);
  if (::syscall(SYS_timer_settime, slot.timer, 0, &times, nullptr) == 0) return true;
  slot.is_armed.store(false, std::memory_order_release);
  ::syscall(SYS_timer_delete, slot.timer);
  return false;
}

/// Sets a slot up for `tid` and starts its timer.
Slot* adopt_thread(pid_t tid, std::uint64_t thread_id, Address stack_end) noexcept {
  Slot* const slot = take_slot();
  if (slot == nullptr) return count(Counter::unsampled_threads), nullptr;
  const clockid_t cpu_clock = cpu_clock_of(tid);
  slot->is_busy.store(false, std::memory_order_relaxed);
  slot->thread = {.index = state.next_thread.fetch_add(1, std::memory_order_relaxed),
                  .tid = tid,
                  .thread_id = thread_id,
                  .is_main = tid == state.pid};
  slot->own_stack = {{}, stack_end};
  slot->proven_stack = {};
  slot->first_cpu = read_clock(cpu_clock);
  slot->last_cpu = state.clock == CLOCK_MONOTONIC ? read_clock(CLOCK_MONOTONIC) : slot->first_cpu;
  slot->sampled_cpu = slot->samples = slot->name_hash = 0;
  slot->parked.looked_at = slot->parked.wall = 0;
  slot->parked.is_known = false;
  slot->thread_state = slot->searched_head = {};
  slot->has_look_timer = slot->is_second_look = false;
  slot->skipped_searches = 1;
  if (!slot->writer.is_bound()) slot->writer = recording::StreamWriter{state.spool, slot->number, slot->previous, slot->previous_native};
  slot->writer.begin_thread(slot->thread);
  state.owners[slot->number].store(tid, std::memory_order_release);
  if (create_timer(*slot, tid, state.clock == CLOCK_MONOTONIC ? CLOCK_MONOTONIC : cpu_clock)) return slot;
  free_slot(*slot);
  count(Counter::unsampled_threads);
  return nullptr;
}

bool has_slot(pid_t tid) noexcept {
  for (std::uint32_t i = 0; i < slot_limit(); ++i)
    if (state.owners[i].load(std::memory_order_relaxed) == tid) return true;
  return false;
}

}  // namespace

pid_t current_tid() noexcept { return static_cast<pid_t>(::syscall(SYS_gettid)); }

// Source: CPUCLOCK_PERTHREAD_MASK and CPUCLOCK_SCHED, Linux include/linux/posix-timers_types.h
clockid_t cpu_clock_of(pid_t tid) noexcept { return static_cast<clockid_t>(~static_cast<unsigned>(tid) << 3 | 6u); }

std::span<const char> read_kernel_name(std::span<char> out) noexcept {
  constexpr std::size_t room = 16;  // TASK_COMM_LEN
  if (out.size() < room || ::syscall(SYS_prctl, PR_GET_NAME, out.data(), 0, 0, 0) != 0) return {};
  std::size_t size = 0;
  while (size < room && out[size] != '\0') ++size;
  return out.first(size);
}

void set_timer_anew(const Slot& slot) noexcept {
  if (state.clock != CLOCK_MONOTONIC || slot.is_second_look) return;
  const itimerspec times{.it_interval = {}, .it_value = to_timespec(state.interval)};
  ::syscall(SYS_timer_settime, slot.timer, 0, &times, nullptr);
}

bool ask_for_second_look(Slot& slot) noexcept {
  if (slot.is_second_look) return slot.is_second_look = false;
  constexpr std::uint64_t delay = 20'000;
  const itimerspec times{.it_interval = {}, .it_value = to_timespec(delay)};
  if (!slot.has_look_timer) slot.has_look_timer = make_timer(slot, slot.thread.tid, CLOCK_MONOTONIC, slot.look_timer);
  return slot.is_second_look =
             slot.has_look_timer && ::syscall(SYS_timer_settime, slot.look_timer, 0, &times, nullptr) == 0;
}

void delete_timers(Slot& slot) noexcept {
  ::syscall(SYS_timer_delete, slot.timer);
  if (slot.has_look_timer) ::syscall(SYS_timer_delete, slot.look_timer);
  slot.has_look_timer = false;
}

std::uint32_t slot_limit() noexcept { return highest_slot.load(std::memory_order_acquire); }

Slot* live_slot(std::uint32_t number) noexcept {
  if (state.owners[number].load(std::memory_order_acquire) <= 0) return nullptr;
  Slot* const slots = state.chunks[number / slots_per_chunk].load(std::memory_order_acquire);
  return slots == nullptr ? nullptr : slots + number % slots_per_chunk;
}

void begin_own_thread(const void* stack_end) noexcept {
  if (state.phase.load(std::memory_order_acquire) != Phase::sampling || own_slot != nullptr) return;
  const BlockedSignal blocked;
  own_slot = adopt_thread(current_tid(), pthread_self(), Address{reinterpret_cast<std::uint64_t>(stack_end)});
}

void end_own_thread() noexcept {
  Slot* const slot = own_slot;
  if (slot == nullptr) return;
  const BlockedSignal blocked;
  slot->is_armed.store(false, std::memory_order_release);
  delete_timers(*slot);
  end_own_wait(*slot);
  if (slot->samples != 0 && state.is_open.load(std::memory_order_acquire) && state.phase.load() == Phase::sampling)
    slot->writer.write_thread_cpu(slot->thread.index, read_clock(CLOCK_THREAD_CPUTIME_ID) - slot->first_cpu,
                                  slot->sampled_cpu);
  own_slot = nullptr;
  free_slot(*slot);
}

void adopt_all_threads() noexcept {
  const long fd = ::syscall(SYS_openat, AT_FDCWD, "/proc/self/task", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return;
  // Source: struct linux_dirent64, getdents64(2)
  alignas(8) char entries[256];
  for (long size; (size = ::syscall(SYS_getdents64, fd, entries, sizeof entries)) > 0;)
    for (long at = 0; at < size;) {
      std::uint16_t length;
      std::memcpy(&length, entries + at + 16, sizeof length);
      pid_t tid = 0;
      for (const char* digit = entries + at + 19; *digit >= '0' && *digit <= '9'; ++digit)
        tid = tid * 10 + (*digit - '0');
      if (tid != 0 && tid != state.helper.load(std::memory_order_relaxed) && !has_slot(tid)) adopt_thread(tid, 0, {});
      at += length;
    }
  ::syscall(SYS_close, fd);
}

void find_unsampled_threads() noexcept {
  if (state.clock == CLOCK_MONOTONIC) return;
  constexpr std::uint64_t period = 1'000'000'000;
  const std::uint64_t now = read_clock(CLOCK_MONOTONIC);
  std::uint64_t last = state.unaccounted_check.load(std::memory_order_relaxed);
  if (now - last < period || !state.unaccounted_check.compare_exchange_strong(last, now, std::memory_order_relaxed))
    return;
  const std::uint64_t process_cpu = read_clock(CLOCK_PROCESS_CPUTIME_ID);
  const std::uint64_t known = state.ticked_cpu.load(std::memory_order_relaxed);
  const std::uint64_t missing = process_cpu - known;
  // Each thread's unfinished interval is missing legitimately, and the time of threads that ended early.
  const std::uint64_t before = state.missing_cpu.exchange(missing, std::memory_order_relaxed);
  if (missing > before + 5 * state.interval) adopt_all_threads();
}

void restart_in_child() noexcept {
  const AddressRange stack = own_slot != nullptr ? own_slot->own_stack : AddressRange{};
  own_slot = nullptr;
  state.pid = static_cast<pid_t>(::syscall(SYS_getpid));
  state.spool.abandon();
  state.codes.clear();
  for (std::uint32_t i = 0; i < slot_limit(); ++i) state.owners[i].store(0, std::memory_order_relaxed);
  for (auto& chunk : state.chunks)
    if (Slot* const slots = chunk.exchange(nullptr, std::memory_order_relaxed))
      ::syscall(SYS_munmap, slots, sizeof(Slot) * slots_per_chunk);
  for (auto& counter : state.counters) counter.store(0, std::memory_order_relaxed);
  state.is_opening.store(false);
  state.is_open.store(false);
  state.open_error.store(0);
  state.next_code.store(0);
  state.next_thread.store(0);
  state.next_module.store(0);
  forget_modules();
  state.helper.store(0);
  slot_hint.store(0);
  begin_own_thread(reinterpret_cast<const void*>(stack.end.value));
}

}  // namespace pyagent::agent
