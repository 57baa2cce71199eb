// An ELF file put together again from a process's memory, for when the file itself is gone.
#pragma once

#include <algorithm>  // max
#include <cstddef>  // byte, size_t
#include <cstdint>  // uint64_t
#include <cstring>  // memcpy
#include <elf.h>    // Elf64_Ehdr
#include <span>     // span, as_writable_bytes
#include <vector>   // vector

#include "pyagent/base/address.hpp"
#include "pyagent/elf/file_bytes.hpp"
#include "pyagent/memory/memory.hpp"

namespace pyagent::inline v0::elf {

/// No image larger than this is copied out of memory.
inline constexpr std::uint64_t largest_memory_image = std::uint64_t{256} << 20;
/// Between two segments of a file lies no more than their alignment, at most a huge page.
inline constexpr std::uint64_t largest_gap = std::uint64_t{2} << 20;

namespace detail {

/// The loader adds the load bias to some addresses of the dynamic section in place (glibc 2.36, elf/get-dynamic-info.h);
/// they are turned back into what the file held.
inline void undo_dynamic_relocation(std::span<std::byte> dynamic, std::uint64_t bias) noexcept {
  for (std::size_t at = 0; at + sizeof(Elf64_Dyn) <= dynamic.size(); at += sizeof(Elf64_Dyn)) {
    Elf64_Dyn entry;
    std::memcpy(&entry, dynamic.data() + at, sizeof entry);
    if (entry.d_tag != DT_SYMTAB && entry.d_tag != DT_STRTAB && entry.d_tag != DT_GNU_HASH) continue;
    if (entry.d_un.d_ptr < bias) continue;
    entry.d_un.d_ptr -= bias;
    std::memcpy(dynamic.data() + at, &entry, sizeof entry);
  }
}

}  // namespace detail

/// Reads the load segments of the image whose ELF header is mapped at `base` and lays them out as in the file, without
/// section headers: they are not mapped. What can't be read stays zero.
///
/// Errors: unreadable, wrong_type, damaged, too_large.
template <memory::Memory M>
Result<std::vector<std::byte>> read_memory_image(const M& memory, Address base) {
  auto header = memory::read_value<Elf64_Ehdr>(memory, base);
  if (!header) return header.error();
  if (std::memcmp(header->e_ident, ELFMAG, SELFMAG) != 0) return Error{Errc::wrong_type, base};
  if (header->e_phnum == 0 || header->e_phnum > 512 || header->e_phentsize != sizeof(Elf64_Phdr)) return Error{Errc::damaged, base};
  std::vector<Elf64_Phdr> segments(header->e_phnum);
  const auto table = std::as_writable_bytes(std::span{segments});
  if (const Errc failed = memory.read(base + header->e_phoff, table); failed != Errc::ok) return Error{failed, base + header->e_phoff};

  std::uint64_t size = sizeof(Elf64_Ehdr), densest = size, bias = 0;
  for (const Elf64_Phdr& segment : segments) {
    if (segment.p_type != PT_LOAD) continue;
    if (segment.p_offset == 0) bias = base.value - segment.p_vaddr;
    if (segment.p_filesz > largest_memory_image || segment.p_offset > largest_memory_image) return Error{Errc::too_large, base};
    size = std::max(size, segment.p_offset + segment.p_filesz);
    densest += segment.p_filesz + largest_gap;
  }
  if (size > largest_memory_image) return Error{Errc::too_large, base};
  if (size > densest) return Error{Errc::damaged, base};

  std::vector<std::byte> image(static_cast<std::size_t>(size));
  const auto place = [&](const Elf64_Phdr& segment) {
    return std::span{image}.subspan(static_cast<std::size_t>(segment.p_offset), static_cast<std::size_t>(segment.p_filesz));
  };
  for (const Elf64_Phdr& segment : segments)
    if (segment.p_type == PT_LOAD && segment.p_filesz != 0) (void)memory.read(Address{segment.p_vaddr + bias}, place(segment));
  for (const Elf64_Phdr& segment : segments)
    if (segment.p_type == PT_DYNAMIC && take_piece(image, segment.p_offset, segment.p_filesz))
      detail::undo_dynamic_relocation(place(segment), bias);
  header->e_shoff = 0;
  header->e_shnum = 0;
  header->e_shstrndx = 0;
  std::memcpy(image.data(), &*header, sizeof *header);
  return image;
}

}  // namespace pyagent::inline v0::elf
