// Fuzz target: a recording, and everything that is in it.
//
// A recording is mostly empty blocks, which a fuzzer would have to fill byte by byte; so the input may also be the records
// of blocks alone (first byte 0), each block's as a length of two bytes and its records.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

#include "pyagent/recording/reader.hpp"

using namespace pyagent;

namespace {

std::size_t read_everything(const recording::Reader& reader) {
  std::size_t seen = reader.process().command.size() + reader.counters().samples;
  for (const recording::ThreadRecord& thread : reader.threads()) seen += thread.name.size() + thread.thread_id;
  reader.for_each_code([&](const recording::CodeRecord& code) { seen += code.qualified_name.size() + code.lines.size(); });
  reader.for_each_module([&](const recording::ModuleRecord& module) {
    seen += module.path.size() + module.build_id.size() + module.range.size();
  });
  reader.for_each_sample([&](const recording::SampleRecord& sample) {
    seen += static_cast<std::size_t>(sample.time.count()) + sample.elided_at;
    for (const recording::FrameRecord& frame : sample.frames) seen += frame.code;
    for (const recording::NativeFrameRecord& frame : sample.native) seen += frame.lookup_address() + frame.found_by();
  });
  return seen;
}

std::vector<std::byte> build_recording(std::span<const std::byte> blocks) {
  using namespace recording;
  std::vector<std::byte> file(block_size);
  FileHeader header{};
  std::memcpy(header.magic, file_magic, sizeof header.magic);
  header.version = file_version;
  header.block_size = block_size;
  header.blocks = 1;
  ByteCursor cursor{blocks};
  while (!cursor.at_end()) {
    const auto want = cursor.take<std::uint16_t>();
    const auto records = cursor.take_bytes(std::min<std::size_t>(want, cursor.remaining()));
    const auto span = static_cast<std::uint32_t>((records.size() + sizeof(BlockHeader)) / block_size + 1);
    const BlockHeader block{.magic = block_magic, .span = span, .stream = 0, .unused = 0, .committed = records.size()};
    const std::size_t start = file.size();
    file.resize(start + std::size_t{span} * block_size);
    std::memcpy(file.data() + start, &block, sizeof block);
    std::copy(records.begin(), records.end(), file.begin() + static_cast<std::ptrdiff_t>(start + sizeof block));
    header.blocks += span;
  }
  std::memcpy(file.data(), &header, sizeof header);
  return file;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto bytes = std::as_bytes(std::span{data, size});
  [[maybe_unused]] static volatile std::size_t sink;
  const bool is_records = !bytes.empty() && bytes[0] == std::byte{0};
  const auto file = is_records ? build_recording(bytes.subspan(1)) : std::vector<std::byte>(bytes.begin(), bytes.end());
  if (const auto reader = recording::Reader::open(file)) sink = read_everything(*reader);
  return 0;
}
