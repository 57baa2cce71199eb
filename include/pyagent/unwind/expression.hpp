// DWARF expressions that tell a CFA. signal-safe
#pragma once

#include <array>     // array
#include <cstddef>   // byte, size_t
#include <cstdint>   // uint64_t
#include <cstring>   // memcpy
#include <optional>  // optional
#include <span>      // span

#include "pyagent/base/byte_cursor.hpp"
#include "pyagent/memory/memory.hpp"
#include "pyagent/unwind/registers.hpp"

namespace pyagent::inline v0::unwind {

/// Most operations of one expression that are carried out; a jump back could go on for ever.
inline constexpr unsigned max_expression_steps = 256;

namespace detail {

/// The stack of an expression, and its operations that need neither memory nor registers.
/// Source: DWARF 5, 2.5.1
class ExpressionStack {
 public:
  bool ok() const noexcept { return ok_; }

  void push(std::uint64_t value) noexcept {
    if (size_ == values_.size()) {
      ok_ = false;
      return;
    }
    values_[size_++] = value;
  }

  std::uint64_t pop() noexcept {
    if (size_ == 0) {
      ok_ = false;
      return 0;
    }
    return values_[--size_];
  }

  /// The value that lies `depth` below the top.
  std::uint64_t peek(std::size_t depth) noexcept {
    if (depth >= size_) {
      ok_ = false;
      return 0;
    }
    return values_[size_ - 1 - depth];
  }

  /// False when `operation` is none of these.
  bool apply(std::uint8_t operation) noexcept {
    switch (operation) {
      case 0x12:
        push(peek(0));
        return true;  // DW_OP_dup
      case 0x13:
        pop();
        return true;  // DW_OP_drop
      case 0x14:
        push(peek(1));
        return true;  // DW_OP_over
      case 0x16:
        swap();
        return true;  // DW_OP_swap
      case 0x17:
        rotate();
        return true;  // DW_OP_rot
      case 0x19:
        push(absolute(pop()));
        return true;  // DW_OP_abs
      case 0x1f:
        push(0 - pop());
        return true;  // DW_OP_neg
      case 0x20:
        push(~pop());
        return true;  // DW_OP_not
      case 0x96:
        return true;  // DW_OP_nop
      default:
        return apply_to_two(operation);
    }
  }

 private:
  static std::uint64_t absolute(std::uint64_t value) noexcept { return value >> 63 != 0 ? 0 - value : value; }

  void swap() noexcept {
    const auto first = pop(), second = pop();
    push(first);
    push(second);
  }

  void rotate() noexcept {
    const auto first = pop(), second = pop(), third = pop();
    push(first);
    push(third);
    push(second);
  }

  bool apply_to_two(std::uint8_t operation) noexcept {
    const bool is_arithmetic = operation == 0x1a || operation == 0x1c || operation == 0x1e || operation == 0x21 ||
                               operation == 0x22 || (operation >= 0x24 && operation <= 0x27);
    const bool is_comparison = operation >= 0x29 && operation <= 0x2e;
    if (!is_arithmetic && !is_comparison) return false;
    const std::uint64_t right = pop(), left = pop();
    push(is_arithmetic ? calculate(operation, left, right) : compare(operation, left, right));
    return true;
  }

  static std::uint64_t calculate(std::uint8_t operation, std::uint64_t left, std::uint64_t right) noexcept {
    switch (operation) {
      case 0x1a:
        return left & right;  // DW_OP_and
      case 0x1c:
        return left - right;  // DW_OP_minus
      case 0x1e:
        return left * right;  // DW_OP_mul
      case 0x21:
        return left | right;  // DW_OP_or
      case 0x22:
        return left + right;  // DW_OP_plus
      case 0x24:
        return right < 64 ? left << right : 0;  // DW_OP_shl
      case 0x25:
        return right < 64 ? left >> right : 0;  // DW_OP_shr
      case 0x26:
        return shift_signed(left, right);  // DW_OP_shra
      default:
        return left ^ right;  // DW_OP_xor
    }
  }

  static std::uint64_t shift_signed(std::uint64_t left, std::uint64_t right) noexcept {
    return static_cast<std::uint64_t>(static_cast<std::int64_t>(left) >> (right < 64 ? right : 63));
  }

  static std::uint64_t compare(std::uint8_t operation, std::uint64_t left, std::uint64_t right) noexcept {
    const auto a = static_cast<std::int64_t>(left), b = static_cast<std::int64_t>(right);
    switch (operation) {
      case 0x29:
        return a == b ? 1 : 0;  // DW_OP_eq
      case 0x2a:
        return a >= b ? 1 : 0;  // DW_OP_ge
      case 0x2b:
        return a > b ? 1 : 0;  // DW_OP_gt
      case 0x2c:
        return a <= b ? 1 : 0;  // DW_OP_le
      case 0x2d:
        return a < b ? 1 : 0;  // DW_OP_lt
      default:
        return a != b ? 1 : 0;  // DW_OP_ne
    }
  }

