// DWARF expressions in call frame information: the few shapes that compilers and assemblers write. signal-safe
#pragma once

#include <cstddef>   // byte
#include <cstdint>   // int64_t
#include <optional>  // optional
#include <span>      // span

#include "pyagent/base/byte_cursor.hpp"
#include "pyagent/dwarf/pointer_encoding.hpp"

namespace pyagent::inline v0::dwarf {

/// What an expression computes. All are the whole expression, not its beginning.
struct ExpressionShape {
  enum class Kind : std::uint8_t {
    other,
    address,  ///< register + offset
    deref,    ///< *(register + offset) + add
    plt,      ///< register + offset + ((pc & 15) >= limit) * 8
  };
  Kind kind = Kind::other;
  std::uint8_t from = 0;  ///< DWARF register number
  std::uint8_t limit = 0;
  std::int32_t offset = 0;
  std::int32_t add = 0;
};

/// Operations that those shapes are made of. Source: DWARF 5, 7.7.1
enum class CfiOperation : std::uint8_t {
  DW_OP_deref = 0x06,
  DW_OP_const1u = 0x08,
  DW_OP_const1s = 0x09,
  DW_OP_and = 0x1a,
  DW_OP_plus = 0x22,
  DW_OP_plus_uconst = 0x23,
  DW_OP_shl = 0x24,
  DW_OP_ge = 0x2a,
  DW_OP_lit0 = 0x30,
  DW_OP_breg0 = 0x70,
  DW_OP_breg31 = 0x8f,
  DW_OP_bregx = 0x92,
};

namespace detail {

class ShapeParser {
 public:
  explicit ShapeParser(std::span<const std::byte> expression) noexcept : cursor_(expression) {}

  ExpressionShape parse() noexcept {
    using Kind = ExpressionShape::Kind;
    ExpressionShape shape;
    if (!take_register(shape.from, shape.offset)) return {};
    shape.kind = Kind::address;
    if (cursor_.at_end()) return shape;
    const auto operation = cursor_.take<std::uint8_t>();
    if (operation == number(Op::DW_OP_deref)) {
      shape.kind = Kind::deref;
      if (!cursor_.at_end() && !take_addition(shape.add)) return {};
    } else {
      shape.kind = Kind::plt;
      if (operation != number(Op::DW_OP_breg0) + 16 || !take_plt(shape.limit)) return {};
    }
    return cursor_.ok() && cursor_.at_end() ? shape : ExpressionShape{};
  }

 private:
  using Op = CfiOperation;
  static constexpr std::uint8_t number(Op operation) noexcept { return static_cast<std::uint8_t>(operation); }

  bool take(Op operation) noexcept { return take_byte(number(operation)); }
  bool take_literal(unsigned value) noexcept {
    return take_byte(static_cast<std::uint8_t>(number(Op::DW_OP_lit0) + value));
  }
  bool take_byte(std::uint8_t wanted) noexcept { return cursor_.take<std::uint8_t>() == wanted && cursor_.ok(); }

  bool take_register(std::uint8_t& from, std::int32_t& offset) noexcept {
    const auto operation = cursor_.take<std::uint8_t>();
    std::uint64_t index = operation - std::uint64_t{number(Op::DW_OP_breg0)};
    if (operation == number(Op::DW_OP_bregx)) {
      index = cursor_.take_uleb128();
    } else if (operation < number(Op::DW_OP_breg0) || operation > number(Op::DW_OP_breg31)) {
      return false;
    }
    from = static_cast<std::uint8_t>(index);
    return fit(take_signed_leb128(cursor_), offset) && index == from && cursor_.ok();
  }

  /// A constant and DW_OP_plus, or DW_OP_plus_uconst.
  bool take_addition(std::int32_t& add) noexcept {
    const auto operation = cursor_.take<std::uint8_t>();
    if (operation == number(Op::DW_OP_plus_uconst)) {
      const std::uint64_t value = cursor_.take_uleb128();
      return value <= 0x7fffffff && fit(static_cast<std::int64_t>(value), add);
    }
    const unsigned literal = unsigned{operation} - number(Op::DW_OP_lit0);
    if (operation == number(Op::DW_OP_const1u)) {
      add = cursor_.take<std::uint8_t>();
    } else if (operation == number(Op::DW_OP_const1s)) {
      add = cursor_.take<std::int8_t>();
    } else if (literal < 32) {
      add = static_cast<std::int32_t>(literal);
    } else {
      return false;
    }
    return take(Op::DW_OP_plus);
  }

  /// What linkers write for lazy stubs, after the register and DW_OP_breg16: pc & 15 >= limit, times 8, plus the
  /// register (binutils 2.40, bfd/elf64-x86-64.c, elf_x86_64_eh_frame_lazy_plt).
  bool take_plt(std::uint8_t& limit) noexcept {
    if (take_signed_leb128(cursor_) != 0 || !take_literal(15) || !take(Op::DW_OP_and)) return false;
    limit = static_cast<std::uint8_t>(cursor_.take<std::uint8_t>() - number(Op::DW_OP_lit0));
    return limit < 16 && take(Op::DW_OP_ge) && take_literal(3) && take(Op::DW_OP_shl) && take(Op::DW_OP_plus);
  }

  static bool fit(std::int64_t value, std::int32_t& out) noexcept {
    out = static_cast<std::int32_t>(value);
    return out == value;
  }

  ByteCursor cursor_;
};

}  // namespace detail

/// The shape of `expression`; Kind::other when it is none of those.
inline ExpressionShape classify_expression(std::span<const std::byte> expression) noexcept {
  return detail::ShapeParser{expression}.parse();
}

}  // namespace pyagent::inline v0::dwarf
