// Runs call frame instructions: from a function's entry to the rows of its unwind rules. signal-safe
#pragma once

#include <elf.h>  // EM_X86_64

#include <cstddef>  // byte
#include <cstdint>  // uint64_t
#include <span>     // span

#include "pyagent/base/byte_cursor.hpp"
#include "pyagent/base/fixed_vector.hpp"
#include "pyagent/base/result.hpp"
#include "pyagent/dwarf/cfi_expression.hpp"
#include "pyagent/dwarf/cfi_section.hpp"
#include "pyagent/unwind/unwind_table.hpp"

namespace pyagent::inline v0::dwarf {

/// DWARF 5, 6.4.2 and 7.24; the upper two bits of the first three carry an operand below them.
enum class CfiInstruction : std::uint8_t {
  DW_CFA_advance_loc = 0x40,
  DW_CFA_offset = 0x80,
  DW_CFA_restore = 0xc0,
  DW_CFA_nop = 0x00,
  DW_CFA_set_loc = 0x01,
  DW_CFA_advance_loc1 = 0x02,
  DW_CFA_advance_loc2 = 0x03,
  DW_CFA_advance_loc4 = 0x04,
  DW_CFA_offset_extended = 0x05,
  DW_CFA_restore_extended = 0x06,
  DW_CFA_undefined = 0x07,
  DW_CFA_same_value = 0x08,
  DW_CFA_register = 0x09,
  DW_CFA_remember_state = 0x0a,
  DW_CFA_restore_state = 0x0b,
  DW_CFA_def_cfa = 0x0c,
  DW_CFA_def_cfa_register = 0x0d,
  DW_CFA_def_cfa_offset = 0x0e,
  DW_CFA_def_cfa_expression = 0x0f,
  DW_CFA_expression = 0x10,
  DW_CFA_offset_extended_sf = 0x11,
  DW_CFA_def_cfa_sf = 0x12,
  DW_CFA_def_cfa_offset_sf = 0x13,
  DW_CFA_val_offset = 0x14,
  DW_CFA_val_offset_sf = 0x15,
  DW_CFA_val_expression = 0x16,
  DW_CFA_AARCH64_negate_ra_state_with_pc = 0x2c,
  DW_CFA_AARCH64_negate_ra_state = 0x2d,  ///< DW_CFA_GNU_window_save on SPARC
  DW_CFA_GNU_args_size = 0x2e,
  DW_CFA_GNU_negative_offset_extended = 0x2f,
};

/// How the CFA or a register is found, as instructions said it.
struct CfiValue {
  enum class Kind : std::uint8_t {
    unsaid,          ///< no instruction has spoken of it
    undefined,       ///< DW_CFA_undefined
    same,            ///< DW_CFA_same_value
    offset,          ///< the CFA: register + offset. A register: at CFA + offset
    is_offset,       ///< CFA + offset is the value
    in_register,     ///< in register `from`
    expression,      ///< the CFA: an expression's value. A register: at the address that it gives
    val_expression,  ///< an expression's value
    lost,            ///< numbers too large to keep
  };
  Kind kind = Kind::unsaid;
  std::uint8_t from = 0;
  std::int32_t offset = 0;
  std::uint32_t expression_at = 0;  ///< in the section
  std::uint32_t expression_size = 0;

  friend constexpr bool operator==(const CfiValue&, const CfiValue&) noexcept = default;
};

/// All that is tracked: what UnwindRule can say.
struct CfiState {
  CfiValue cfa, frame_pointer, return_address;
  bool is_signed = false;

  friend constexpr bool operator==(const CfiState&, const CfiState&) noexcept = default;
};

/// DW_CFA_remember_state nests this deep at most. Compilers nest it once; each level is stack of a signal handler.
inline constexpr std::size_t max_remembered_states = 4;

/// Runs instructions of one CIE and its FDEs.
class CfiRunner {
 public:
  /// `section` and `cie` must outlive it. `initial` is what run_cie of another runner of this CIE gave.
  CfiRunner(const CfiSection& section, const Cie& cie, const CfiState& initial = {}) noexcept
      : section_(section), cie_(cie), registers_(unwind::register_numbers(section.machine)), initial_(initial) {}

