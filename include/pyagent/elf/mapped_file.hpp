// A file mapped for reading.
#pragma once

#include <cstddef>      // byte, size_t
#include <cstdint>      // uint64_t
#include <fcntl.h>      // open
#include <span>         // span
#include <string>       // string
#include <sys/mman.h>   // mmap, munmap
#include <sys/stat.h>   // fstat
#include <utility>      // swap, exchange

#include "pyagent/base/result.hpp"
#include "pyagent/process/file_descriptor.hpp"

namespace pyagent::inline v0::elf {

/// No file larger than this is mapped.
inline constexpr std::uint64_t largest_file = std::uint64_t{2} << 30;

/// The bytes of a regular file, mapped as long as this lives.
class MappedFile {
 public:
  MappedFile() = default;
  MappedFile(MappedFile&& other) noexcept : bytes_(std::exchange(other.bytes_, {})) {}
  MappedFile& operator=(MappedFile&& other) noexcept {
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  ~MappedFile() {
    if (!bytes_.empty()) ::munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
  }

  /// Maps an open file.
  ///
  /// Errors: io_error, wrong_type for what is not a regular file, truncated for an empty one, too_large.
  static Result<MappedFile> map(const process::FileDescriptor& file) noexcept {
    struct stat status{};
    if (::fstat(file.number(), &status) != 0) return Error{Errc::io_error};
    if (!S_ISREG(status.st_mode)) return Error{Errc::wrong_type};
    const auto size = static_cast<std::uint64_t>(status.st_size);
    if (size == 0) return Error{Errc::truncated};
    if (size > largest_file) return Error{Errc::too_large};
    void* const start = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, file.number(), 0);
    if (start == MAP_FAILED) return Error{Errc::io_error};
    return MappedFile{{static_cast<const std::byte*>(start), static_cast<std::size_t>(size)}};
  }

  /// Opens and maps `path`; links are followed.
  static Result<MappedFile> open(const std::string& path) {
    const process::FileDescriptor file{::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
    if (!file) return Error{Errc::io_error};
    return map(file);
  }

  std::span<const std::byte> bytes() const noexcept { return bytes_; }

 private:
  explicit MappedFile(std::span<const std::byte> bytes) noexcept : bytes_(bytes) {}

  std::span<const std::byte> bytes_;
};

}  // namespace pyagent::inline v0::elf
