// Fuzz target: a line table in every format, asked for places inside and outside of it.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <initializer_list>
#include <span>

#include "pyagent/cpython/line_table.hpp"

using namespace pyagent;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::int32_t numbers[2] = {};  // first line, instruction
  if (size < sizeof numbers) return 0;
  std::memcpy(numbers, data, sizeof numbers);
  const auto table = std::as_bytes(std::span{data, size}.subspan(sizeof numbers));
  using cpython::LineTable;
  for (const LineTable format : {LineTable::lnotab_unsigned, LineTable::lnotab_signed, LineTable::ranges, LineTable::locations})
    for (const std::int32_t instruction : {numbers[1], numbers[1] & 0xff, 0, -1, 0x7fffffff}) {
      const cpython::Location place = cpython::find_location(format, table, numbers[0], instruction);
      const bool is_sound = place.line >= 0 && place.end_line >= 0 && place.column >= -1 && place.end_column >= -1 &&
                            (place.end_line == 0 || place.end_line >= place.line);
      if (!is_sound) std::abort();
    }
  return 0;
}