  /// Runs the CIE's own instructions; once, before any FDE's. Gives the state in which its functions begin.
  ///
  /// Errors: damaged
  Result<CfiState> run_cie() noexcept {
    begin(cie_.instructions, {});
    for (;;) {
      const Step done = step();
      if (done == Step::end) return initial_ = state_;
      if (done != Step::changed) return Error{Errc::damaged};  // a CIE has no location to move
    }
  }

  /// Calls `on_row(range, state, is_changed)` for each row of `fde`, in order and without gaps, until it gives false.
  /// Where an instruction is damaged, the rest of the function is one row of an empty state.
  ///
  /// Errors: damaged, after that row.
  template <class OnRow>
  Error run_fde(const Fde& fde, OnRow on_row) noexcept {
    begin(fde.instructions, initial_);
    location_ = fde.range.start;
    std::uint64_t start = fde.range.start;
    for (bool is_changed = true;;) {
      const Step done = step();
      if (done == Step::changed) {
        is_changed = true;
        continue;
      }
      if (done == Step::failed) {
        if (start < fde.range.end) (void)on_row(FunctionRange{start, fde.range.end}, CfiState{}, true);
        return {Errc::damaged, Address{start}};
      }
      const std::uint64_t end = done == Step::moved && location_ < fde.range.end ? location_ : fde.range.end;
      if (start < end) {
        if (!on_row(FunctionRange{start, end}, state_, is_changed)) return {};
        start = end;
        is_changed = false;
      }
      if (done == Step::end) return {};
    }
  }

 private:
  enum class Step : std::uint8_t { changed, moved, end, failed };
  using Kind = CfiValue::Kind;

  void begin(std::span<const std::byte> instructions, const CfiState& state) noexcept {
    cursor_ = ByteCursor{instructions};
    instructions_at_ = static_cast<std::uint64_t>(instructions.data() - section_.bytes.data());
    state_ = state;
    remembered_.clear();
  }

  /// One instruction.
  Step step() noexcept {
    if (cursor_.at_end()) return Step::end;
    const auto code = cursor_.take<std::uint8_t>();
    const std::uint64_t low = code & 0x3f;
    Step done = Step::changed;
    switch (static_cast<CfiInstruction>(code & 0xc0)) {
      case CfiInstruction::DW_CFA_advance_loc:
        return advance(low);
      case CfiInstruction::DW_CFA_offset:
        set_offset(low, Kind::offset, factored(cursor_.take_uleb128()));
        break;
      case CfiInstruction::DW_CFA_restore:
        restore(low);
        break;
      default:
        done = extended(static_cast<CfiInstruction>(code));
    }
    return cursor_.ok() ? done : Step::failed;
  }

  Step extended(CfiInstruction code) noexcept {
    using enum CfiInstruction;
    switch (code) {
      case DW_CFA_nop:
        return Step::changed;
      case DW_CFA_set_loc:
        return set_location();
      case DW_CFA_advance_loc1:
        return advance(cursor_.take<std::uint8_t>());
      case DW_CFA_advance_loc2:
        return advance(cursor_.take<std::uint16_t>());
      case DW_CFA_advance_loc4:
        return advance(cursor_.take<std::uint32_t>());
      case DW_CFA_restore_extended:
        restore(cursor_.take_uleb128());
        return Step::changed;
      case DW_CFA_undefined:
        set(cursor_.take_uleb128(), {Kind::undefined});
        return Step::changed;
      case DW_CFA_same_value:
        set(cursor_.take_uleb128(), {Kind::same});
        return Step::changed;
      case DW_CFA_remember_state:
        return remembered_.push_back(state_) ? Step::changed : Step::failed;
      case DW_CFA_restore_state:
        if (remembered_.empty()) return Step::failed;
        state_ = remembered_.back();
        remembered_.pop_back();
        return Step::changed;
      case DW_CFA_AARCH64_negate_ra_state:
      case DW_CFA_AARCH64_negate_ra_state_with_pc:
        if (section_.machine != EM_AARCH64) return Step::failed;
        state_.is_signed = !state_.is_signed;
        return Step::changed;
      case DW_CFA_GNU_args_size:
        cursor_.take_uleb128();
        return Step::changed;
      default:
        return define(code);
    }
  }

