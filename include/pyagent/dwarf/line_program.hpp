// Line programs of DWARF 2 to 5: the header with its files, and the rows that the program makes. May allocate.
#pragma once

#include <cstddef>      // byte, size_t
#include <cstdint>      // uint64_t
#include <optional>     // optional
#include <span>         // span
#include <string>       // string
#include <string_view>  // string_view
#include <vector>       // vector

#include "pyagent/base/result.hpp"
#include "pyagent/dwarf/unit.hpp"

namespace pyagent::inline v0::dwarf {

/// From `address` to that of the next row the code belongs to this line.
struct LineRow {
  std::uint64_t address = 0;
  std::uint32_t file = 1;  ///< as the program numbers them
  std::uint32_t line = 1;  ///< 0: of no line
  std::uint32_t column = 0;
  bool ends_sequence = false;  ///< `address` is the first that does not belong to the sequence
};

/// What is longer is cut: Linux opens no path of more than 4096 bytes.
inline constexpr std::size_t max_path_part = 4096;

struct SourceFile {
  std::string_view name;
  std::uint64_t directory = 0;
};

/// A line program, by reference.
///
/// Source: DWARF 5, 6.2
struct LineProgram {
  Encoding encoding;
  std::uint8_t minimum_instruction_length = 1;
  std::uint8_t operations_per_instruction = 1;
  std::int8_t line_base = 0;
  std::uint8_t line_range = 0;
  std::uint8_t opcode_base = 0;
  std::span<const std::byte> operand_counts;  ///< of the standard opcodes, from 1 on
  std::vector<std::string_view> directories;  ///< from 0 in DWARF 5, else from 1
  std::vector<SourceFile> files;              ///< likewise
  std::span<const std::byte> code;
  std::size_t bytes = 0;  ///< of the section, from the program's start

  /// Reads the header at `offset` of .debug_line; `unit` is one that refers to it.
  ///
  /// Errors: truncated, damaged, unsupported_version
  static Result<LineProgram> parse(const DebugSections& sections, const Unit& unit, std::uint64_t offset);

  /// Runs it: `give(row)` for each. Files that it defines are added to `files`.
  template <class F>
  void run(F&& give);

  /// The file's whole path; empty when there is no such file. `directory` is where the compiler ran.
  std::string path(std::uint64_t file, std::string_view directory) const;

 private:
  const SourceFile* find_file(std::uint64_t file) const noexcept {
    const std::uint64_t index = encoding.version >= 5 ? file : file - 1;
    return index < files.size() ? &files[static_cast<std::size_t>(index)] : nullptr;
  }

