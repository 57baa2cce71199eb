// Registers of one frame, and which of them are known. signal-safe
#pragma once

#include <ucontext.h>  // ucontext_t

#include <array>        // array
#include <cstddef>      // size_t
#include <cstdint>      // uint64_t
#include <span>         // span
#include <type_traits>  // is_trivially_copyable_v

#include "pyagent/base/address.hpp"
#include "pyagent/unwind/aarch64/arch.hpp"
#include "pyagent/unwind/x86_64/arch.hpp"

namespace pyagent::inline v0::unwind {

/// Registers of a frame, by DWARF number. `known` has a bit for each that has a value; `exact` for each whose value is
/// certainly this frame's. A known one that isn't exact has the value of an inner frame, which may have changed it:
/// rules tell only what became of the frame pointer, the stack pointer and the return address.
template <class Arch>
struct BasicRegisters {
  using arch = Arch;

  std::array<std::uint64_t, Arch::count> values{};
  std::uint64_t known = 0;
  std::uint64_t exact = 0;

  constexpr bool is_known(unsigned number) const noexcept { return number < Arch::count && (known >> number & 1) != 0; }
  constexpr bool is_exact(unsigned number) const noexcept { return number < Arch::count && (exact >> number & 1) != 0; }
  constexpr void set(unsigned number, std::uint64_t value) noexcept {
    values[number] = value;
    known |= std::uint64_t{1} << number;
    exact |= std::uint64_t{1} << number;
  }
  /// A value that an inner frame had.
  constexpr void presume(unsigned number, std::uint64_t value) noexcept {
    set(number, value);
    exact &= ~(std::uint64_t{1} << number);
  }
  constexpr void forget(unsigned number) noexcept {
    known &= ~(std::uint64_t{1} << number);
    exact &= ~(std::uint64_t{1} << number);
  }

  constexpr Address program_counter() const noexcept { return {values[Arch::program_counter]}; }
  constexpr Address stack_pointer() const noexcept { return {values[Arch::stack_pointer]}; }
  constexpr Address frame_pointer() const noexcept { return {values[Arch::frame_pointer]}; }
  constexpr bool has_frame_pointer() const noexcept { return is_known(Arch::frame_pointer); }
};

#if defined(__aarch64__)
using NativeArch = Aarch64;
#else
using NativeArch = X86_64;
#endif

/// Registers of this machine's processor.
using Registers = BasicRegisters<NativeArch>;
static_assert(std::is_trivially_copyable_v<Registers>);

namespace detail {

/// `words[i]` is register `order[i]`.
template <class Arch, class Word, std::size_t N>
constexpr BasicRegisters<Arch> take_registers(std::span<const Word> words,
                                              const std::array<unsigned char, N>& order) noexcept {
  BasicRegisters<Arch> registers;
  for (std::size_t i = 0; i < N && i < words.size(); ++i)
    if (order[i] != Arch::no_register) registers.set(order[i], static_cast<std::uint64_t>(words[i]));
  return registers;
}

}  // namespace detail

/// All registers, from the words of a signal context: gregset_t on x86-64; regs, sp and pc on aarch64.
template <class Arch = NativeArch, class Word>
constexpr BasicRegisters<Arch> registers_of_context(std::span<const Word> words) noexcept {
  return detail::take_registers<Arch>(words, Arch::context_order);
}

/// All registers, from the words of user_regs_struct.
template <class Arch = NativeArch, class Word>
constexpr BasicRegisters<Arch> registers_of_ptrace(std::span<const Word> words) noexcept {
  return detail::take_registers<Arch>(words, Arch::ptrace_order);
}

/// What a signal handler was given.
inline Registers registers_of(const ucontext_t& context) noexcept {
#if defined(__aarch64__)
  BasicRegisters<Aarch64> registers;
  for (unsigned i = 0; i < 31; ++i) registers.set(i, context.uc_mcontext.regs[i]);
  registers.set(Aarch64::stack_pointer, context.uc_mcontext.sp);
  registers.set(Aarch64::program_counter, context.uc_mcontext.pc);
  return registers;
#else
  return registers_of_context<X86_64>(std::span<const greg_t>{context.uc_mcontext.gregs});
#endif
}

/// A blocked thread's, as /proc/PID/task/TID/syscall tells them: nothing else is known.
template <class Arch = NativeArch>
constexpr BasicRegisters<Arch> registers_of_blocked(Address program_counter, Address stack_pointer) noexcept {
  BasicRegisters<Arch> registers;
  registers.set(Arch::program_counter, program_counter.value);
  registers.set(Arch::stack_pointer, stack_pointer.value);
  return registers;
}

}  // namespace pyagent::inline v0::unwind