  /// Instructions that define the CFA, or where a register is.
  Step define(CfiInstruction code) noexcept {
    using enum CfiInstruction;
    const std::uint64_t first =
        code == DW_CFA_def_cfa_offset_sf || code == DW_CFA_def_cfa_expression ? 0 : cursor_.take_uleb128();
    switch (code) {
      case DW_CFA_def_cfa:
        define_cfa(first, plain(cursor_.take_uleb128()));
        break;
      case DW_CFA_def_cfa_sf:
        define_cfa(first, factored_signed());
        break;
      case DW_CFA_def_cfa_register:
        define_cfa(first, state_.cfa.offset);
        break;
      // These two leave an expression in force, if there is one (libgcc does, and readelf).
      case DW_CFA_def_cfa_offset:
        set_cfa_offset(plain(first));
        break;
      case DW_CFA_def_cfa_offset_sf:
        set_cfa_offset(factored_signed());
        break;
      case DW_CFA_def_cfa_expression:
        set_expression(&state_.cfa, Kind::expression);
        break;
      case DW_CFA_register:
        set_register(first, cursor_.take_uleb128());
        break;
      case DW_CFA_offset_extended:
        set_offset(first, Kind::offset, factored(cursor_.take_uleb128()));
        break;
      case DW_CFA_offset_extended_sf:
        set_offset(first, Kind::offset, factored_signed());
        break;
      case DW_CFA_GNU_negative_offset_extended:
        set_offset(first, Kind::offset, factored(std::uint64_t{0} - cursor_.take_uleb128()));
        break;
      case DW_CFA_val_offset:
        set_offset(first, Kind::is_offset, factored(cursor_.take_uleb128()));
        break;
      case DW_CFA_val_offset_sf:
        set_offset(first, Kind::is_offset, factored_signed());
        break;
      case DW_CFA_expression:
        set_expression(find_value(first), Kind::expression);
        break;
      case DW_CFA_val_expression:
        set_expression(find_value(first), Kind::val_expression);
        break;
      default:
        return Step::failed;
    }
    return Step::changed;
  }

  Step advance(std::uint64_t units) noexcept {
    std::uint64_t bytes = 0;
    if (!cursor_.ok() || __builtin_mul_overflow(units, cie_.code_alignment, &bytes)) return Step::failed;
    return move_to(location_ + bytes);
  }

  Step set_location() noexcept {
    const auto there =
        take_pointer(cursor_, cie_.pointer_encoding, section_.address + instructions_at_ + cursor_.offset());
    return there ? move_to(*there) : Step::failed;
  }

  Step move_to(std::uint64_t location) noexcept {
    if (location < location_) return Step::failed;
    location_ = location;
    return Step::moved;
  }

  CfiValue* find_value(std::uint64_t number) noexcept {
    if (number == registers_.frame_pointer) return &state_.frame_pointer;
    if (number == cie_.return_register) return &state_.return_address;
    return nullptr;
  }

  void set(std::uint64_t number, const CfiValue& value) noexcept {
    if (CfiValue* const place = find_value(number)) *place = value;
  }

  void restore(std::uint64_t number) noexcept {
    if (number == registers_.frame_pointer) state_.frame_pointer = initial_.frame_pointer;
    if (number == cie_.return_register) state_.return_address = initial_.return_address;
  }

