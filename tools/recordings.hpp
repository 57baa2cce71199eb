// Recordings on the disk, opened to become one profile.
#pragma once

#include <memory>  // unique_ptr
#include <string>  // string
#include <vector>  // vector

#include "pyagent/elf/mapped_file.hpp"
#include "pyagent/profile/build_profile.hpp"
#include "pyagent/recording/reader.hpp"

namespace pyagent::tools {

/// One or more recordings.
class Recordings {
 public:
  /// Opens another one. Empty, or why it can't be read at all. See `damages` for what is damaged further on.
  std::string open(const std::string& path);

  bool empty() const noexcept { return readers_.empty(); }
  /// What each of those that are damaged lacks, a sentence each.
  const std::vector<std::string>& damages() const noexcept { return damages_; }
  /// Whether they are of more than one process.
  bool has_many_processes() const;
  /// What they counted, all together.
  recording::Counters counters() const;
  /// `symbol_directories` are searched for separate debug files of native code. `remarks` gets what could not be had of
  /// it, a sentence each.
  profile::Profile build_profile(const profile::ProfileOptions& options,
                                 const std::vector<std::string>& symbol_directories,
                                 std::vector<std::string>& remarks) const;

 private:
  std::vector<elf::MappedFile> files_;
  std::vector<recording::Reader> readers_;
  std::vector<std::string> damages_;
};

}  // namespace pyagent::tools
