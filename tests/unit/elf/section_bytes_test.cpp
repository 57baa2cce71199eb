// Sections, compressed and not. The compressed bytes are those of Python's zlib and of the zstd command, of "pyagent "
// 20 times.
#include "pyagent/elf/section_bytes.hpp"

#include <cstring>
#include <string>
#include <utility>

#include "support/catch.hpp"
#include "support/debug_builder.hpp"
#include "support/debug_samples.hpp"
#include "support/section_file.hpp"

using namespace pyagent;
using pyagent_test::bytes_of;
using pyagent_test::DebugBytes;
using pyagent_test::SectionFile;

namespace {

const std::string zlib_text = pyagent_test::DebugSample::bytes_from_hex("78da2ba84c4c4fcd2b512818a5c9a201c6737bc1");
const std::string zstd_text =
    pyagent_test::DebugSample::bytes_from_hex("28b52ffd00687d00004070796167656e7420010035d5cb05");
constexpr std::uint32_t zlib_type = 1, zstd_type = 2;

std::string whole() {
  std::string text;
  for (int i = 0; i < 40; ++i) text += "pyagent ";
  return text;
}

/// An Elf64_Chdr and what follows.
std::string compressed(std::uint32_t type, std::uint64_t size, const std::string& text) {
  return DebugBytes{}.u32(type).u32(0).u64(size).u64(1).bytes + text;
}

struct Answer {
  Errc error = Errc::ok;
  std::string text;
  bool is_copy = false;
};

/// What reading `name` gives when there is a section `present` that holds `bytes`.
Answer read(const std::string& present, std::uint64_t flags, const std::string& bytes, const std::string& name,
            const elf::DecompressionLibraries& libraries = {}) {
  const auto file = bytes_of(SectionFile{}.section(present, SHT_PROGBITS, flags, 0, bytes).build());
  const auto image = elf::Image::parse(file);
  REQUIRE(image);
  auto section = elf::read_section_bytes(*image, name, libraries);
  if (!section) return {section.error().code, {}, false};
  const elf::SectionBytes moved = std::move(*section);
  return {Errc::ok, {reinterpret_cast<const char*>(moved.bytes().data()), moved.bytes().size()}, moved.is_copy()};
}

Answer read_compressed(std::uint32_t type, std::uint64_t size, const std::string& text,
                       const elf::DecompressionLibraries& libraries = {}) {
  return read(".debug_info", SHF_COMPRESSED, compressed(type, size, text), ".debug_info", libraries);
}

}  // namespace

TEST_CASE("a section that is not compressed is seen where it stands", "[elf]") {
  const auto answer = read(".debug_info", 0, "bytes", ".debug_info");
  CHECK(answer.text == "bytes");
  CHECK_FALSE(answer.is_copy);
  CHECK(read(".debug_info", 0, "", ".debug_info").error == Errc::ok);
  CHECK(read(".debug_info", 0, "bytes", ".debug_line").error == Errc::not_found);
}

TEST_CASE("a section is decompressed with zlib and with zstd", "[elf]") {
  const auto zlib = read_compressed(zlib_type, 320, zlib_text);
  CHECK(zlib.text == whole());
  CHECK(zlib.is_copy);
  CHECK(read_compressed(zstd_type, 320, zstd_text).text == whole());
}

TEST_CASE("a section of the old kind of compression is taken for the one that is not there", "[elf]") {
  const std::string size{"\0\0\0\0\0\0\1\x40", 8};
  CHECK(read(".zdebug_info", 0, "ZLIB" + size + zlib_text, ".debug_info").text == whole());
  CHECK(read(".zdebug_info", 0, "zlib" + size + zlib_text, ".debug_info").error == Errc::damaged);
  CHECK(read(".zdebug_info", 0, "ZLIB", ".debug_info").error == Errc::truncated);
  CHECK(read(".zdebug_info", 0, "ZLIB" + size + zlib_text, ".debug_line").error == Errc::not_found);
}

TEST_CASE("without the library that decompresses it is said that it is not there", "[elf]") {
  elf::DecompressionLibraries libraries;
  libraries.zlib = "libpyagent-has-no-such.so";
  CHECK(read_compressed(zlib_type, 320, zlib_text, libraries).error == Errc::unsupported_build);
  CHECK(read_compressed(zstd_type, 320, zstd_text, libraries).error == Errc::ok);
  libraries.zstd = "libc.so.6";  // a library, but another
  CHECK(read_compressed(zstd_type, 320, zstd_text, libraries).error == Errc::unsupported_build);
  CHECK(read_compressed(7, 320, zlib_text).error == Errc::unsupported_build);
}

TEST_CASE("a compressed section that does not become what it says is refused", "[elf]") {
  for (const auto& [type, text] : {std::pair{zlib_type, zlib_text}, std::pair{zstd_type, zstd_text}}) {
    CHECK(read_compressed(type, 319, text).error == Errc::damaged);
    CHECK(read_compressed(type, 321, text).error == Errc::damaged);
    CHECK(read_compressed(type, std::uint64_t{1} << 30, text).error == Errc::too_large);
    CHECK(read_compressed(type, ~std::uint64_t{0}, text).error == Errc::too_large);
    for (std::size_t length = 0; length < text.size(); ++length)
      CHECK(read_compressed(type, 320, text.substr(0, length)).error != Errc::ok);
  }
  CHECK(read(".debug_info", SHF_COMPRESSED, "short", ".debug_info").error == Errc::truncated);
}
