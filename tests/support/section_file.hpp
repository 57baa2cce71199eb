// Builds ELF files out of sections and symbols, for tests of what is found by section.
#pragma once

#include <elf.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

namespace pyagent_test {

/// An ELF library with the sections given, `.symtab`, and one load segment for each section that has SHF_ALLOC.
/// Sections are numbered from 1 in the order in which they were added.
class SectionFile {
 public:
  SectionFile& section(std::string name, std::uint32_t type, std::uint64_t flags, std::uint64_t address,
                       std::string bytes) {
    sections_.push_back({std::move(name), type, flags, address, std::move(bytes), 0, 0});
    return *this;
  }
  /// Code at `address`.
  SectionFile& text(std::uint64_t address, std::size_t size, std::string name = ".text") {
    return section(std::move(name), SHT_PROGBITS, SHF_ALLOC | SHF_EXECINSTR, address, std::string(size, '\xcc'));
  }
  SectionFile& build_id(const std::string& bytes) {
    const Elf64_Nhdr head{4, static_cast<Elf64_Word>(bytes.size()), NT_GNU_BUILD_ID};
    return section(".note.gnu.build-id", SHT_NOTE, SHF_ALLOC, 0x200, raw(head) + std::string{"GNU\0", 4} + bytes);
  }
  SectionFile& debug_link(const std::string& name, std::uint32_t crc) {
    return section(".gnu_debuglink", SHT_PROGBITS, 0, 0, name + std::string(4 - name.size() % 4, '\0') + raw(crc));
  }
  SectionFile& symbol(std::string name, std::uint64_t value, std::uint64_t size, int type = STT_FUNC,
                      int binding = STB_GLOBAL, std::uint16_t section = 1) {
    symbols_.push_back(
        {std::move(name), value, size, section, static_cast<unsigned char>(ELF64_ST_INFO(binding, type))});
    return *this;
  }

  std::string build() const {
    std::vector<Section> all = sections_;
    std::string names(1, '\0'), table = raw(Elf64_Sym{});
    for (const Symbol& symbol : symbols_) {
      Elf64_Sym entry{};
      entry.st_name = static_cast<Elf64_Word>(names.size());
      entry.st_info = symbol.info;
      entry.st_shndx = symbol.section;
      entry.st_value = symbol.value;
      entry.st_size = symbol.size;
      table += raw(entry);
      names += symbol.name + '\0';
    }
    const auto strings = static_cast<std::uint32_t>(all.size() + 2);
    if (!symbols_.empty()) {
      all.push_back({".symtab", SHT_SYMTAB, 0, 0, table, strings, sizeof(Elf64_Sym)});
      all.push_back({".strtab", SHT_STRTAB, 0, 0, names, 0, 0});
    }
    all.push_back({".shstrtab", SHT_STRTAB, 0, 0, {}, 0, 0});
    std::string section_names(1, '\0');
    std::vector<Elf64_Shdr> headers(1);
    for (const Section& section : all) {
      Elf64_Shdr header{};
      header.sh_name = static_cast<Elf64_Word>(section_names.size());
      header.sh_type = section.type;
      header.sh_flags = section.flags;
      header.sh_addr = section.address;
      header.sh_link = section.link;
      header.sh_entsize = section.entry_size;
      section_names += section.name + '\0';
      headers.push_back(header);
    }
    all.back().bytes = section_names;

    std::vector<Elf64_Phdr> segments;
    for (const Section& section : all)
      if ((section.flags & SHF_ALLOC) != 0) segments.emplace_back();
    std::string file(sizeof(Elf64_Ehdr) + segments.size() * sizeof(Elf64_Phdr), '\0');
    for (std::size_t i = 0, segment = 0; i < all.size(); ++i) {
      file.resize((file.size() + 7) / 8 * 8);
      headers[i + 1].sh_offset = file.size();
      headers[i + 1].sh_size = all[i].bytes.size();
      if ((all[i].flags & SHF_ALLOC) != 0) segments[segment++] = segment_of(all[i], file.size());
      file += all[i].bytes;
    }
    file.resize((file.size() + 7) / 8 * 8);

    Elf64_Ehdr header{};
    std::memcpy(header.e_ident, ELFMAG, SELFMAG);
    header.e_ident[EI_CLASS] = ELFCLASS64;
    header.e_ident[EI_DATA] = ELFDATA2LSB;
    header.e_ident[EI_VERSION] = EV_CURRENT;
    header.e_type = ET_DYN;
    header.e_machine = EM_X86_64;
    header.e_phoff = segments.empty() ? 0 : sizeof header;
    header.e_phnum = static_cast<Elf64_Half>(segments.size());
    header.e_phentsize = sizeof(Elf64_Phdr);
    header.e_shoff = file.size();
    header.e_shnum = static_cast<Elf64_Half>(headers.size());
    header.e_shentsize = sizeof(Elf64_Shdr);
    header.e_shstrndx = static_cast<Elf64_Half>(headers.size() - 1);
    std::memcpy(file.data(), &header, sizeof header);
    for (std::size_t i = 0; i < segments.size(); ++i)
      std::memcpy(file.data() + sizeof header + i * sizeof(Elf64_Phdr), &segments[i], sizeof(Elf64_Phdr));
    for (const Elf64_Shdr& entry : headers) file += raw(entry);
    return file;
  }

 private:
  struct Section {
    std::string name;
    std::uint32_t type;
    std::uint64_t flags, address;
    std::string bytes;
    std::uint32_t link;
    std::uint64_t entry_size;
  };
  struct Symbol {
    std::string name;
    std::uint64_t value, size;
    std::uint16_t section;
    unsigned char info;
  };

  template <class T>
  static std::string raw(const T& value) {
    return {reinterpret_cast<const char*>(&value), sizeof value};
  }

  static Elf64_Phdr segment_of(const Section& section, std::uint64_t offset) {
    Elf64_Phdr segment{};
    segment.p_type = section.type == SHT_NOTE ? PT_NOTE : PT_LOAD;
    segment.p_flags = (section.flags & SHF_EXECINSTR) != 0 ? PF_R | PF_X : PF_R;
    segment.p_offset = offset;
    segment.p_vaddr = section.address;
    segment.p_filesz = segment.p_memsz = section.bytes.size();
    return segment;
  }

  std::vector<Section> sections_;
  std::vector<Symbol> symbols_;
};

/// The bytes of a built file, aligned as a mapping is.
inline std::vector<std::byte> bytes_of(const std::string& text) {
  const auto* const first = reinterpret_cast<const std::byte*>(text.data());
  return {first, first + text.size()};
}

}  // namespace pyagent_test