  /// A number of 64 bits, or what stands for one that does not fit into 32.
  static constexpr std::int64_t no_number = std::int64_t{1} << 62;
  static std::int64_t plain(std::uint64_t number) noexcept {
    return number < 0x80000000 ? static_cast<std::int64_t>(number) : no_number;
  }
  std::int64_t factored(std::uint64_t number) const noexcept {
    std::int64_t product = 0;
    return __builtin_mul_overflow(static_cast<std::int64_t>(number), cie_.data_alignment, &product) ? no_number
                                                                                                    : product;
  }
  std::int64_t factored_signed() noexcept { return factored(static_cast<std::uint64_t>(take_signed_leb128(cursor_))); }
  static bool fits(std::int64_t number) noexcept { return number == static_cast<std::int32_t>(number); }

  void set_offset(std::uint64_t number, Kind kind, std::int64_t offset) noexcept {
    CfiValue* const place = find_value(number);
    if (place == nullptr) return;
    *place = fits(offset) ? CfiValue{kind, 0, static_cast<std::int32_t>(offset)} : CfiValue{Kind::lost};
  }

  void set_register(std::uint64_t number, std::uint64_t from) noexcept {
    set(number, from <= 0xff ? CfiValue{Kind::in_register, static_cast<std::uint8_t>(from)} : CfiValue{Kind::lost});
  }

  void define_cfa(std::uint64_t from, std::int64_t offset) noexcept {
    const bool is_kept = from <= 0xff && fits(offset);
    state_.cfa = is_kept ? CfiValue{Kind::offset, static_cast<std::uint8_t>(from), static_cast<std::int32_t>(offset)}
                         : CfiValue{Kind::lost};
  }

  void set_cfa_offset(std::int64_t offset) noexcept {
    if (!fits(offset)) state_.cfa.kind = Kind::lost;
    if (fits(offset)) state_.cfa.offset = static_cast<std::int32_t>(offset);
  }

  /// `place` may be null, for a register that is not tracked.
  void set_expression(CfiValue* place, Kind kind) noexcept {
    const std::uint64_t size = cursor_.take_uleb128();
    const std::uint64_t at = instructions_at_ + cursor_.offset();
    cursor_.skip(static_cast<std::size_t>(size));
    if (place == nullptr || !cursor_.ok()) return;
    place->kind = at + size <= 0xffffffff ? kind : Kind::lost;
    place->expression_at = static_cast<std::uint32_t>(at);
    place->expression_size = static_cast<std::uint32_t>(size);
  }

