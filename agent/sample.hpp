// One sample: what the handler and the helper thread share.
#pragma once

#include "slot.hpp"

namespace pyagent::agent {

/// Marks a slot as taken for as long as it lives: its thread's handler and the helper thread both write its records.
class Busy {
 public:
  explicit Busy(Slot& slot) noexcept : slot_(slot), got_(!slot.is_busy.exchange(true, std::memory_order_acquire)) {}
  ~Busy() {
    if (got_) slot_.is_busy.store(false, std::memory_order_release);
  }
  Busy(const Busy&) = delete;
  Busy& operator=(const Busy&) = delete;
  bool got() const noexcept { return got_; }

 private:
  Slot& slot_;
  bool got_;
};

/// Reads the stack of a thread that is off the CPU into `slot.parked`; false if it has none, or was moving. The slot is
/// busy.
bool capture_parked(Slot& slot) noexcept;

/// Writes `slot.parked` as a sample that lasted `slot.parked.wall`. The slot is busy.
void write_parked_sample(Slot& slot) noexcept;

}  // namespace pyagent::agent
