// An ELF file: load segments, sections, symbols, build-id.
#pragma once

#include <algorithm>    // sort, min
#include <cstddef>      // offsetof
#include <cstdint>      // uint16_t, uint64_t
#include <cstring>      // memcmp
#include <elf.h>        // Elf64_Ehdr and what it leads to
#include <optional>     // optional
#include <span>         // span
#include <string_view>  // string_view
#include <utility>      // move
#include <vector>       // vector

#include "pyagent/elf/file_bytes.hpp"
#include "pyagent/elf/symbol_table.hpp"

namespace pyagent::inline v0::elf {

/// A load segment: what is mapped where. Addresses are those before the load bias is added.
struct Segment {
  std::uint64_t offset = 0;
  std::uint64_t file_size = 0;
  std::uint64_t address = 0;
  std::uint64_t memory_size = 0;
  bool writable = false;
  bool executable = false;
};

/// A section header.
struct Section {
  std::string_view name;
  std::uint32_t type = 0;     ///< SHT_...
  std::uint64_t flags = 0;    ///< SHF_...
  std::uint64_t address = 0;  ///< before the load bias is added
  std::uint64_t offset = 0;
  std::uint64_t size = 0;
  std::uint32_t link = 0;
};

/// The .eh_frame_hdr that the program headers name (PT_GNU_EH_FRAME): there even without section headers.
struct EhFrameHeader {
  std::uint64_t address = 0;  ///< before the load bias is added
  std::span<const std::byte> bytes;
};

/// The parts of a 64-bit little-endian ELF file, by reference: the bytes must outlive it.
class Image {
 public:
  static constexpr std::size_t max_program_headers = 512;
  static constexpr std::size_t max_sections = 65536;

  Image() = default;

  /// Reads the headers of `file`, and finds its symbol tables.
  ///
  /// Errors: wrong_type when it is not ELF; unsupported_build for 32 bits or big-endian; truncated and damaged, with
  ///         the file offset.
  static Result<Image> parse(std::span<const std::byte> file) {
    Image image{file};
    Error failed = image.read_header();
    if (failed.code == Errc::ok) failed = image.read_segments();
    if (failed.code == Errc::ok) failed = image.read_sections();
    if (failed.code != Errc::ok) return failed;
    image.find_symbol_tables();
    return image;
  }

  std::uint16_t machine() const noexcept { return header_.e_machine; }  ///< EM_X86_64, EM_AARCH64
  /// True when it may be loaded anywhere: a library or a PIE.
  bool is_relocatable() const noexcept { return header_.e_type == ET_DYN; }
  std::span<const std::byte> bytes() const noexcept { return file_; }

  /// Load segments, by address.
  std::span<const Segment> segments() const noexcept { return segments_; }
  std::span<const Section> sections() const noexcept { return sections_; }
  /// The table that the loader uses; there even in a stripped file.
  const SymbolTable& dynamic_symbols() const noexcept { return dynamic_symbols_; }
  /// `.symtab`; empty in a stripped file.
  const SymbolTable& static_symbols() const noexcept { return static_symbols_; }

  const Section* find_section(std::string_view name) const noexcept {
    for (const Section& section : sections_)
      if (section.name == name) return &section;
    return nullptr;
  }

  /// What the file holds for `section`; empty for .bss and its like.
  Result<std::span<const std::byte>> read_section(const Section& section) const noexcept {
    if (section.type == SHT_NOBITS) return std::span<const std::byte>{};
    return take_piece(file_, section.offset, section.size);
  }

  /// File offset of an address, as the load segments say; not_found where the file holds nothing for it.
  Result<std::uint64_t> find_offset(std::uint64_t address) const noexcept {
    for (const Segment& segment : segments_)
      if (address >= segment.address && address - segment.address < segment.file_size)
        return segment.offset + (address - segment.address);
    return Error{Errc::not_found, Address{address}};
  }

  /// The GNU build-id; empty when there is none.
  std::span<const std::byte> build_id() const noexcept { return build_id_; }
  /// Empty when there is none.
  const EhFrameHeader& eh_frame_header() const noexcept { return eh_frame_header_; }

