// Separate debug files: found where they belong, refused when they are another build's.
#include "pyagent/elf/debug_file.hpp"

#include <string>

#include "support/catch.hpp"
#include "support/section_file.hpp"
#include "support/temporary_directory.hpp"

using namespace pyagent;
using pyagent_test::SectionFile;
using pyagent_test::TemporaryDirectory;

namespace {

const std::string id = "\xab\xcd\xef\x01\x23";

std::string debug_file(const std::string& build_id) {
  SectionFile file;
  file.text(0x1000, 16);
  if (!build_id.empty()) file.build_id(build_id);
  return file.symbol("function", 0x1000, 16).build();
}

std::span<const std::byte> bytes(const std::string& text) { return std::as_bytes(std::span{text}); }

elf::DebugPlaces places_in(const TemporaryDirectory& directory) {
  elf::DebugPlaces places;
  places.system_directories = {directory.path() + "/usr/lib/debug"};
  places.debuginfod_cache = directory.path() + "/cache";
  return places;
}

std::string found_at(const elf::DebugFile& found, const TemporaryDirectory& directory) {
  return found.file ? found.file->path().substr(directory.path().size() + 1) : "";
}

}  // namespace

TEST_CASE("checksums are those of zlib", "[elf]") {
  // From `printf ... | gzip -c`, the four bytes before the last four.
  CHECK(elf::crc32({}) == 0);
  CHECK(elf::crc32(bytes("a")) == 0xe8b7be43);
  CHECK(elf::crc32(bytes("123456789")) == 0xcbf43926);
  CHECK(elf::crc32(bytes("The quick brown fox jumps over the lazy dog")) == 0x414fa339);
}

TEST_CASE("the debug link is read, unless its name leads elsewhere", "[elf]") {
  const auto link_of = [](const std::string& name) {
    const auto file = pyagent_test::bytes_of(SectionFile{}.debug_link(name, 0x12345678).build());
    const auto image = elf::Image::parse(file);
    REQUIRE(image);
    return elf::read_debug_link(*image);
  };
  REQUIRE(link_of("libx.so.debug"));
  CHECK(link_of("libx.so.debug")->name == "libx.so.debug");
  CHECK(link_of("libx.so.debug")->crc == 0x12345678);
  CHECK(link_of("abc")->crc == 0x12345678);
  CHECK(link_of("abcd")->crc == 0x12345678);
  CHECK_FALSE(link_of(""));
  CHECK_FALSE(link_of(".."));
  CHECK_FALSE(link_of("../../etc/x"));
  CHECK_FALSE(link_of(std::string(300, 'x')));
}

TEST_CASE("a build-id is found by its section too", "[elf]") {
  auto file = pyagent_test::bytes_of(SectionFile{}.build_id(id).build());
  // As eu-strip -f leaves it: the program header still tells the offset in the other file.
  const std::uint64_t nowhere = 3;
  std::memcpy(file.data() + sizeof(Elf64_Ehdr) + offsetof(Elf64_Phdr, p_offset), &nowhere, sizeof nowhere);
  const auto image = elf::Image::parse(file);
  REQUIRE(image);
  CHECK(image->build_id().empty());
  CHECK(elf::to_hex(elf::find_build_id(*image)) == "abcdef0123");
  CHECK(elf::is_same_build(elf::find_build_id(*image), bytes(id)));
  CHECK_FALSE(elf::is_same_build(elf::find_build_id(*image), bytes(id + "x")));
  CHECK_FALSE(elf::is_same_build({}, {}));
}

TEST_CASE("a debug file is found by its build-id in each of its places", "[elf]") {
  const TemporaryDirectory directory;
  auto places = places_in(directory);
  places.directories = {directory.path() + "/symbols"};
  const std::string where =
      GENERATE(as<std::string>{}, "symbols/.build-id/ab/cdef0123.debug", "symbols/ab/cdef0123.debug",
               "symbols/ab/cdef0123", "symbols/libx.so", "symbols/libx.so.debug", "symbols/opt/libx.so.debug",
               "usr/lib/debug/.build-id/ab/cdef0123.debug", "cache/abcdef0123/debuginfo");
  directory.write(where, debug_file(id));
  const auto found = elf::find_debug_file(places, "/opt/libx.so", bytes(id), {});
  CHECK(found_at(found, directory) == where);
}

