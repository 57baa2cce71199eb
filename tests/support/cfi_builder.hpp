// Builds sections of call frame information, and small ELF files with them, byte by byte, for tests.
#pragma once

#include <elf.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

namespace pyagent_test {

using Bytes = std::vector<std::byte>;

template <class T>
void append_value(Bytes& out, T value) {
  const auto* const first = reinterpret_cast<const std::byte*>(&value);
  out.insert(out.end(), first, first + sizeof value);
}

inline void append_bytes(Bytes& out, const Bytes& more) { out.insert(out.end(), more.begin(), more.end()); }

/// Bytes from numbers, for instructions and expressions.
template <class... Number>
Bytes bytes_of(Number... numbers) {
  return {static_cast<std::byte>(numbers)...};
}

/// .eh_frame (or .debug_frame) at `address`. FDE pointers are 4 bytes, relative to themselves (absolute, 8 bytes).
struct CfiBuilder {
  std::uint64_t address = 0x1000;
  bool is_debug_frame = false;
  Bytes bytes;
  std::vector<std::pair<std::uint64_t, std::uint64_t>> functions;  ///< start, address of the FDE

  /// A CIE with any content after its id; gives its offset.
  std::uint64_t add_raw_cie(const Bytes& content) { return add_entry(is_debug_frame ? 0xffffffff : 0, content); }

  /// One like GCC's. `augmentation` begins with z, or is empty.
  std::uint64_t add_cie(const Bytes& instructions, const std::string& augmentation = "zR", std::uint8_t encoding = 0x1b,
                        int code_alignment = 1, int data_alignment = -8, int return_register = 16) {
    Bytes content = bytes_of(1);
    for (const char letter : augmentation) content.push_back(static_cast<std::byte>(letter));
    append_bytes(content, bytes_of(0, code_alignment, data_alignment & 0x7f, return_register));
    if (!augmentation.empty()) append_bytes(content, bytes_of(1, encoding));
    append_bytes(content, instructions);
    return add_raw_cie(content);
  }

  /// An FDE of such a CIE; gives its offset.
  std::uint64_t add_fde(std::uint64_t cie, std::uint64_t start, std::uint64_t size, const Bytes& instructions) {
    const std::uint64_t offset = bytes.size();
    Bytes content;
    if (is_debug_frame) {
      append_value(content, start);
      append_value(content, size);
    } else {
      append_value(content, static_cast<std::uint32_t>(start - (address + offset + 8)));
      append_value(content, static_cast<std::uint32_t>(size));
      append_bytes(content, bytes_of(0));
    }
    append_bytes(content, instructions);
    functions.emplace_back(start, address + offset);
    return add_entry(is_debug_frame ? cie : offset + 4 - cie, content);
  }

  void add_terminator() { append_value(bytes, std::uint32_t{0}); }

  /// .eh_frame_hdr for it.
  Bytes header(std::uint64_t header_address) const {
    auto sorted = functions;
    std::stable_sort(sorted.begin(), sorted.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
    Bytes out = bytes_of(1, 0x1b, 0x03, 0x3b);
    append_value(out, static_cast<std::uint32_t>(address - (header_address + 4)));
    append_value(out, static_cast<std::uint32_t>(sorted.size()));
    for (const auto& [start, fde] : sorted) {
      append_value(out, static_cast<std::uint32_t>(start - header_address));
      append_value(out, static_cast<std::uint32_t>(fde - header_address));
    }
    return out;
  }

 private:
  std::uint64_t add_entry(std::uint64_t id, const Bytes& content) {
    const std::uint64_t offset = bytes.size();
    const std::size_t padding = (8 - (content.size() + 8) % 8) % 8;
    append_value(bytes, static_cast<std::uint32_t>(4 + content.size() + padding));
    append_value(bytes, static_cast<std::uint32_t>(id));
    append_bytes(bytes, content);
    bytes.resize(bytes.size() + padding);
    return offset;
  }
};

/// An ELF library: one executable segment of `code_size` bytes at `code_address` without content, and one segment with
/// the sections. PT_GNU_EH_FRAME leads to `header`.
struct UnwindElf {
  std::uint16_t machine = EM_X86_64;
  std::uint64_t code_address = 0x10000, code_size = 0x10000;
  std::uint64_t data_address = 0x1000;
  bool has_section_headers = true;
  Bytes eh_frame, header, debug_frame;
  std::uint64_t debug_frame_flags = 0;

