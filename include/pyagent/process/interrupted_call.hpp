// System calls that came back with EINTR because their thread was stopped, and how they are made again.
#pragma once

#include <sys/syscall.h>  // SYS_…

#include <algorithm>  // find
#include <cerrno>     // EINTR
#include <cstdint>    // uint64_t
#include <iterator>   // begin, end

#include "pyagent/process/registers.hpp"

namespace pyagent::inline v0::process {

/// A call that has done nothing yet when it gives EINTR, so that the same call can just be made again. The kernel does
/// that by itself for most calls when no handler runs (ERESTARTSYS and its kin), but not for those of signal(7),
/// "Interruption of system calls and library functions by stop signals", nor for what a file system gives as EINTR.
/// Not close, which has closed, and not connect, which goes on. A relative timeout begins anew.
constexpr bool is_repeatable_call(long number) noexcept {
  constexpr long io_uring_enter = 426, epoll_pwait2 = 441;  // not in older headers
#if defined(__x86_64__)
  constexpr long io_pgetevents = 333;
  if (number == SYS_epoll_wait || number == SYS_poll || number == SYS_select || number == io_pgetevents) return true;
#endif
  constexpr long calls[] = {
      SYS_epoll_pwait, epoll_pwait2, SYS_ppoll,           SYS_pselect6, SYS_read,       SYS_readv,       SYS_pread64,
      SYS_preadv,      SYS_write,    SYS_writev,          SYS_pwrite64, SYS_pwritev,    SYS_recvfrom,    SYS_recvmsg,
      SYS_recvmmsg,    SYS_sendto,   SYS_sendmsg,         SYS_accept,   SYS_accept4,    SYS_semop,       SYS_semtimedop,
      SYS_msgrcv,      SYS_msgsnd,   SYS_rt_sigtimedwait, SYS_futex,    io_uring_enter, SYS_io_getevents};
  return std::find(std::begin(calls), std::end(calls), number) != std::end(calls);
}

/// The thread is on its way out of a repeatable call, with EINTR.
/// False on aarch64, where the first argument of the call is no longer in a register.
inline bool is_interrupted_call([[maybe_unused]] const Registers& registers) noexcept {
#if defined(__x86_64__)
  using Index = detail::RegisterIndex;
  constexpr long long code_segment_64 = 0x33;  // __USER_CS of Linux, asm/segment.h; call numbers differ in 32-bit code
  // Of a thread that came into the kernel by an interrupt, the call number is -1.
  return registers.general[Index::call_result] == -EINTR && registers.general[Index::code_segment] == code_segment_64 &&
         is_repeatable_call(static_cast<long>(registers.general[Index::call_number]));
#else
  return false;
#endif
}

/// A call that a thread was told to make again.
struct RepeatedCall {
  long long number = -1;
  Address stack_pointer;
  Address program_counter;  ///< of the instruction that makes the call

  /// The thread stands before the call and has not made it again yet.
  bool is_next([[maybe_unused]] const Registers& registers) const noexcept {
#if defined(__x86_64__)
    return number >= 0 && registers.general[detail::RegisterIndex::call_result] == number &&
           registers.stack_pointer == stack_pointer && registers.program_counter == program_counter;
#else
    return false;
#endif
  }
};

#if defined(__x86_64__)

namespace detail {

inline void set_program_counter(Registers& registers, Address address) noexcept {
  registers.program_counter = address;
  registers.general[RegisterIndex::program_counter] = static_cast<long long>(address.value);
}

inline constexpr std::uint64_t call_instruction_size = 2;  // syscall: 0f 05

}  // namespace detail

/// Sets the thread back to before its interrupted call, as arch_do_signal_or_restart of Linux does.
inline RepeatedCall repeat_call(Registers& registers) noexcept {
  using Index = detail::RegisterIndex;
  registers.general[Index::call_result] = registers.general[Index::call_number];
  detail::set_program_counter(registers, registers.program_counter - detail::call_instruction_size);
  return {registers.general[Index::call_number], registers.stack_pointer, registers.program_counter};
}

/// Takes `repeat_call` back.
inline void end_call(Registers& registers) noexcept {
  registers.general[detail::RegisterIndex::call_result] = -EINTR;
  detail::set_program_counter(registers, registers.program_counter + detail::call_instruction_size);
}

#else

inline RepeatedCall repeat_call(Registers&) noexcept { return {}; }
inline void end_call(Registers&) noexcept {}

#endif

}  // namespace pyagent::inline v0::process