 private:
  explicit Image(std::span<const std::byte> file) noexcept : file_(file) {}

  Error read_header() noexcept {
    const auto identity = take_piece(file_, 0, EI_NIDENT);
    if (!identity || std::memcmp(identity->data(), ELFMAG, SELFMAG) != 0) return {Errc::wrong_type};
    const auto header = take_value<Elf64_Ehdr>(file_, 0);
    const auto kind = [&](std::size_t i) { return std::to_integer<unsigned>((*identity)[i]); };
    if (kind(EI_CLASS) != ELFCLASS64 || kind(EI_DATA) != ELFDATA2LSB) return {Errc::unsupported_build, Address{EI_CLASS}};
    if (!header) return header.error();
    header_ = *header;
    return {};
  }

  Error read_segments() {
    if (header_.e_phnum == 0) return {};
    if (header_.e_phnum > max_program_headers) return {Errc::too_large, Address{header_.e_phoff}};
    if (header_.e_phentsize != sizeof(Elf64_Phdr)) return {Errc::damaged, Address{offsetof(Elf64_Ehdr, e_phentsize)}};
    const auto table = take_piece(file_, header_.e_phoff, header_.e_phnum * sizeof(Elf64_Phdr));
    if (!table) return table.error();
    for (std::size_t i = 0; i < header_.e_phnum; ++i) {
      const auto entry = *take_value<Elf64_Phdr>(*table, i * sizeof(Elf64_Phdr));
      const std::uint64_t where = header_.e_phoff + i * sizeof(Elf64_Phdr);
      if (entry.p_type == PT_NOTE) read_notes(take_piece(file_, entry.p_offset, entry.p_filesz).value_or({}));
      if (entry.p_type == PT_GNU_EH_FRAME)
        eh_frame_header_ = {entry.p_vaddr, take_piece(file_, entry.p_offset, entry.p_filesz).value_or({})};
      if (entry.p_type == PT_DYNAMIC) dynamic_ = take_piece(file_, entry.p_offset, entry.p_filesz).value_or({});
      if (entry.p_type != PT_LOAD) continue;
      if (entry.p_filesz > entry.p_memsz || entry.p_vaddr + entry.p_memsz < entry.p_vaddr) return {Errc::damaged, Address{where}};
      if (!take_piece(file_, entry.p_offset, entry.p_filesz)) return {Errc::truncated, Address{where}};
      segments_.push_back({entry.p_offset, entry.p_filesz, entry.p_vaddr, entry.p_memsz, (entry.p_flags & PF_W) != 0,
                           (entry.p_flags & PF_X) != 0});
    }
    std::sort(segments_.begin(), segments_.end(), [](const Segment& a, const Segment& b) { return a.address < b.address; });
    return {};
  }

  Error read_sections() {
    if (header_.e_shoff == 0) return {};
    if (header_.e_shentsize != sizeof(Elf64_Shdr)) return {Errc::damaged, Address{offsetof(Elf64_Ehdr, e_shentsize)}};
    const auto first = take_value<Elf64_Shdr>(file_, header_.e_shoff);
    if (!first) return first.error();
    // Beyond 0xff00 sections the count and the names' index stand in the first header (gABI, chapter 4).
    const std::uint64_t count = header_.e_shnum != 0 ? header_.e_shnum : first->sh_size;
    const std::uint64_t names = header_.e_shstrndx != SHN_XINDEX ? header_.e_shstrndx : first->sh_link;
    if (count > max_sections) return {Errc::too_large, Address{header_.e_shoff}};
    const auto table = take_piece(file_, header_.e_shoff, count * sizeof(Elf64_Shdr));
    if (!table) return table.error();
    const auto entry = [&](std::uint64_t i) { return *take_value<Elf64_Shdr>(*table, i * sizeof(Elf64_Shdr)); };
    if (names >= count) return {Errc::damaged, Address{header_.e_shoff}};
    const auto strings = take_piece(file_, entry(names).sh_offset, entry(names).sh_size);
    if (!strings) return strings.error();
    for (std::uint64_t i = 0; i < count; ++i) {
      const Elf64_Shdr raw = entry(i);
      sections_.push_back({take_string(*strings, raw.sh_name), raw.sh_type, raw.sh_flags, raw.sh_addr, raw.sh_offset,
                           raw.sh_size, raw.sh_link});
    }
    return {};
  }

