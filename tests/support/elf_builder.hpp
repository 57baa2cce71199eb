// Builds small ELF files byte by byte, for tests.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <elf.h>
#include <string>
#include <vector>

namespace pyagent_test {

/// A 64-bit little-endian library in one load segment at address `base`: symbols, a GNU hash table with one bucket,
/// dynamic section, two notes with the build-id second, and section headers for .dynsym, .PyRuntime and .shstrtab.
struct ElfBuilder {
  struct Symbol {
    std::string name;
    std::uint64_t value;
    std::uint64_t size;
    std::uint16_t section = 1;
  };
  std::vector<Symbol> symbols;
  std::uint64_t base = 0x10000;
  std::uint64_t runtime_address = 0;  ///< of .PyRuntime; no such section when 0
  bool sections = true;

  std::uint64_t headers = 0, dynsym = 0, dynstr = 0, hash = 0, dynamic = 0, note = 0, section_table = 0;  ///< offsets, once built

  std::vector<std::byte> build() {
    std::vector<std::byte> file(sizeof(Elf64_Ehdr) + 3 * sizeof(Elf64_Phdr));
    headers = sizeof(Elf64_Ehdr);
    std::string names(1, '\0');
    std::vector<Elf64_Sym> table(1);
    for (const Symbol& symbol : symbols) {
      Elf64_Sym raw{};
      raw.st_name = static_cast<Elf64_Word>(names.size());
      raw.st_info = ELF64_ST_INFO(STB_GLOBAL, STT_OBJECT);
      raw.st_shndx = symbol.section;
      raw.st_value = symbol.value;
      raw.st_size = symbol.size;
      table.push_back(raw);
      names += symbol.name + '\0';
    }
    dynsym = append(file, table.data(), table.size() * sizeof(Elf64_Sym));
    dynstr = append(file, names.data(), names.size());

    // One bucket, one bloom word that lets everything pass; source of the layout: glibc elf/dl-lookup.c
    std::vector<std::uint32_t> words{1, 1, 1, 6, 0xffffffff, 0xffffffff, symbols.empty() ? 0u : 1u};
    for (std::size_t i = 0; i < symbols.size(); ++i) {
      std::uint32_t hashed = 5381;
      for (const char c : symbols[i].name) hashed = hashed * 33 + static_cast<unsigned char>(c);
      words.push_back(i + 1 == symbols.size() ? hashed | 1 : hashed & ~1u);
    }
    hash = append(file, words.data(), words.size() * 4);

    const struct {
      Elf64_Nhdr other{4, 6, NT_GNU_ABI_TAG};  ///< 6 bytes, padded to 8
      unsigned char other_owner[4] = {'G', 'N', 'U', 0}, other_value[8] = {};
      Elf64_Nhdr head{4, 4, NT_GNU_BUILD_ID};
      unsigned char owner[4] = {'G', 'N', 'U', 0}, identity[4] = {0xde, 0xad, 0xbe, 0xef};
    } build_id;
    note = append(file, &build_id, sizeof build_id);

    std::vector<Elf64_Dyn> entries;
    const auto entry = [&](Elf64_Sxword tag, std::uint64_t value) { entries.push_back({tag, {value}}); };
    entry(DT_SYMTAB, base + dynsym), entry(DT_STRTAB, base + dynstr), entry(DT_STRSZ, names.size());
    entry(DT_GNU_HASH, base + hash), entry(DT_NULL, 0);
    dynamic = append(file, entries.data(), entries.size() * sizeof(Elf64_Dyn));
    const std::uint64_t loaded = file.size();

    Elf64_Ehdr header{};
    if (sections) {
      const std::string section_names{"\0.dynsym\0.PyRuntime\0.shstrtab\0", 30};
      const std::uint64_t strings = append(file, section_names.data(), section_names.size());
      std::vector<Elf64_Shdr> rows(4);
      rows[1].sh_name = 1, rows[1].sh_type = SHT_DYNSYM, rows[1].sh_offset = dynsym, rows[1].sh_size = table.size() * sizeof(Elf64_Sym);
      rows[2].sh_name = 9, rows[2].sh_type = SHT_NOBITS, rows[2].sh_addr = runtime_address;
      rows[3].sh_name = 20, rows[3].sh_type = SHT_STRTAB, rows[3].sh_offset = strings, rows[3].sh_size = section_names.size();
      if (runtime_address == 0) rows[2].sh_name = 0;
      section_table = append(file, rows.data(), rows.size() * sizeof(Elf64_Shdr));
      header.e_shoff = section_table;
      header.e_shnum = 4;
      header.e_shstrndx = 3;
    }
    std::memcpy(header.e_ident, ELFMAG, SELFMAG);
    header.e_ident[EI_CLASS] = ELFCLASS64;
    header.e_ident[EI_DATA] = ELFDATA2LSB;
    header.e_ident[EI_VERSION] = EV_CURRENT;
    header.e_type = ET_DYN;
    header.e_machine = EM_X86_64;
    header.e_phoff = headers;
    header.e_phnum = 3;
    header.e_phentsize = sizeof(Elf64_Phdr);
    header.e_shentsize = sizeof(Elf64_Shdr);
    std::memcpy(file.data(), &header, sizeof header);
    const Elf64_Phdr segments[] = {{PT_LOAD, PF_R | PF_X, 0, base, base, loaded, loaded + 64, 4096},
                                   {PT_DYNAMIC, PF_R, dynamic, base + dynamic, base + dynamic, entries.size() * sizeof(Elf64_Dyn),
                                    entries.size() * sizeof(Elf64_Dyn), 8},
                                   {PT_NOTE, PF_R, note, base + note, base + note, sizeof build_id,
                                    sizeof build_id, 4}};
    std::memcpy(file.data() + headers, segments, sizeof segments);
    return file;
  }

  /// Writes `value` over what stands at `offset`.
  template <class T>
  static void poke(std::vector<std::byte>& file, std::uint64_t offset, T value) {
    std::memcpy(file.data() + offset, &value, sizeof value);
  }

 private:
  static std::uint64_t append(std::vector<std::byte>& file, const void* bytes, std::size_t size) {
    file.resize((file.size() + 7) / 8 * 8);
    const std::uint64_t at = file.size();
    const auto* const first = static_cast<const std::byte*>(bytes);
    file.insert(file.end(), first, first + size);
    return at;
  }
};

}  // namespace pyagent_test
