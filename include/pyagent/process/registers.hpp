// Registers of a stopped thread.
#pragma once

#include <elf.h>         // NT_PRSTATUS
#include <sys/ptrace.h>  // ptrace
#include <sys/types.h>   // pid_t
#include <sys/uio.h>     // iovec
#include <sys/user.h>    // user_regs_struct

#include <array>    // array
#include <cstddef>  // offsetof

#include "pyagent/base/address.hpp"

namespace pyagent::inline v0::process {

/// General registers of a thread, and what an unwinder begins with.
struct Registers {
  std::array<long long, sizeof(user_regs_struct) / sizeof(long long)> general{};  ///< in user_regs_struct's order
  Address program_counter;
  Address stack_pointer;
  Address frame_pointer;
};

namespace detail {

/// Places of registers in user_regs_struct.
struct RegisterIndex {
#if defined(__x86_64__)
  static constexpr std::size_t program_counter = offsetof(user_regs_struct, rip) / sizeof(long long);
  static constexpr std::size_t stack_pointer = offsetof(user_regs_struct, rsp) / sizeof(long long);
  static constexpr std::size_t frame_pointer = offsetof(user_regs_struct, rbp) / sizeof(long long);
  static constexpr std::size_t code_segment = offsetof(user_regs_struct, cs) / sizeof(long long);
  static constexpr std::size_t call_number = offsetof(user_regs_struct, orig_rax) / sizeof(long long);
  static constexpr std::size_t call_result = offsetof(user_regs_struct, rax) / sizeof(long long);
#elif defined(__aarch64__)
  static constexpr std::size_t program_counter = offsetof(user_regs_struct, pc) / sizeof(long long);
  static constexpr std::size_t stack_pointer = offsetof(user_regs_struct, sp) / sizeof(long long);
  static constexpr std::size_t frame_pointer = 29;
#else
#error "pyagent reads registers of x86-64 and aarch64"
#endif
};

}  // namespace detail

/// Registers of thread `tid`, which this thread traces and has stopped; false when it isn't stopped any more.
inline bool read_registers(pid_t tid, Registers& out) noexcept {
  iovec part{out.general.data(), sizeof out.general};
  if (::ptrace(PTRACE_GETREGSET, tid, NT_PRSTATUS, &part) != 0 || part.iov_len != sizeof out.general) return false;
  using Index = detail::RegisterIndex;
  const auto at = [&](std::size_t index) { return Address{static_cast<std::uint64_t>(out.general[index])}; };
  out.program_counter = at(Index::program_counter);
  out.stack_pointer = at(Index::stack_pointer);
  out.frame_pointer = at(Index::frame_pointer);
  return true;
}

/// The thread came into the kernel by a system call, not by an interrupt or a fault. True on aarch64, where that is not
/// to be seen.
inline bool is_in_call([[maybe_unused]] const Registers& registers) noexcept {
#if defined(__x86_64__)
  return registers.general[detail::RegisterIndex::call_number] >= 0;
#else
  return true;
#endif
}

/// Gives thread `tid` the general registers of `registers`.
inline bool write_registers(pid_t tid, Registers registers) noexcept {
  iovec part{registers.general.data(), sizeof registers.general};
  return ::ptrace(PTRACE_SETREGSET, tid, NT_PRSTATUS, &part) == 0;
}

}  // namespace pyagent::inline v0::process