  const CfiSection& section_;
  const Cie& cie_;
  unwind::RegisterNumbers registers_;
  CfiState initial_, state_;
  ByteCursor cursor_{{}};
  std::uint64_t instructions_at_ = 0;
  std::uint64_t location_ = 0;
  FixedVector<CfiState, max_remembered_states> remembered_;
};

namespace detail {

inline std::span<const std::byte> expression_of(const CfiSection& section, const CfiValue& value) noexcept {
  return section.bytes.subspan(value.expression_at, value.expression_size);
}

/// Nothing said of a register means that it is untouched: compilers leave it out for those that callees must keep.
inline unwind::SavedRegister saved_register(const CfiSection& section, const CfiValue& value) noexcept {
  using unwind::SavedRule;
  switch (value.kind) {
    case CfiValue::Kind::unsaid:
    case CfiValue::Kind::same:
      return {SavedRule::same};
    case CfiValue::Kind::offset:
      return {SavedRule::at_cfa, 0, value.offset};
    case CfiValue::Kind::is_offset:
      return {SavedRule::is_cfa, 0, value.offset};
    case CfiValue::Kind::in_register:
      return {SavedRule::in_register, value.from};
    case CfiValue::Kind::expression: {
      const ExpressionShape shape = classify_expression(expression_of(section, value));
      if (shape.kind == ExpressionShape::Kind::address) return {SavedRule::at_register, shape.from, shape.offset};
      break;
    }
    case CfiValue::Kind::val_expression: {
      const ExpressionShape shape = classify_expression(expression_of(section, value));
      if (shape.kind == ExpressionShape::Kind::address && shape.offset == 0)
        return {SavedRule::in_register, shape.from};
      break;
    }
    case CfiValue::Kind::undefined:
    case CfiValue::Kind::lost:
      break;
  }
  return {SavedRule::undefined};
}

inline void set_cfa(const CfiSection& section, const CfiValue& cfa, unwind::UnwindRule& rule) noexcept {
  using unwind::CfaRule;
  rule.cfa_register = cfa.from;
  rule.cfa_offset = cfa.offset;
  if (cfa.kind == CfiValue::Kind::offset) rule.cfa = CfaRule::offset;
  if (cfa.kind != CfiValue::Kind::expression) return;
  const auto bytes = expression_of(section, cfa);
  ExpressionShape shape = classify_expression(bytes);
  // Only there is register 16 the program counter.
  if (shape.kind == ExpressionShape::Kind::plt && section.machine != EM_X86_64) shape = {};
  rule.cfa_register = shape.from;
  rule.cfa_offset = shape.offset;
  rule.cfa_add = shape.add;
  rule.plt_limit = shape.limit;
  switch (shape.kind) {
    case ExpressionShape::Kind::address:
      rule.cfa = CfaRule::offset;
      break;
    case ExpressionShape::Kind::deref:
      rule.cfa = CfaRule::deref;
      break;
    case ExpressionShape::Kind::plt:
      rule.cfa = CfaRule::plt;
      break;
    case ExpressionShape::Kind::other:
      if (bytes.empty()) break;  // gives no value
      rule.cfa = CfaRule::expression;
      rule.expression = bytes.data();
      rule.expression_size = static_cast<std::uint32_t>(bytes.size());
      break;
  }
}

/// glibc's __restore_rt on x86-64: all registers at their places in the ucontext_t that the stack pointer points to
/// (glibc 2.36, sysdeps/unix/sysv/linux/x86_64/libc_sigaction.c; the offsets are those of uc_mcontext.gregs).
inline bool is_signal_trampoline(const CfiSection& section, const unwind::UnwindRule& rule) noexcept {
  using unwind::SavedRule;
  return section.machine == EM_X86_64 && rule.is_signal_frame && rule.cfa == unwind::CfaRule::deref &&
         rule.cfa_register == 7 && rule.cfa_offset == 160 && rule.cfa_add == 0 &&
         rule.frame_pointer == unwind::SavedRegister{SavedRule::at_register, 7, 120} &&
         rule.return_address == unwind::SavedRegister{SavedRule::at_register, 7, 168};
}

}  // namespace detail

/// What `state` means for unwinding. A rule of CfaRule::signal keeps what the entry said of the CFA and the registers.
inline unwind::UnwindRule build_rule(const CfiSection& section, const Cie& cie, const CfiState& state) noexcept {
  using unwind::CfaRule;
  if (state.return_address.kind == CfiValue::Kind::undefined) return {.cfa = CfaRule::end};
  unwind::UnwindRule rule;
  rule.is_signal_frame = cie.is_signal_frame;
  rule.is_return_address_signed = state.is_signed;
  rule.frame_pointer = detail::saved_register(section, state.frame_pointer);
  rule.return_address = detail::saved_register(section, state.return_address);
  detail::set_cfa(section, state.cfa, rule);
  // x86-64 has no register that could still hold it.
  const bool is_lost = rule.return_address.rule == unwind::SavedRule::undefined ||
                       (rule.return_address.rule == unwind::SavedRule::same && section.machine != EM_AARCH64);
  if (rule.cfa == CfaRule::unknown || is_lost) return {};
  if (detail::is_signal_trampoline(section, rule)) rule.cfa = CfaRule::signal;
  return rule;
}

}  // namespace pyagent::inline v0::dwarf