  /// Source: gABI chapter 5, "Note Section".
  void read_notes(std::span<const std::byte> notes) noexcept {
    for (std::uint64_t at = 0; build_id_.empty();) {
      const auto note = take_value<Elf64_Nhdr>(notes, at);
      if (!note) return;
      const std::uint64_t name = at + sizeof(Elf64_Nhdr), text = name + round_up(note->n_namesz);
      const auto owner = take_piece(notes, name, note->n_namesz);
      const auto value = take_piece(notes, text, note->n_descsz);
      if (!owner || !value) return;
      if (note->n_type == NT_GNU_BUILD_ID && owner->size() == 4 && std::memcmp(owner->data(), "GNU", 4) == 0) build_id_ = *value;
      at = text + round_up(note->n_descsz);
    }
  }

  static constexpr std::uint64_t round_up(std::uint64_t size) noexcept { return (size + 3) & ~std::uint64_t{3}; }

  void find_symbol_tables() noexcept {
    for (const Section& section : sections_) {
      if (section.type != SHT_SYMTAB || section.link >= sections_.size()) continue;
      static_symbols_ = SymbolTable{read_section(section).value_or({}), read_section(sections_[section.link]).value_or({})};
    }
    std::uint64_t symbols = 0, names = 0, names_size = 0, hash = 0;
    for (std::uint64_t at = 0;; at += sizeof(Elf64_Dyn)) {
      const auto entry = take_value<Elf64_Dyn>(dynamic_, at);
      if (!entry || entry->d_tag == DT_NULL) break;
      if (entry->d_tag == DT_SYMTAB) symbols = entry->d_un.d_ptr;
      if (entry->d_tag == DT_STRTAB) names = entry->d_un.d_ptr;
      if (entry->d_tag == DT_STRSZ) names_size = entry->d_un.d_val;
      if (entry->d_tag == DT_GNU_HASH) hash = entry->d_un.d_ptr;
    }
    const auto gnu_hash = tail_at(hash);
    const auto table = tail_at(symbols);
    const std::uint64_t count = count_dynamic_symbols(gnu_hash);
    dynamic_symbols_ = SymbolTable{take_piece(table, 0, count * sizeof(Elf64_Sym)).value_or(table),
                                   take_piece(tail_at(names), 0, names_size).value_or({}), gnu_hash};
  }

  /// From the section header where there is one; walking the hash table costs more.
  std::uint64_t count_dynamic_symbols(std::span<const std::byte> gnu_hash) const noexcept {
    for (const Section& section : sections_)
      if (section.type == SHT_DYNSYM) return std::min<std::uint64_t>(section.size, file_.size()) / sizeof(Elf64_Sym);
    return SymbolTable::count_symbols(gnu_hash);
  }

  /// The file from an address on. Not cut at the segment's end: patchelf leaves a .dynstr that begins in one segment
  /// and ends in the next, adjacent in memory as in the file (seen in Debian's python3.15 after patchelf).
  std::span<const std::byte> tail_at(std::uint64_t address) const noexcept {
    const auto offset = find_offset(address);
    if (address == 0 || !offset || *offset > file_.size()) return {};
    return file_.subspan(static_cast<std::size_t>(*offset));
  }

  std::span<const std::byte> file_, dynamic_, build_id_;
  EhFrameHeader eh_frame_header_;
  Elf64_Ehdr header_{};
  std::vector<Segment> segments_;
  std::vector<Section> sections_;
  SymbolTable dynamic_symbols_, static_symbols_;
};

}  // namespace pyagent::inline v0::elf