  void read_old_files(SectionCursor& cursor);
  void read_old_file(SectionCursor& cursor, std::string_view name);
  bool read_entries(SectionCursor& cursor, const DebugSections& sections, const Unit& unit, bool are_files);
};

inline Result<LineProgram> LineProgram::parse(const DebugSections& sections, const Unit& unit, std::uint64_t offset) {
  LineProgram program;
  SectionCursor cursor{sections.lines, offset};
  const std::uint64_t length = cursor.take_initial_length(program.encoding.is_64);
  if (!cursor.ok() || length > cursor.remaining()) return Error{Errc::truncated, Address{offset}};
  const std::uint64_t end = cursor.position() + length;
  program.bytes = static_cast<std::size_t>(end - offset);
  cursor = SectionCursor{sections.lines, cursor.position(), end};
  program.encoding.version = cursor.take<std::uint16_t>();
  program.encoding.address_size = unit.encoding.address_size;
  const std::uint16_t version = program.encoding.version;
  if (version < 2 || version > 5) return Error{Errc::unsupported_version, Address{offset}};
  if (version >= 5) {
    program.encoding.address_size = cursor.take<std::uint8_t>();
    cursor.skip(1);  // size of a segment selector
  }
  const std::uint64_t header_length = cursor.take_offset(program.encoding);
  if (!cursor.ok() || header_length > cursor.remaining()) return Error{Errc::truncated, Address{offset}};
  program.code = sections.lines.subspan(static_cast<std::size_t>(cursor.position() + header_length),
                                        cursor.remaining() - static_cast<std::size_t>(header_length));
  program.minimum_instruction_length = cursor.take<std::uint8_t>();
  if (version >= 4) program.operations_per_instruction = cursor.take<std::uint8_t>();
  cursor.skip(1);  // default of is_stmt
  program.line_base = cursor.take<std::int8_t>();
  program.line_range = cursor.take<std::uint8_t>();
  program.opcode_base = cursor.take<std::uint8_t>();
  if (program.opcode_base != 0) program.operand_counts = cursor.take_bytes(program.opcode_base - 1u);
  if (!cursor.ok()) return Error{Errc::truncated, Address{cursor.position()}};
  if (program.line_range == 0 || program.opcode_base == 0 || program.operations_per_instruction == 0)
    return Error{Errc::damaged, Address{offset}};
  if (version < 5) {
    program.read_old_files(cursor);
  } else if (!program.read_entries(cursor, sections, unit, false) ||
             !program.read_entries(cursor, sections, unit, true)) {
    return Error{Errc::damaged, Address{cursor.position()}};
  }
  if (!cursor.ok()) return Error{Errc::truncated, Address{offset}};
  return program;
}

/// Source: DWARF 4, 6.2.4
inline void LineProgram::read_old_files(SectionCursor& cursor) {
  for (auto name = cursor.take_string(); cursor.ok() && !name.empty(); name = cursor.take_string())
    directories.push_back(name);
  for (auto name = cursor.take_string(); cursor.ok() && !name.empty(); name = cursor.take_string())
    read_old_file(cursor, name);
}

inline void LineProgram::read_old_file(SectionCursor& cursor, std::string_view name) {
  files.push_back({name, cursor.take_uleb128()});
  (void)cursor.take_uleb128();  // time of its last change
  (void)cursor.take_uleb128();  // size
}

/// Source: DWARF 5, 6.2.4.1
inline bool LineProgram::read_entries(SectionCursor& cursor, const DebugSections& sections, const Unit& unit,
                                      bool are_files) {
  struct Part {
    std::uint64_t content, form;
  };
  std::vector<Part> parts(cursor.take<std::uint8_t>());
  for (Part& part : parts) part = {cursor.take_uleb128(), cursor.take_uleb128()};
  const std::uint64_t count = cursor.take_uleb128();
  for (std::uint64_t i = 0; i < count; ++i) {
    SourceFile entry;
    const std::size_t before = cursor.offset();
    for (const Part& part : parts) {
      if (part.form > 0xffff || part.form == DW_FORM_implicit_const) return false;
      const FormValue value = read_form(cursor, static_cast<std::uint16_t>(part.form), 0, encoding);
      if (part.content == DW_LNCT_path) entry.name = find_text(sections, unit, value);
      if (part.content == DW_LNCT_directory_index) entry.directory = value.number;
    }
    // Entries of no bytes could be counted for ever.
    if (!cursor.ok() || cursor.offset() == before) return false;
    if (are_files)
      files.push_back(entry);
    else
      directories.push_back(entry.name);
  }
  return cursor.ok();
}

template <class F>
void LineProgram::run(F&& give) {
  SectionCursor cursor{code, 0};
  LineRow row;
  std::uint64_t operation = 0;  // within an instruction of several (VLIW)
  const auto advance = [&](std::uint64_t operations) {
    if (operations_per_instruction == 1) {
      row.address += minimum_instruction_length * operations;
      return;
    }
    row.address += minimum_instruction_length * ((operation + operations) / operations_per_instruction);
    operation = (operation + operations) % operations_per_instruction;
  };
  const auto advance_line = [&](std::int64_t lines) {
    row.line = static_cast<std::uint32_t>(row.line + static_cast<std::uint64_t>(lines));
  };
  const auto run_extended = [&] {
    const std::uint64_t length = cursor.take_uleb128();
    if (length == 0 || length > cursor.remaining()) return cursor.skip(length == 0 ? 0 : cursor.remaining() + 1);
    SectionCursor operands{cursor.take_bytes(static_cast<std::size_t>(length)), 0};
    switch (operands.take<std::uint8_t>()) {
      case DW_LNE_end_sequence:
        row.ends_sequence = true;
        give(row);
        row = {};
        operation = 0;
        break;
      case DW_LNE_set_address:
        // As many bytes as are there: a unit's address size is not known to every line program before DWARF 5.
        if (operands.remaining() <= 8) row.address = operands.take_unsigned(operands.remaining());
        operation = 0;
        break;
      case DW_LNE_define_file:
        read_old_file(operands, operands.take_string());
        break;
      default:
        break;  // DW_LNE_set_discriminator, and those of vendors
    }
  };
  while (!cursor.at_end() && cursor.ok()) {
    const auto opcode = cursor.take<std::uint8_t>();
    if (opcode >= opcode_base) {
      const unsigned adjusted = static_cast<unsigned>(opcode) - opcode_base;
      advance(adjusted / line_range);
      advance_line(line_base + static_cast<std::int64_t>(adjusted % line_range));
      give(row);
      continue;
    }
    switch (opcode) {
      case 0:
        run_extended();
        break;
      case DW_LNS_copy:
        give(row);
        break;
      case DW_LNS_advance_pc:
        advance(cursor.take_uleb128());
        break;
      case DW_LNS_advance_line:
        advance_line(cursor.take_sleb128());
        break;
      case DW_LNS_set_file:
        row.file = static_cast<std::uint32_t>(cursor.take_uleb128());
        break;
      case DW_LNS_set_column:
        row.column = static_cast<std::uint32_t>(cursor.take_uleb128());
        break;
      case DW_LNS_const_add_pc:
        advance((255u - opcode_base) / line_range);
        break;
      case DW_LNS_fixed_advance_pc:
        row.address += cursor.take<std::uint16_t>();
        operation = 0;
        break;
      default:  // the rest only sets flags, or is for later versions: its operands are skipped
        for (auto count = std::to_integer<unsigned>(operand_counts[opcode - 1u]); count > 0; --count)
          (void)cursor.take_uleb128();
    }
  }
}

inline std::string LineProgram::path(std::uint64_t file, std::string_view directory) const {
  const SourceFile* const found = find_file(file);
  if (found == nullptr || found->name.empty()) return {};
  const auto join = [](std::string_view before, std::string_view after) {
    after = after.substr(0, max_path_part);
    if (before.empty() || after.starts_with('/')) return std::string{after};
    std::string whole{before};
    if (!after.empty() && !whole.ends_with('/')) whole += '/';
    return whole.append(after);
  };
  // Directory 0 is where the compiler ran; DWARF 5 has it in the table.
  const bool is_new = encoding.version >= 5;
  const std::uint64_t index = is_new ? found->directory : found->directory - 1;
  const bool is_listed = index < directories.size();
  const std::string_view listed = is_listed ? directories[static_cast<std::size_t>(index)] : std::string_view{};
  return join(join(directory.substr(0, max_path_part), listed), found->name);
}

}  // namespace pyagent::inline v0::dwarf
