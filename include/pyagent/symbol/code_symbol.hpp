// What a code record means to people: name, file, line. May allocate
#pragma once

#include <algorithm>  // max
#include <cstdint>    // int32_t
#include <string>     // string

#include "pyagent/cpython/line_table.hpp"
#include "pyagent/recording/records.hpp"
#include "pyagent/symbol/position.hpp"
#include "pyagent/symbol/short_filename.hpp"

namespace pyagent::inline v0::symbol {

/// The name that frames of `code` show: qualified where that is known.
inline std::string code_name(const recording::CodeRecord& code) {
  if (!code.qualified_name.empty()) return code.qualified_name;
  return code.name.empty() ? "[unnamed code]" : code.name;
}

/// Where `instruction`, a byte offset in `code`, stands in its file.
inline Position code_position(const recording::CodeRecord& code, std::int32_t instruction) {
  const cpython::Location location = cpython::find_location(code.line_format, code.lines, code.first_line, instruction);
  return {.line = std::max(location.line, 0), .column = location.column + 1};
}

/// The few instructions that 3.12 and later run around `__init__` of an inlined call: no code of the program, and not in
/// its tracebacks. Source: _Py_InitCleanup, CPython 3.13 Python/specialize.c; its file is called __init__ as well.
inline bool is_interpreters_own(const recording::CodeRecord& code) {
  return code.first_line == 0 && code.name == "__init__" && code.filename == "__init__";
}

/// Names the code of one recording.
class CodeSymbols {
 public:
  std::string name(const recording::CodeRecord& code) const { return code_name(code); }
  std::string short_filename(const recording::CodeRecord& code) { return filenames_.find(code.filename); }
  Position position(const recording::CodeRecord& code, std::int32_t instruction) const { return code_position(code, instruction); }

 private:
  ShortFilenames filenames_;
};

}  // namespace pyagent::inline v0::symbol
