// What unwinding must know of aarch64. signal-safe
#pragma once

#include <array>    // array
#include <cstddef>  // byte, size_t
#include <cstdint>  // uint64_t
#include <span>     // span

namespace pyagent::inline v0::unwind {

/// Registers, numbered as in DWARF (the pc is ours: DWARF has no number for it), and conventions of aarch64 Linux.
/// Source: DWARF for the Arm 64-bit Architecture, 4.1; Procedure Call Standard, 6.1 and 6.4
struct Aarch64 {
  static constexpr unsigned count = 33;
  static constexpr unsigned frame_pointer = 29;
  static constexpr unsigned return_address = 30;  ///< the link register
  static constexpr unsigned stack_pointer = 31;
  static constexpr unsigned program_counter = 32;
  static constexpr bool has_link_register = true;

  /// A frame record may lie anywhere in its frame: it tells the caller's frame pointer and pc, but not the CFA.
  static constexpr bool has_record_below_cfa = false;
  static constexpr std::uint64_t prologue_registers = 0;
  static constexpr std::uint64_t kept_registers = 0;
  static constexpr std::uint64_t saved_area = 0;

  /// Bits above a 48-bit address: where pointer authentication and memory tags put theirs.
  static constexpr std::uint64_t authentication_mask = 0xffff'0000'0000'0000;

  /// sigcontext has regs[31], sp and pc: that is our order.
  /// Source: Linux, arch/arm64/include/uapi/asm/sigcontext.h
  static constexpr std::array<unsigned char, count> context_order = [] {
    std::array<unsigned char, count> order{};
    for (unsigned i = 0; i < count; ++i) order[i] = static_cast<unsigned char>(i);
    return order;
  }();
  /// siginfo_t, then in ucontext_t the flags, link, stack, and 128 bytes of signal mask, aligned to 16, and in
  /// sigcontext the fault address.
  /// Source: Linux, arch/arm64/kernel/signal.c, struct rt_sigframe
  static constexpr std::uint64_t context_offset = 128 + 176 + 8;

  static constexpr unsigned char no_register = 0xff;
  static constexpr std::array<unsigned char, count> ptrace_order = context_order;

  static constexpr std::size_t longest_call = 4;

  /// The last instruction of `code` is a call: BL, BLR, or one of the BLRA family.
  /// Source: Arm Architecture Reference Manual, C4.1.65
  static constexpr bool ends_with_call(std::span<const std::byte> code) noexcept {
    const std::uint32_t instruction = last_instruction(code);
    return is_direct_call(instruction) || (instruction & 0xfeff'f000) == 0xd63f'0000;
  }

  /// Where the direct call that ends `code` goes, when it returns to `returns_to`; 0 when the call is not direct.
  static constexpr std::uint64_t find_call_target(std::span<const std::byte> code, std::uint64_t returns_to) noexcept {
    const std::uint32_t instruction = last_instruction(code);
    if (!is_direct_call(instruction)) return 0;
    // 26 bits, in words, with a sign.
    const auto distance = static_cast<std::int64_t>(std::uint64_t{instruction} << 38) >> 36;
    return returns_to - 4 + static_cast<std::uint64_t>(distance);
  }

  static constexpr std::size_t stub_size = 4;

  /// `code` begins a stub of the procedure linkage table: `adrp x16`, or a landing pad before it.
  static constexpr bool is_stub(std::span<const std::byte> code) noexcept {
    if (code.size() < 4) return false;
    const std::uint32_t instruction = last_instruction(code.first(4));
    return instruction == 0xd503'245f || (instruction & 0x9f00'001f) == 0x9000'0010;
  }

 private:
  static constexpr bool is_direct_call(std::uint32_t instruction) noexcept {
    return (instruction & 0xfc00'0000) == 0x9400'0000;
  }

  static constexpr std::uint32_t last_instruction(std::span<const std::byte> code) noexcept {
    if (code.size() < 4) return 0;
    std::uint32_t instruction = 0;
    for (std::size_t i = 0; i < 4; ++i)
      instruction |= std::to_integer<std::uint32_t>(code[code.size() - 4 + i]) << (8 * i);
    return instruction;
  }
};

}  // namespace pyagent::inline v0::unwind
