// An ELF file together with where a process has loaded it.
#pragma once

#include <cstddef>  // byte
#include <cstdint>  // uint64_t
#include <optional> // optional
#include <string>   // string
#include <utility>  // move
#include <vector>   // vector

#include "pyagent/elf/image.hpp"
#include "pyagent/elf/mapped_file.hpp"
#include "pyagent/elf/memory_image.hpp"
#include "pyagent/process/maps.hpp"
#include "pyagent/process/open_mapped.hpp"

namespace pyagent::inline v0::interpreter {

/// Bytes of the file (or what memory still holds of it), the image in them, and its load bias.
struct LoadedImage {
  elf::MappedFile file;
  std::vector<std::byte> copy;  ///< in place of the file when that is gone
  elf::Image image;
  std::uint64_t bias = 0;
  AddressRange range{};
  std::string path;

  Address at(std::uint64_t value) const noexcept { return Address{value + bias}; }
  /// Address of an exported object or function; null when there is none.
  Address find_address(std::string_view name) const noexcept {
    const auto symbol = image.dynamic_symbols().find(name);
    return symbol ? at(symbol->value) : Address{};
  }
};

namespace detail {

inline constexpr std::uint64_t page_mask = 4095;

/// The first executable segment and the executable mapping that shows it give the bias. Other mappings of the file
/// may be somebody reading it as data, us for instance.
inline std::optional<std::uint64_t> find_bias(const elf::Image& image, const process::Mapping& code) noexcept {
  for (const elf::Segment& segment : image.segments()) {
    if (!segment.executable) continue;
    const std::uint64_t first = segment.offset & ~page_mask;
    if (code.offset > first || first - code.offset >= code.range.size()) continue;
    return (code.range.begin + (first - code.offset)).value - (segment.address & ~page_mask);
  }
  return std::nullopt;
}

inline AddressRange find_range(const elf::Image& image, std::uint64_t bias) noexcept {
  AddressRange range{};
  for (const elf::Segment& segment : image.segments()) {
    const std::uint64_t end = (segment.address + segment.memory_size + page_mask) & ~page_mask;
    if (!range.begin) range.begin = Address{(segment.address & ~page_mask) + bias};
    range.end = std::max(range.end, Address{end + bias});
  }
  return range;
}

}  // namespace detail

/// Opens the file behind `code`, an executable mapping of process `pid`; a file that can't be had is put together from
/// memory.
///
/// Errors: those of opening and parsing; damaged when the mapping does not fit the file.
template <memory::Memory M>
Result<LoadedImage> load_image(const M& memory, pid_t pid, const process::Maps& maps, const process::Mapping& code) {
  LoadedImage loaded;
  Result<elf::Image> image = Error{Errc::not_found, code.range.begin};
  if (const auto file = process::open_mapped(pid, code)) {
    auto mapped = elf::MappedFile::map(*file);
    if (!mapped) return mapped.error();
    loaded.file = std::move(*mapped);
    image = elf::Image::parse(loaded.file.bytes());
  } else {
    for (const process::Mapping& mapping : maps) {
      if (!mapping.is_same_file(code) || mapping.offset != 0 || mapping.range.begin > code.range.begin) continue;
      auto copy = elf::read_memory_image(memory, mapping.range.begin);
      if (!copy) continue;
      loaded.copy = std::move(*copy);
      image = elf::Image::parse(loaded.copy);
    }
  }
  if (!image) return image.error();
  loaded.image = std::move(*image);
  const auto bias = detail::find_bias(loaded.image, code);
  if (!bias) return Error{Errc::damaged, code.range.begin};
  loaded.bias = loaded.image.is_relocatable() ? *bias : 0;
  loaded.range = detail::find_range(loaded.image, loaded.bias);
  loaded.path = code.path;
  return loaded;
}

}  // namespace pyagent::inline v0::interpreter
