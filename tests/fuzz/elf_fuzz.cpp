// Fuzz target: an ELF file with every reader of elf/ run over it, and the version texts in it.
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "pyagent/elf/image.hpp"
#include "pyagent/elf/memory_image.hpp"
#include "pyagent/interpreter/version_text.hpp"
#include "pyagent/memory/buffer_memory.hpp"

using namespace pyagent;

namespace {

std::size_t read_everything(const elf::Image& image) {
  std::size_t seen = 0;
  for (const elf::SymbolTable* table : {&image.dynamic_symbols(), &image.static_symbols()}) {
    table->for_each([&](const elf::Symbol& symbol) { seen += symbol.name.size() + symbol.value; });
    seen += table->find("_PyRuntime").has_value() + table->find("a").has_value();
  }
  for (const elf::Section& section : image.sections()) seen += image.read_section(section).value_or({}).size() + section.name.size();
  for (const elf::Segment& segment : image.segments()) seen += image.find_offset(segment.address).value_or(0);
  seen += image.find_section(".PyRuntime") != nullptr;
  for (const std::byte byte : image.build_id()) seen += std::to_integer<std::size_t>(byte);
  return seen;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto bytes = std::as_bytes(std::span{data, size});
  static volatile std::size_t sink;
  if (const auto image = elf::Image::parse(bytes)) sink = read_everything(*image);
  if (const auto copy = elf::read_memory_image(memory::BufferMemory{Address{0x1000}, bytes}, Address{0x1000}))
    if (const auto image = elf::Image::parse(*copy)) sink = read_everything(*image);
  sink = interpreter::find_version_texts(bytes, " (").size();
  return 0;
}
