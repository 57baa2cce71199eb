// A code object's own fields, as addresses and numbers: no names, no lines. signal-safe
//
// Source: PyCodeObject, Include/code.h up to 3.7, Include/cpython/code.h from 3.8
#pragma once

#include <algorithm>    // min
#include <array>        // array
#include <cstddef>      // byte
#include <cstdint>      // uint32_t
#include <span>         // span
#include <type_traits>  // is_trivially_copyable_v

#include "pyagent/cpython/layout.hpp"
#include "pyagent/cpython/object_bytes.hpp"
#include "pyagent/cpython/read_string.hpp"
#include "pyagent/cpython/walk_frames.hpp"
#include "pyagent/memory/memory.hpp"

namespace pyagent::inline v0::cpython {

/// A code object as it stands in the target. Nothing is checked but that its memory could be read.
struct RawCode {
  Address type;             ///< ob_type: PyCode_Type, if this is a code object
  Address name;             ///< co_name
  Address qualname;         ///< co_qualname, null up to 3.10
  Address filename;         ///< co_filename
  Address lines;            ///< co_lnotab or co_linetable, a bytes object
  Address names_of_locals;  ///< co_varnames or co_localsplusnames, a tuple
  std::int32_t first_line = 0;
  std::uint32_t argcount = 0;           ///< positional arguments
  std::uint32_t flags = 0;              ///< co_flags
  std::uint32_t frame_words = 0;        ///< 8-byte words a frame of it takes on the data stack, 0 up to 3.10
  std::uint32_t instruction_bytes = 0;  ///< length of the instructions, 0 up to 3.10
  std::uint32_t version = 0;            ///< co_version, 3.12 on: given once per interpreter, or 0 when they ran out
};
static_assert(std::is_trivially_copyable_v<RawCode>);

/// From the front of a code object, all fields of RawCode lie in as many bytes, in every build.
inline constexpr std::size_t code_head_size = 160;

/// Takes a code object's fields from its first bytes; what lies behind them is zero.
inline RawCode decode_code(const Layout& layout, std::span<const std::byte> bytes) noexcept {
  const auto& at = layout.code;
  RawCode raw{.type = pointer_at(bytes, layout.object.type),
              .name = pointer_at(bytes, at.name),
              .qualname = pointer_at(bytes, at.qualname),
              .filename = pointer_at(bytes, at.filename),
              .lines = pointer_at(bytes, at.lines),
              .names_of_locals = pointer_at(bytes, at.names_of_locals),
              .first_line = field_at<std::int32_t>(bytes, at.firstlineno),
              .argcount = field_at<std::uint32_t>(bytes, at.argcount),
              .flags = field_at<std::uint32_t>(bytes, at.flags),
              .version = field_at<std::uint32_t>(bytes, at.version)};
  if (at.adaptive == absent) return raw;

  constexpr std::uint64_t max_units = 0x7fffffff;  // Py_SIZE counts units of two bytes; CPython keeps offsets in an int
  const auto units = field_at<std::uint64_t>(bytes, layout.object.var_size);
  raw.instruction_bytes = static_cast<std::uint32_t>(units > max_units ? 0 : units * 2);
  // 3.11 computes co_framesize when it is wanted. Source: v3.11.7, Python/frame.c, _PyEvalFramePushAndInit
  raw.frame_words = at.framesize != absent ? field_at<std::uint32_t>(bytes, at.framesize)
                                           : field_at<std::uint32_t>(bytes, at.nlocalsplus) +
                                                 field_at<std::uint32_t>(bytes, at.stacksize) + layout.frame.size / 8;
  return raw;
}

/// What a walk needs to know of the code object at `code`.
constexpr CodeShape shape_of(const Layout& layout, Address code, const RawCode& raw) noexcept {
  if (layout.code.adaptive == absent) return {};
  return {.instructions = code + layout.code.adaptive,
          .instruction_bytes = raw.instruction_bytes,
          .frame_words = raw.frame_words};
}

/// Reads the code object at `code` in one read.
///
/// Errors: unreadable. That it is a code object at all is for the caller to see, by RawCode::type.
template <memory::Memory M>
Result<RawCode> read_raw_code(const M& memory, const Layout& layout, Address code) noexcept {
  std::array<std::byte, code_head_size> buffer;
  const auto bytes = std::span{buffer}.first(std::min<std::size_t>(layout.code.size, buffer.size()));
  if (const Errc failed = memory.read(code, bytes); failed != Errc::ok) return Error{failed, code};
  return decode_code(layout, bytes);
}

/// A bytes object of the target.
struct BytesObject {
  Address data;
  std::uint64_t size = 0;
};

/// Where the bytes of the bytes object at `object` are.
template <memory::Memory M>
Result<BytesObject> read_bytes_object(const M& memory, const Layout& layout, Address object) noexcept {
  const auto size = memory::read_value<std::uint64_t>(memory, object + layout.object.var_size);
  if (!size) return size.error();
  if (*size > max_string_length) return Error{Errc::wrong_type, object};
  return BytesObject{object + layout.bytes.data, *size};
}

/// A number that differs when the bytes object does: its length, its hash if there is one, its bytes at both ends.
/// Reads nothing outside of the object: that it is alive may be all that is known.
template <memory::Memory M>
Result<std::uint64_t> read_bytes_identity(const M& memory, const Layout& layout, Address object) noexcept {
  std::array<std::byte, 64> buffer;
  const auto head = std::span{buffer}.first(std::min<std::size_t>(layout.bytes.data, buffer.size()));
  if (const Errc failed = memory.read(object, head); failed != Errc::ok) return Error{failed, object};
  const auto size = field_at<std::uint64_t>(head, layout.object.var_size);
  if (size > max_string_length) return Error{Errc::wrong_type, object};
  return read_ends_identity(memory, object + layout.bytes.data, size,
                            mix(size, field_at<std::uint64_t>(head, layout.bytes.hash)));
}

/// A fingerprint that tells code objects apart when one takes the address of another. Their strings often take each
/// other's addresses too (seen with exec() in a loop, and in CPython's own profiler: cpython#151613), so contents take
/// part: those of name, qualified name and file, and the line table's ends. Six small reads or, where Python has not
/// computed the hash of a string yet, up to two more for each.
///
/// Shape:  never fails: what can't be read counts by its address.
///         It may change for the same code object when Python computes the hash of one of its strings.
template <memory::Memory M>
std::uint64_t code_identity(const M& memory, const Layout& layout, const RawCode& raw) noexcept {
  std::uint64_t identity = mix(static_cast<std::uint32_t>(raw.first_line), raw.flags);
  identity = mix(identity, std::uint64_t{raw.argcount} << 32 | raw.instruction_bytes);
  const Address qualname = raw.qualname != raw.name ? raw.qualname : Address{};  // the same string outside of classes
  for (const Address string : {raw.name, raw.filename, qualname}) {
    identity = mix(identity, string.value);
    if (string) identity = mix(identity, read_string_identity(memory, layout, string).value_or(0));
  }
  identity = mix(identity, raw.lines.value);
  return mix(identity, read_bytes_identity(memory, layout, raw.lines).value_or(0));
}

}  // namespace pyagent::inline v0::cpython