  std::array<std::uint64_t, 32> values_{};
  std::size_t size_ = 0;
  bool ok_ = true;
};

/// Signed LEB128.
inline std::int64_t take_sleb128(ByteCursor& cursor) noexcept {
  std::uint64_t value = 0;
  for (unsigned shift = 0; shift < 64; shift += 7) {
    const auto byte = cursor.take<std::uint8_t>();
    value |= std::uint64_t{byte & 0x7fU} << shift;
    if ((byte & 0x80) != 0) continue;
    if ((byte & 0x40) != 0 && shift + 7 < 64) value |= ~std::uint64_t{0} << (shift + 7);
    return static_cast<std::int64_t>(value);
  }
  cursor.skip(cursor.remaining() + 1);
  return 0;
}

/// Pushes the constant of `operation`; false when it has none.
inline bool push_constant(std::uint8_t operation, ByteCursor& code, ExpressionStack& stack) noexcept {
  const auto extend = [](auto value) { return static_cast<std::uint64_t>(std::int64_t{value}); };
  if (operation >= 0x30 && operation <= 0x4f) {  // DW_OP_lit0 to DW_OP_lit31
    stack.push(operation - 0x30U);
    return true;
  }
  switch (operation) {
    case 0x03:  // DW_OP_addr
    case 0x0e:
      stack.push(code.take<std::uint64_t>());
      return true;  // DW_OP_const8u
    case 0x08:
      stack.push(code.take<std::uint8_t>());
      return true;  // DW_OP_const1u
    case 0x09:
      stack.push(extend(code.take<std::int8_t>()));
      return true;  // DW_OP_const1s
    case 0x0a:
      stack.push(code.take<std::uint16_t>());
      return true;  // DW_OP_const2u
    case 0x0b:
      stack.push(extend(code.take<std::int16_t>()));
      return true;  // DW_OP_const2s
    case 0x0c:
      stack.push(code.take<std::uint32_t>());
      return true;  // DW_OP_const4u
    case 0x0d:
      stack.push(extend(code.take<std::int32_t>()));
      return true;  // DW_OP_const4s
    case 0x0f:
      stack.push(extend(code.take<std::int64_t>()));
      return true;  // DW_OP_const8s
    case 0x10:
      stack.push(code.take_uleb128());
      return true;  // DW_OP_constu
    case 0x11:
      stack.push(extend(take_sleb128(code)));
      return true;  // DW_OP_consts
    default:
      return false;
  }
}

}  // namespace detail

/// What became of an expression.
struct ExpressionValue {
  enum class Status : std::uint8_t { ok, unknown_operation, unknown_register, unreadable } status{};
  std::uint64_t value = 0;
  bool is_presumed = false;  ///< a register went in that is known, but not exactly
};

/// Evaluates expressions of one frame.
template <memory::Memory M, class Arch>
class ExpressionEvaluator {
 public:
  using Status = ExpressionValue::Status;
  ExpressionEvaluator(const M& memory, const BasicRegisters<Arch>& registers) noexcept
      : memory_(memory), registers_(registers) {}

  /// The top of the stack after `expression`; bounded, whatever it holds.
  ExpressionValue evaluate(std::span<const std::byte> expression) noexcept {
    std::size_t at = 0;
    for (unsigned step = 0; at < expression.size(); ++step) {
      if (step == max_expression_steps) return {Status::unknown_operation};
      ByteCursor code{expression.subspan(at)};
      const auto operation = code.take<std::uint8_t>();
      if (operation == 0x28 || operation == 0x2f) {  // DW_OP_bra, DW_OP_skip
        const auto distance = code.take<std::int16_t>();
        const bool jumps = operation == 0x2f || stack_.pop() != 0;
        const auto target = static_cast<std::int64_t>(at + code.offset()) + (jumps ? distance : 0);
        if (!code.ok() || target < 0) return {Status::unknown_operation};
        at = static_cast<std::size_t>(target);
        continue;
      }
      if (const Status failed = apply(operation, code); failed != Status::ok) return {failed};
      if (!code.ok() || !stack_.ok()) return {Status::unknown_operation};
      at += code.offset();
    }
    const std::uint64_t value = stack_.pop();
    return {at == expression.size() && stack_.ok() ? Status::ok : Status::unknown_operation, value, is_presumed_};
  }

 private:
  Status apply(std::uint8_t operation, ByteCursor& code) noexcept {
    if (detail::push_constant(operation, code, stack_) || stack_.apply(operation)) return Status::ok;
    if (operation >= 0x70 && operation <= 0x8f) return push_register(operation - 0x70U, detail::take_sleb128(code));
    switch (operation) {
      case 0x06:
        return dereference(8);  // DW_OP_deref
      case 0x94:
        return dereference(code.take<std::uint8_t>());  // DW_OP_deref_size
      case 0x15:
        stack_.push(stack_.peek(code.take<std::uint8_t>()));
        return Status::ok;  // DW_OP_pick
      case 0x23:
        stack_.push(stack_.pop() + code.take_uleb128());
        return Status::ok;  // DW_OP_plus_uconst
      case 0x92: {          // DW_OP_bregx
        const std::uint64_t number = code.take_uleb128();
        return push_register(number, detail::take_sleb128(code));
      }
      default:
        return Status::unknown_operation;
    }
  }

  Status push_register(std::uint64_t number, std::int64_t offset) noexcept {
    if (number >= Arch::count || !registers_.is_known(static_cast<unsigned>(number))) return Status::unknown_register;
    is_presumed_ = is_presumed_ || !registers_.is_exact(static_cast<unsigned>(number));
    stack_.push(registers_.values[number] + static_cast<std::uint64_t>(offset));
    return Status::ok;
  }

  Status dereference(std::size_t size) noexcept {
    if (size == 0 || size > 8) return Status::unknown_operation;
    std::array<std::byte, 8> bytes{};
    if (memory_.read(Address{stack_.pop()}, std::span{bytes}.first(size)) != Errc::ok) return Status::unreadable;
    std::uint64_t value = 0;
    std::memcpy(&value, bytes.data(), sizeof value);
    stack_.push(value);
    return Status::ok;
  }

  const M& memory_;
  const BasicRegisters<Arch>& registers_;
  detail::ExpressionStack stack_;
  bool is_presumed_ = false;
};

}  // namespace pyagent::inline v0::unwind
