// One native frame of a sample as recordings hold it. signal-safe
#pragma once

#include <cstdint>      // uint64_t
#include <type_traits>  // is_trivially_copyable_v

namespace pyagent::inline v0::recording {

using ModuleId = std::uint32_t;  ///< numbers module records of one recording, from 1; 0 where no file is mapped

/// Remarks on one native frame; bits may be combined. The three bits above them say how it was found.
enum class NativeFlag : std::uint8_t {
  eval = 1,   ///< the eval loop of the innermost Python frames that no inner one stands for
  exact = 2,  ///< this address was about to run; without it, it is a return address and belongs to the one before it
};

/// A place in a file, or in memory that is no file's.
struct NativeFrameRecord {
  ModuleId module = 0;
  std::uint64_t address = 0;  ///< in the file: pc less the module's bias; the pc itself where there is no module
  std::uint8_t flags = 0;     ///< NativeFlag bits, and how it was found

  constexpr bool has(NativeFlag flag) const noexcept { return (flags & static_cast<std::uint8_t>(flag)) != 0; }
  /// How the frame was found, as a number of capture::FoundBy.
  constexpr std::uint8_t found_by() const noexcept { return static_cast<std::uint8_t>(flags >> 2 & 7); }
  /// The address to look up: a call may be the last instruction of its function.
  constexpr std::uint64_t lookup_address() const noexcept { return address - (has(NativeFlag::exact) ? 0 : 1); }

  friend constexpr bool operator==(const NativeFrameRecord&, const NativeFrameRecord&) noexcept = default;
};
static_assert(std::is_trivially_copyable_v<NativeFrameRecord>);

/// NativeFrameRecord::flags of a frame; `found_by` is a number of capture::FoundBy.
constexpr std::uint8_t native_flags(bool is_eval, bool is_exact, std::uint8_t found_by) noexcept {
  return static_cast<std::uint8_t>((is_eval ? 1 : 0) | (is_exact ? 2 : 0) | (found_by & 7) << 2);
}
inline constexpr unsigned native_flag_bits = 5;

}  // namespace pyagent::inline v0::recording
