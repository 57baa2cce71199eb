// Which code objects a recording holds already, by address and identity. signal-safe
#pragma once

#include <array>    // array
#include <atomic>   // atomic
#include <cstdint>  // uint64_t

#include "pyagent/base/address.hpp"

namespace pyagent::inline v0::recording {

/// A bounded, lock-free cache from a code object to its id in the recording. An address alone does not name a code
/// object: when one is freed its place is used again, so its identity (see cpython::code_identity) is compared as well.
///
/// `find` and `insert` may be called from signal handlers of any thread at once. What is lost in a race or pushed out
/// of its place is recorded a second time under another id, which costs space and nothing else.
class CodeTable {
 public:
  /// The id for this code object, or 0.
  std::uint32_t find(Address code, std::uint64_t identity) const noexcept {
    for (std::size_t probe = 0; probe < probes; ++probe) {
      const Entry& entry = entries_[place(code, probe)];
      const auto before = entry.sequence.load(std::memory_order_acquire);
      const auto address = entry.address.load(std::memory_order_relaxed);
      if (address == 0) return 0;
      if (address != code.value) continue;
      const bool same = entry.identity.load(std::memory_order_relaxed) == identity;
      const auto id = entry.id.load(std::memory_order_relaxed);
      std::atomic_thread_fence(std::memory_order_acquire);
      const bool stable = before % 2 == 0 && entry.sequence.load(std::memory_order_relaxed) == before;
      return stable && same ? id : 0;
    }
    return 0;
  }

  /// Remembers `id`, in the place of an older code object at that address if there was one.
  void insert(Address code, std::uint64_t identity, std::uint32_t id) noexcept {
    std::size_t chosen = place(code, id % probes);  // all taken: push one out
    for (std::size_t probe = 0; probe < probes; ++probe) {
      const auto address = entries_[place(code, probe)].address.load(std::memory_order_relaxed);
      if (address != 0 && address != code.value) continue;
      chosen = place(code, probe);
      break;
    }
    Entry& entry = entries_[chosen];
    auto sequence = entry.sequence.load(std::memory_order_relaxed);
    if (sequence % 2 != 0 || !entry.sequence.compare_exchange_strong(sequence, sequence + 1, std::memory_order_acquire))
      return;
    std::atomic_thread_fence(std::memory_order_release);
    entry.address.store(code.value, std::memory_order_relaxed);
    entry.identity.store(identity, std::memory_order_relaxed);
    entry.id.store(id, std::memory_order_relaxed);
    entry.sequence.store(sequence + 2, std::memory_order_release);
  }

  /// Forgets everything. To be called while no handler runs.
  void clear() noexcept {
    for (Entry& entry : entries_) {
      if (entry.address.load(std::memory_order_relaxed) == 0 && entry.sequence.load(std::memory_order_relaxed) == 0)
        continue;
      entry.address.store(0, std::memory_order_relaxed);
      entry.sequence.store(0, std::memory_order_relaxed);
    }
  }

 private:
  struct Entry {
    std::atomic<std::uint64_t> address = 0;
    std::atomic<std::uint64_t> identity = 0;
    std::atomic<std::uint32_t> id = 0;
    std::atomic<std::uint32_t> sequence = 0;
  };
  static constexpr std::size_t size = 1 << 15;
  static constexpr std::size_t probes = 8;

  static constexpr std::size_t place(Address code, std::size_t probe) noexcept {
    return ((code.value * 0x9e3779b97f4a7c15u >> 48) + probe) % size;
  }

  std::array<Entry, size> entries_{};
};

}  // namespace pyagent::inline v0::recording
