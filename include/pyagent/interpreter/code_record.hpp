// What a code object says about itself, as a recording keeps it. May allocate
#pragma once

#include <algorithm>  // min
#include <array>      // array
#include <cstddef>    // byte
#include <span>       // span
#include <string>     // string

#include "pyagent/cpython/defining_class.hpp"
#include "pyagent/cpython/raw_code.hpp"
#include "pyagent/cpython/raw_frame.hpp"
#include "pyagent/cpython/read_string.hpp"
#include "pyagent/memory/memory.hpp"
#include "pyagent/recording/file_format.hpp"
#include "pyagent/recording/records.hpp"

namespace pyagent::inline v0::interpreter {

namespace detail {

template <memory::Memory M>
std::string read_text_of(const M& memory, const cpython::Layout& layout, Address string) {
  std::array<char, 4096> text;
  const auto piece = cpython::read_string(memory, layout, string, text);
  if (!piece) return {};
  return std::string{text.data(), piece->size} + (piece->is_cut ? "\u2026" : "");
}

}  // namespace detail

/// Reads name, qualified name, file and line table of the code object that `frame` runs. Up to 3.10, which has no
/// qualified names, the class is found by the frame's first argument.
///
/// Shape:  texts beyond 4 KiB end in an ellipsis; a line table beyond recording::max_record_size is left out. `id` is 0.
/// Errors: none; what can't be read is empty.
template <memory::Memory M>
recording::CodeRecord read_code_record(const M& memory, const cpython::Layout& layout, const cpython::RawFrame& frame,
                                       const cpython::RawCode& raw) {
  recording::CodeRecord code;
  code.name = detail::read_text_of(memory, layout, raw.name);
  code.filename = detail::read_text_of(memory, layout, raw.filename);
  if (raw.qualname) {
    code.qualified_name = detail::read_text_of(memory, layout, raw.qualname);
  } else {
    std::array<char, 1024> owner;
    const auto piece = cpython::read_defining_class(memory, layout, frame.frame, frame.code, raw, owner);
    if (piece) code.qualified_name = std::string{owner.data(), piece->size} + '.' + code.name;
  }
  code.first_line = raw.first_line;
  code.line_format = layout.line_table;
  const auto lines = cpython::read_bytes_object(memory, layout, raw.lines);
  if (lines && lines->size <= recording::max_record_size / 2) {
    code.lines.resize(static_cast<std::size_t>(lines->size));
    if (memory.read(lines->data, code.lines) != Errc::ok) code.lines.clear();
  }
  return code;
}

}  // namespace pyagent::inline v0::interpreter
