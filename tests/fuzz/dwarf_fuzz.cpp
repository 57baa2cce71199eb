// Fuzz target: an ELF file whose debug information is asked about addresses all over it.
#include <cstddef>
#include <cstdint>
#include <span>

#include "pyagent/dwarf/debug_info.hpp"
#include "pyagent/elf/image.hpp"

using namespace pyagent;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static volatile std::size_t sink;
  const auto image = elf::Image::parse(std::as_bytes(std::span{data, size}));
  if (!image) return 0;
  auto info = dwarf::DebugInfo::open(*image);
  if (!info) return 0;
  std::size_t seen = 0;
  const auto ask = [&](std::uint64_t begin, std::uint64_t end, std::uint64_t step) {
    for (std::uint64_t address = begin; address < end; address += step)
      for (const auto& frame : info->find(address)) seen += frame.name.size() + frame.file.size() + static_cast<std::size_t>(frame.line);
  };
  constexpr std::uint64_t queries = 256;
  for (const elf::Segment& segment : image->segments()) {
    const std::uint64_t length = segment.memory_size < 0x100000 ? segment.memory_size : 0x100000;
    if (segment.executable) ask(segment.address, segment.address + length, length / queries + 1);
  }
  ask(0, 0x2000, 0x2000 / queries);
  sink = seen;
  return 0;
}
