// Split DWARF: the functions of a skeleton unit, from the .dwo file that it names. May allocate.
#pragma once

#include <cstdint>      // uint64_t
#include <memory>       // unique_ptr
#include <string>       // string
#include <string_view>  // string_view
#include <utility>      // move

#include "pyagent/dwarf/function_names.hpp"
#include "pyagent/dwarf/info_file.hpp"
#include "pyagent/elf/image.hpp"
#include "pyagent/elf/mapped_file.hpp"

namespace pyagent::inline v0::dwarf {

/// A .dwo file. The file of the skeleton must outlive it.
class SplitFile {
 public:
  /// Opens the file that `skeleton` names, beside where it was compiled; null when it is not there, or is another's.
  static std::unique_ptr<SplitFile> open(const Unit& skeleton, const DebugSections& skeleton_sections) {
    std::string path{skeleton.dwo_name};
    if (!path.starts_with('/')) path = std::string{skeleton.directory} + '/' + path;
    auto file = elf::MappedFile::open(path);
    if (!file) return nullptr;
    const auto image = elf::Image::parse(file->bytes());
    if (!image) return nullptr;
    auto sections = read_debug_sections(*image, ".dwo");
    if (!sections) return nullptr;
    auto split = std::unique_ptr<SplitFile>{new SplitFile{std::move(*file), std::move(*sections)}};
    for (const Unit& unit : split->info_.units())
      if (unit.dwo_id == skeleton.dwo_id) split->unit_ = &unit;
    if (split->unit_ == nullptr) return nullptr;
    split->info_.complete_split_units(skeleton, skeleton_sections);
    return split;
  }

  FunctionTree read_functions() { return info_.read_functions(*unit_); }
  const FunctionName& find_name(std::uint64_t die) { return names_.find(info_, die); }

 private:
  SplitFile(elf::MappedFile file, LoadedSections sections) : file_(std::move(file)), info_(std::move(sections)) {}

  elf::MappedFile file_;
  InfoFile info_;
  const Unit* unit_ = nullptr;
  FunctionNames names_;
};

}  // namespace pyagent::inline v0::dwarf
