// Everything in a loaded image, its names and its memory that states the interpreter's version.
#pragma once

#include <algorithm>    // find_if, min
#include <array>        // array
#include <optional>     // optional
#include <string_view>  // string_view
#include <vector>       // vector

#include "pyagent/cpython/debug_offsets.hpp"
#include "pyagent/interpreter/loaded_image.hpp"
#include "pyagent/interpreter/version_vote.hpp"
#include "pyagent/memory/memory.hpp"

namespace pyagent::inline v0::interpreter {

namespace detail {

/// A function or object that the C API gained in 3.`minor`.
struct ApiMark {
  std::uint8_t minor;
  std::string_view name;
};

/// Checked with `nm -D` over 18 builds, 2.7 to 3.15, debug and free-threaded ones among them.
inline constexpr std::array api_marks{
    ApiMark{5, "PyCoro_Type"},           ApiMark{6, "PyAsyncGen_Type"},          ApiMark{7, "PyContext_New"},
    ApiMark{8, "PyConfig_InitPythonConfig"}, ApiMark{9, "PyThreadState_GetFrame"}, ApiMark{10, "PyModule_AddObjectRef"},
    ApiMark{11, "PyThreadState_EnterTracing"}, ApiMark{12, "PyErr_GetRaisedException"},
    ApiMark{13, "PyThreadState_GetUnchecked"}, ApiMark{14, "PyUnicodeWriter_Create"}, ApiMark{15, "PyTuple_FromArray"},
};

/// Version that the exported names show. None when there is a gap in them (a program that exports a choice of names),
/// and none from the newest mark on, which later versions have as well.
inline std::optional<cpython::Version> find_api_version(const elf::SymbolTable& symbols) noexcept {
  std::size_t count = 0;
  while (count < api_marks.size() && symbols.find(api_marks[count].name)) ++count;
  for (std::size_t i = count; i < api_marks.size(); ++i)
    if (symbols.find(api_marks[i].name)) return std::nullopt;
  if (count == api_marks.size()) return std::nullopt;
  if (count > 0) return cpython::Version{3, api_marks[count - 1].minor};
  if (symbols.find("PyString_Type")) return cpython::Version{2, 7};
  return std::nullopt;
}

/// Literals in what is mapped read-only. The version of the Unicode database that unicodedata.ucd_3_2_0 names is no
/// version of Python.
inline std::vector<cpython::Version> find_version_literals(const elf::Image& image) {
  using namespace std::string_view_literals;
  std::vector<cpython::Version> found;
  const auto search = [&](std::span<const std::byte> bytes) {
    for (const cpython::Version version : find_version_texts(bytes, "\0"sv))
      if (version != cpython::Version{3, 2, 0}) found.push_back(version);
  };
  if (const elf::Section* const literals = image.find_section(".rodata")) {
    search(image.read_section(*literals).value_or({}));
    return found;
  }
  for (const elf::Segment& segment : image.segments())
    if (!segment.writable) search(elf::take_piece(image.bytes(), segment.offset, segment.file_size).value_or({}));
  return found;
}

/// Version of the directory that a mapped file is in: /usr/lib/python3.9/lib-dynload/.
inline std::optional<cpython::Version> find_version_in_directories(std::string_view path) noexcept {
  for (std::size_t slash = path.find('/'); slash != path.npos; slash = path.find('/', slash + 1)) {
    const std::size_t end = path.find('/', slash + 1);
    if (end == path.npos) return std::nullopt;
    const auto component = path.substr(slash, end - slash);
    if (const auto version = find_version_in_name(component); version && component.starts_with("/python")) return version;
  }
  return std::nullopt;
}

/// What Py_GetVersion has written into its static buffer, once somebody called it (site does).
template <memory::Memory M>
std::vector<cpython::Version> read_version_banners(const M& memory, const LoadedImage& loaded) {
  constexpr std::uint64_t largest_bss = std::uint64_t{8} << 20;
  std::vector<cpython::Version> found;
  for (const elf::Segment& segment : loaded.image.segments()) {
    std::vector<std::byte> bss(std::min(segment.memory_size - segment.file_size, largest_bss));
    if (bss.empty() || memory.read(loaded.at(segment.address + segment.file_size), bss) != Errc::ok) continue;
    for (const cpython::Version version : find_version_texts(bss, " (")) found.push_back(version);
  }
  return found;
}

/// Adds the text that agrees with the vote so far, else the first one: many libraries carry version texts of their own.
inline void add_best(VersionVote& vote, std::string_view name, const std::vector<cpython::Version>& texts) {
  if (texts.empty()) return;
  const auto leader = vote.leader();
  const auto best = std::find_if(texts.begin(), texts.end(), [&](cpython::Version version) {
    return leader && version.is_minor(leader->major, leader->minor);
  });
  vote.add({name, best != texts.end() ? *best : texts.front()});
}

}  // namespace detail

/// Everything that states the version of the interpreter in `loaded`, whose _PyRuntime is at `runtime` (null before
/// 3.7). Costly sources are asked only as long as fewer than two have spoken, or none of them knows the micro version.
template <memory::Memory M>
VersionVote collect_versions(const M& memory, const process::Maps& maps, const LoadedImage& loaded, Address runtime) {
  VersionVote vote;
  std::array<std::byte, 24> table{};
  if (runtime && memory.read(runtime, table) == Errc::ok)
    if (const auto header = cpython::read_debug_offsets_header(table)) vote.add({"_Py_DebugOffsets", header->version});
  if (const Address constant = loaded.find_address("Py_Version"))
    if (const auto hex = memory::read_value<std::uint32_t>(memory, constant))
      vote.add({"Py_Version", cpython::Version::from_hex(*hex)});
  if (const auto version = detail::find_api_version(loaded.image.dynamic_symbols())) vote.add({"the exported API", *version, false});
  if (const auto version = find_version_in_name(loaded.path)) vote.add({"the file's name", *version, false});
  if (!vote.is_settled()) detail::add_best(vote, "PY_VERSION", detail::find_version_literals(loaded.image));
  if (!vote.is_settled()) detail::add_best(vote, "Py_GetVersion()", detail::read_version_banners(memory, loaded));
  for (const process::Mapping& mapping : maps) {
    if (vote.size() >= 2) break;
    if (const auto version = detail::find_version_in_directories(mapping.path)) {
      vote.add({"the directory of its modules", *version, false});
      break;
    }
  }
  return vote;
}

}  // namespace pyagent::inline v0::interpreter