TEST_CASE("a debug file of another build is never used, and the reason is told", "[elf]") {
  const TemporaryDirectory directory;
  auto places = places_in(directory);
  places.directories = {directory.path()};
  directory.write("libx.so.debug", debug_file("\x01\x02\x03\x04\x05"));
  directory.write("libx.so", debug_file(""));
  directory.write("ab/cdef0123", "no ELF file");
  directory.write("ab/cdef0123.debug", SectionFile{}.text(0x1000, 16).build_id(id).build());
  const auto found = elf::find_debug_file(places, "/opt/libx.so", bytes(id), {});
  CHECK_FALSE(found.file);
  std::string reasons;
  for (const auto& rejected : found.rejected)
    reasons += rejected.path.substr(directory.path().size() + 1) + ": " + rejected.reason + "\n";
  CHECK(reasons ==
        "ab/cdef0123.debug: it has neither symbols nor debug information\n"
        "ab/cdef0123: it is no ELF file\n"
        "libx.so.debug: its build-id differs\n"
        "libx.so: it has no build-id\n");
}

TEST_CASE("a debug link is followed beside the file, in .debug and under the system's directory", "[elf]") {
  const TemporaryDirectory directory;
  const auto places = places_in(directory);
  const std::string content = debug_file("");
  const elf::DebugLink link{"libx.debug", elf::crc32(bytes(content))};
  const std::string module = directory.path() + "/opt/libx.so";
  const std::string pattern =
      GENERATE(as<std::string>{}, "opt/libx.debug", "opt/.debug/libx.debug", "usr/lib/debug*/opt/libx.debug");
  const std::size_t star = pattern.find('*');
  const std::string where =
      star == pattern.npos ? pattern : pattern.substr(0, star) + directory.path() + pattern.substr(star + 1);
  directory.write(where, content);
  CHECK(found_at(elf::find_debug_file(places, module, {}, link), directory) == where);

  const elf::DebugLink wrong{"libx.debug", link.crc + 1};
  const auto refused = elf::find_debug_file(places, module, {}, wrong);
  CHECK_FALSE(refused.file);
  REQUIRE(refused.rejected.size() == 1);
  CHECK(refused.rejected[0].reason == "its checksum is not the one in .gnu_debuglink");
}

TEST_CASE("a build-id decides where there is one, not the debug link's checksum", "[elf]") {
  const TemporaryDirectory directory;
  const std::string content = debug_file("other");
  directory.write("opt/libx.debug", content);
  const elf::DebugLink link{"libx.debug", elf::crc32(bytes(content))};
  CHECK_FALSE(elf::find_debug_file(places_in(directory), directory.path() + "/opt/libx.so", bytes(id), link).file);
}

TEST_CASE("without build-id and debug link no file is believed to belong to a module", "[elf]") {
  const TemporaryDirectory directory;
  auto places = places_in(directory);
  places.directories = {directory.path()};
  directory.write("libx.so.debug", debug_file(""));
  CHECK_FALSE(elf::find_debug_file(places, "/opt/libx.so", {}, {}).file);
}

TEST_CASE("places under another root are tried before our own", "[elf]") {
  const TemporaryDirectory directory;
  auto places = places_in(directory);
  places.roots = {directory.path() + "/container"};
  places.system_directories = {"/usr/lib/debug"};
  directory.write("container/usr/lib/debug/.build-id/ab/cdef0123.debug", debug_file(id));
  CHECK(found_at(elf::find_debug_file(places, "/opt/libx.so", bytes(id), {}), directory) ==
        "container/usr/lib/debug/.build-id/ab/cdef0123.debug");
}
