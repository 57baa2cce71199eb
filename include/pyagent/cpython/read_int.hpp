// Ints of the target: sign, length and digits. signal-safe
//
// Source: Include/longintrepr.h up to 3.10, Include/cpython/longintrepr.h from 3.11 on (_PyLongValue from 3.12)
#pragma once

#include <cstdint>  // int64_t, uint32_t, uint64_t
#include <span>     // span

#include "pyagent/cpython/layout.hpp"
#include "pyagent/memory/memory.hpp"

namespace pyagent::inline v0::cpython {

/// An int without its digits.
struct IntHead {
  bool is_negative = false;
  std::uint64_t digits = 0;  ///< of 30 bits each; 0 for zero
};

/// Digits an int may have at most; anything longer would fill the address space and is no int.
inline constexpr std::uint64_t max_int_digits = std::uint64_t{1} << 44;

/// Takes an int's sign and length from the word that holds them.
constexpr IntHead decode_int_head(const Layout& layout, std::uint64_t word) noexcept {
  switch (layout.int_header) {
    case IntHeader::signed_size: {
      const bool is_negative = static_cast<std::int64_t>(word) < 0;
      return {is_negative, is_negative ? std::uint64_t{0} - word : word};
    }
    case IntHeader::tag:
      return {(word & 3) == 2, (word & 3) == 1 ? 0 : word >> 3};
  }
  return {};
}

/// Reads sign and length of the int at `object`.
///
/// Errors: unreadable; wrong_type if no int has such a length.
template <memory::Memory M>
Result<IntHead> read_int_head(const M& memory, const Layout& layout, Address object) noexcept {
  const auto word = memory::read_value<std::uint64_t>(memory, object + layout.object.var_size);
  if (!word) return word.error();
  const IntHead head = decode_int_head(layout, *word);
  if (head.digits > max_int_digits) return Error{Errc::wrong_type, object};
  return head;
}

/// Reads the digits of the int at `object`, least first, as many as `out` has room for.
template <memory::Memory M>
Errc read_int_digits(const M& memory, const Layout& layout, Address object, std::span<std::uint32_t> out) noexcept {
  return out.empty() ? Errc::ok : memory.read(object + layout.integer.digits, std::as_writable_bytes(out));
}

}  // namespace pyagent::inline v0::cpython