  static constexpr std::uint64_t headers_size = sizeof(Elf64_Ehdr) + 3 * sizeof(Elf64_Phdr);
  /// Where .eh_frame_hdr and .eh_frame will be: the header's size must be known before.
  std::uint64_t header_address() const { return data_address + headers_size; }
  std::uint64_t eh_frame_address(std::size_t functions) const {
    return header_address() + round_up(12 + 8 * functions);
  }

  Bytes build() const {
    Bytes file(headers_size);
    const std::uint64_t header_at = append(file, header), eh_frame_at = append(file, eh_frame),
                        debug_frame_at = append(file, debug_frame);
    const std::uint64_t loaded = debug_frame_at;
    Elf64_Ehdr head{};
    if (has_section_headers) {
      const std::string names{"\0.eh_frame\0.eh_frame_hdr\0.debug_frame\0.shstrtab\0", 49};
      Bytes text;
      for (const char letter : names) text.push_back(static_cast<std::byte>(letter));
      const std::uint64_t names_at = append(file, text);
      std::vector<Elf64_Shdr> rows(1);
      const auto add = [&](std::uint32_t name, std::uint64_t at, const Bytes& content, std::uint64_t address,
                           std::uint64_t flags) {
        Elf64_Shdr row{};
        row.sh_name = name, row.sh_type = SHT_PROGBITS, row.sh_offset = at, row.sh_size = content.size();
        row.sh_addr = address, row.sh_flags = flags;
        if (!content.empty()) rows.push_back(row);
      };
      add(1, eh_frame_at, eh_frame, data_address + eh_frame_at, SHF_ALLOC);
      add(11, header_at, header, data_address + header_at, SHF_ALLOC);
      add(25, debug_frame_at, debug_frame, 0, debug_frame_flags);
      add(38, names_at, text, 0, 0);
      head.e_shnum = static_cast<std::uint16_t>(rows.size());
      head.e_shstrndx = static_cast<std::uint16_t>(rows.size() - 1);
      Bytes table;
      for (const Elf64_Shdr& row : rows) append_value(table, row);
      head.e_shoff = append(file, table);
    }
    std::memcpy(head.e_ident, ELFMAG, SELFMAG);
    head.e_ident[EI_CLASS] = ELFCLASS64, head.e_ident[EI_DATA] = ELFDATA2LSB, head.e_ident[EI_VERSION] = EV_CURRENT;
    head.e_type = ET_DYN, head.e_machine = machine;
    head.e_phoff = sizeof head, head.e_phnum = 3, head.e_phentsize = sizeof(Elf64_Phdr),
    head.e_shentsize = sizeof(Elf64_Shdr);
    std::memcpy(file.data(), &head, sizeof head);
    const Elf64_Phdr segments[] = {
        {PT_LOAD, PF_R, 0, data_address, data_address, loaded, loaded, 4096},
        {PT_LOAD, PF_R | PF_X, 0, code_address, code_address, 0, code_size, 4096},
        {header.empty() ? Elf64_Word{PT_NULL} : Elf64_Word{PT_GNU_EH_FRAME}, PF_R, header_at, data_address + header_at,
         data_address + header_at, header.size(), header.size(), 4}};
    std::memcpy(file.data() + sizeof head, segments, sizeof segments);
    return file;
  }

 private:
  static constexpr std::uint64_t round_up(std::uint64_t size) { return (size + 7) / 8 * 8; }
  static std::uint64_t append(Bytes& file, const Bytes& content) {
    file.resize(round_up(file.size()));
    const std::uint64_t at = file.size();
    append_bytes(file, content);
    return at;
  }
};

}  // namespace pyagent_test
