// What unwinding must know of x86-64. signal-safe
#pragma once

#include <array>    // array
#include <cstddef>  // byte, size_t
#include <cstdint>  // uint64_t
#include <span>     // span

namespace pyagent::inline v0::unwind {

/// Registers, numbered as in DWARF, and conventions of x86-64 Linux.
/// Source: System V ABI, AMD64 supplement, 3.2.1 and figure 3.36
struct X86_64 {
  static constexpr unsigned count = 17;
  static constexpr unsigned frame_pointer = 6;    ///< rbp
  static constexpr unsigned stack_pointer = 7;    ///< rsp
  static constexpr unsigned return_address = 16;  ///< as a column of call frame information; here also the pc
  static constexpr unsigned program_counter = 16;
  static constexpr bool has_link_register = false;

  /// A frame pointer tells the CFA too: the frame record lies right below it.
  static constexpr bool has_record_below_cfa = true;

  /// Registers that GCC makes the base of the CFA only while it realigns a stack, in a prologue or an epilogue where
  /// nothing is called: r10 and r13. Further out such a row is met by mistake.
  static constexpr std::uint64_t prologue_registers = 1U << 10 | 1U << 13;

  /// Registers other than rbp that a function gives back as it found them, having pushed them first if it needs them.
  static constexpr std::uint64_t kept_registers = 1U << 3 | 1U << 12 | 1U << 14 | 1U << 15;

  /// Return address and six saved registers, at the top of a frame.
  static constexpr std::uint64_t saved_area = 56;

  static constexpr std::uint64_t authentication_mask = 0;

  /// For each word of gregset_t, the register in it.
  /// Source: glibc, sysdeps/unix/sysv/linux/x86/sys/ucontext.h
  static constexpr std::array<unsigned char, count> context_order = {8, 9, 10, 11, 12, 13, 14, 15, 5,
                                                                     4, 6, 3,  1,  0,  2,  7,  16};
  /// Where these words are, from the stack pointer in a signal trampoline on: in a ucontext_t.
  /// Source: Linux, arch/x86/include/asm/sigframe.h, struct rt_sigframe (its first word is popped by then)
  static constexpr std::uint64_t context_offset = 40;

  /// For each word of user_regs_struct, the register in it.
  /// Source: glibc, sysdeps/unix/sysv/linux/x86/sys/user.h
  static constexpr unsigned char no_register = 0xff;
  static constexpr std::array<unsigned char, 20> ptrace_order = {
      15, 14, 13, 12, 6, 3, 11, 10, 9, 8, 0, 2, 1, 4, 5, no_register, 16, no_register, no_register, 7};

  static constexpr std::size_t longest_call = 7;

  /// The last instruction of `code` can be a call: `call rel32`, or `call r/m64` in any of its forms.
  /// Source: Intel SDM, volume 2, CALL
  static constexpr bool ends_with_call(std::span<const std::byte> code) noexcept {
    const std::size_t size = code.size();
    const auto at = [&](std::size_t back) { return std::to_integer<unsigned>(code[size - back]); };
    if (size >= 5 && at(5) == 0xe8) return true;
    for (std::size_t length = 2; length <= longest_call && length <= size; ++length)
      if (at(length) == 0xff && is_indirect_call(at(length - 1), length >= 3 ? at(length - 2) : 0, length)) return true;
    return false;
  }

  /// Where the direct call that ends `code` goes, when it returns to `returns_to`; 0 when the call is not direct.
  static constexpr std::uint64_t find_call_target(std::span<const std::byte> code, std::uint64_t returns_to) noexcept {
    if (code.size() < 5 || code[code.size() - 5] != std::byte{0xe8}) return 0;
    std::uint32_t distance = 0;
    for (std::size_t i = 0; i < 4; ++i)
      distance |= std::to_integer<std::uint32_t>(code[code.size() - 4 + i]) << (8 * i);
    return returns_to + static_cast<std::uint64_t>(std::int64_t{static_cast<std::int32_t>(distance)});
  }

  static constexpr std::size_t stub_size = 7;

  /// `code` begins a stub of the procedure linkage table: a jump through memory, or a landing pad for it.
  static constexpr bool is_stub(std::span<const std::byte> code) noexcept {
    const auto begins = [&](unsigned first, unsigned second) {
      return code.size() >= 2 && code[0] == std::byte(first) && code[1] == std::byte(second);
    };
    if (begins(0xf3, 0x0f) && code.size() >= 4 && code[2] == std::byte{0x1e} && code[3] == std::byte{0xfa})
      code = code.subspan(4);
    if (begins(0xf2, 0xff)) code = code.subspan(1);  // bnd
    return begins(0xff, 0x25);
  }

 private:
  /// An instruction of `length` bytes, FF and this ModRM (and SIB) byte, is a call.
  static constexpr bool is_indirect_call(unsigned modrm, unsigned sib, std::size_t length) noexcept {
    if ((modrm >> 3 & 7) != 2) return false;
    const unsigned mode = modrm >> 6, base = modrm & 7;
    if (mode == 3) return length == 2;
    const bool has_sib = base == 4;
    const bool is_absolute = mode == 0 && (base == 5 || (has_sib && (sib & 7) == 5));
    const std::size_t displacement = mode == 1 ? 1 : mode == 2 || is_absolute ? 4 : 0;
    return length == 2U + (has_sib ? 1U : 0U) + displacement;
  }
};

}  // namespace pyagent::inline v0::unwind
