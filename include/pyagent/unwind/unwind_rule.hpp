// How a frame's caller is found: one row of call frame information, evaluated as far as it can be. signal-safe
#pragma once

#include <cstddef>      // byte
#include <cstdint>      // int32_t
#include <type_traits>  // is_trivially_copyable_v

namespace pyagent::inline v0::unwind {

/// How the canonical frame address is found: the stack pointer as it was before the call.
enum class CfaRule : std::uint8_t {
  unknown,     ///< code without call frame information, or of a shape that nothing here understands
  end,         ///< the outermost frame: its return address is undefined (DWARF 5, 6.4.4)
  offset,      ///< register + offset
  deref,       ///< *(register + offset) + add: GCC's realigned stacks, OpenSSL's assembler
  plt,         ///< stack pointer + offset, and 8 more from byte `plt_limit` of a 16-byte stub on
  expression,  ///< a DWARF expression
  signal,      ///< a signal trampoline: all registers are in the ucontext_t at the stack pointer
};

/// Where a frame keeps a register of its caller.
enum class SavedRule : std::uint8_t {
  same,         ///< not touched: it still has the caller's value
  undefined,    ///< lost
  at_cfa,       ///< *(CFA + offset)
  at_register,  ///< *(register + offset)
  is_cfa,       ///< CFA + offset is the value itself
  in_register,  ///< another register holds it
};

/// The rule for one register.
struct SavedRegister {
  SavedRule rule = SavedRule::same;
  std::uint8_t from = 0;  ///< DWARF register number, for at_register and in_register
  std::int32_t offset = 0;

  friend constexpr bool operator==(const SavedRegister&, const SavedRegister&) noexcept = default;
};

/// How to get from a frame to its caller. Registers have the numbers of the processor's DWARF ABI.
struct UnwindRule {
  CfaRule cfa = CfaRule::unknown;
  std::uint8_t cfa_register = 0;
  std::uint8_t plt_limit = 0;
  bool is_signal_frame = false;  ///< augmentation 'S': the caller was interrupted, it did not call
  std::int32_t cfa_offset = 0;
  std::int32_t cfa_add = 0;
  SavedRegister frame_pointer{};          ///< rbp, x29
  SavedRegister return_address{};         ///< the CIE's return address column; on aarch64 `same` means in x30
  const std::byte* expression = nullptr;  ///< for CfaRule::expression; lives as long as the table or the mapped section
  std::uint32_t expression_size = 0;
  bool is_return_address_signed = false;  ///< aarch64: DW_CFA_AARCH64_negate_ra_state

  friend constexpr bool operator==(const UnwindRule&, const UnwindRule&) noexcept = default;
};
static_assert(std::is_trivially_copyable_v<UnwindRule>);

}  // namespace pyagent::inline v0::unwind
