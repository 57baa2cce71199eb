// A recording in a directory of its own, written as the agent writes it.
#pragma once

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstddef>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "pyagent/recording/encoder.hpp"
#include "pyagent/recording/spool.hpp"
#include "pyagent/recording/stream_writer.hpp"

namespace pyagent::test {

/// A directory that is gone with everything in it when the test ends.
class TemporaryDirectory {
 public:
  TemporaryDirectory() {
    path_ = (std::filesystem::temp_directory_path() / "pyagent-test-XXXXXX").string();
    if (::mkdtemp(path_.data()) == nullptr) throw std::runtime_error{"mkdtemp"};
  }
  ~TemporaryDirectory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;
  std::string operator/(std::string_view name) const { return path_ + '/' + std::string{name}; }

 private:
  std::string path_;
};

inline std::vector<std::byte> read_file(const std::string& path) {
  std::ifstream file{path, std::ios::binary};
  std::vector<std::byte> bytes;
  for (std::istreambuf_iterator<char> at{file}, end; at != end; ++at) bytes.push_back(static_cast<std::byte>(*at));
  return bytes;
}

inline std::span<const char> chars(std::string_view text) { return {text.data(), text.size()}; }

/// One file, one spool. A stream's writer with room for stacks of 4,096 frames of either kind comes from `stream`.
class RecordingFile {
 public:
  RecordingFile() : path_(directory_ / "recording"), spool_(std::make_unique<recording::Spool>()) {
    if (spool_->create(path_.c_str()) != Errc::ok) throw std::runtime_error{"Spool::create"};
  }

  recording::Spool& spool() { return *spool_; }
  const std::string& path() const { return path_; }

  recording::StreamWriter stream(std::uint32_t number) {
    previous_.push_back(std::make_unique<std::vector<recording::CodedFrame>>(4096));
    previous_native_.push_back(std::make_unique<std::vector<recording::NativeFrameRecord>>(4096));
    return {*spool_, number, *previous_.back(), *previous_native_.back()};
  }

  /// Writes a process record of process `pid`.
  static Errc write_process(recording::StreamWriter& writer, std::uint64_t pid, std::string_view command) {
    std::vector<std::byte> payload(4096);
    recording::Encoder out{payload};
    for (const std::uint64_t number : {pid, pid - 1, std::uint64_t{10'000'000}, std::uint64_t{5'000}, std::uint64_t{1'700'000'000'000'000'000}})
      out.put_uleb(number);
    for (const std::string_view text : {std::string_view{"cpu"}, std::string_view{"3.13.0"}, std::string_view{"/usr/bin/python3"}, command})
      out.put_text(chars(text));
    return writer.write_payload(recording::RecordKind::process, std::span{payload}.first(out.size()));
  }

  static Errc write_code(recording::StreamWriter& writer, std::uint32_t id, std::string_view name, std::size_t line_bytes = 4) {
    return writer.write_code({.id = id, .first_line = static_cast<std::int32_t>(id) * 10, .line_format = 3}, chars(name),
                             chars("Class." + std::string{name}), chars("/home/user/file.py"), line_bytes, [](std::span<std::byte> lines) {
                               for (std::size_t i = 0; i < lines.size(); ++i) lines[i] = static_cast<std::byte>(i);
                               return true;
                             });
  }

  /// The file as it lies on the disk.
  std::vector<std::byte> bytes() const { return read_file(path_); }
  /// The file after it was cut to what was handed out.
  std::vector<std::byte> trimmed() {
    if (spool_->trim() != Errc::ok) throw std::runtime_error{"Spool::trim"};
    return bytes();
  }

 private:
  TemporaryDirectory directory_;
  std::string path_;
  std::unique_ptr<recording::Spool> spool_;
  std::vector<std::unique_ptr<std::vector<recording::CodedFrame>>> previous_;
  std::vector<std::unique_ptr<std::vector<recording::NativeFrameRecord>>> previous_native_;
};

}  // namespace pyagent::test
