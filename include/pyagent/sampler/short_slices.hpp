// Lets the sampling thread run soon after it wakes, also where the target has just been given the same processor.
#pragma once

#include <sched.h>        // SCHED_OTHER
#include <sys/syscall.h>  // SYS_sched_getattr, SYS_sched_setattr
#include <unistd.h>       // syscall

#include <cstdint>  // uint32_t, uint64_t

namespace pyagent::inline v0::sampler {

/// While it lives, the kernel gives this thread the processor sooner when it wakes, and for shorter. Nothing happens
/// before Linux 6.12, and with other scheduling policies than the usual one.
/// Source: struct sched_attr of Linux, uapi/linux/sched/types.h
class ShortSlices {
 public:
  ShortSlices() noexcept {
    if (::syscall(SYS_sched_getattr, 0, &before_, sizeof before_, 0) != 0 || before_.policy != SCHED_OTHER) return;
    constexpr std::uint64_t shortest = 100'000;  // ns; the kernel takes no less
    Attributes wanted = before_;
    wanted.size = sizeof wanted;
    wanted.runtime = shortest;
    is_set_ = before_.runtime != 0 && ::syscall(SYS_sched_setattr, 0, &wanted, 0) == 0;
  }
  ShortSlices(const ShortSlices&) = delete;
  ShortSlices& operator=(const ShortSlices&) = delete;
  ~ShortSlices() {
    before_.size = sizeof before_;
    if (is_set_) ::syscall(SYS_sched_setattr, 0, &before_, 0);
  }

 private:
  struct Attributes {
    std::uint32_t size = sizeof(Attributes);
    std::uint32_t policy = 0;
    std::uint64_t flags = 0;
    std::int32_t nice = 0;
    std::uint32_t priority = 0;
    std::uint64_t runtime = 0;  ///< ns: of one slice
    std::uint64_t deadline = 0;
    std::uint64_t period = 0;
  };

  Attributes before_{};
  bool is_set_ = false;
};

}  // namespace pyagent::inline v0::sampler
