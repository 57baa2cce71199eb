// Decompresses through the system's libraries, opened at run time if they are there. May allocate.
#pragma once

#include <dlfcn.h>  // dlopen, dlsym

#include <cstddef>      // byte, size_t
#include <cstdint>      // uint64_t
#include <memory>       // unique_ptr
#include <new>          // nothrow
#include <span>         // span
#include <type_traits>  // is_pointer_v
#include <utility>      // exchange

#include "pyagent/base/result.hpp"

namespace pyagent::inline v0::elf {

/// Nothing that claims to be larger is decompressed.
inline constexpr std::uint64_t largest_decompressed = std::uint64_t{1} << 30;
/// Nor what claims to have shrunk more than this: deflate reaches 1032 to 1, and debug information about 5 to 1.
inline constexpr std::uint64_t largest_compression = 1100;

/// What may decompress: names for dlopen.
struct DecompressionLibraries {
  const char* zlib = "libz.so.1";
  const char* zstd = "libzstd.so.1";
};

enum class Compression : std::uint8_t { zlib, zstd };

/// Memory of a known size that nobody has cleared before it is filled.
class OwnedBytes {
 public:
  OwnedBytes() = default;
  OwnedBytes(OwnedBytes&& other) noexcept : bytes_(std::move(other.bytes_)), size_(std::exchange(other.size_, 0)) {}
  OwnedBytes& operator=(OwnedBytes&& other) noexcept {
    bytes_ = std::move(other.bytes_);
    size_ = std::exchange(other.size_, 0);
    return *this;
  }

  /// Errors: too_large when there is not that much memory.
  static Result<OwnedBytes> allocate(std::size_t size) noexcept {
    OwnedBytes owned;
    owned.bytes_.reset(new (std::nothrow) std::byte[size]);
    if (owned.bytes_ == nullptr) return Error{Errc::too_large};
    owned.size_ = size;
    return owned;
  }

  std::span<const std::byte> bytes() const noexcept { return {bytes_.get(), size_}; }
  std::byte* data() noexcept { return bytes_.get(); }

 private:
  std::unique_ptr<std::byte[]> bytes_;
  std::size_t size_ = 0;
};

namespace detail {

/// A shared library, open as long as this lives.
class OpenLibrary {
 public:
  explicit OpenLibrary(const char* name) noexcept : handle_(::dlopen(name, RTLD_NOW | RTLD_LOCAL)) {}
  OpenLibrary(const OpenLibrary&) = delete;
  OpenLibrary& operator=(const OpenLibrary&) = delete;
  ~OpenLibrary() {
    if (handle_ != nullptr) ::dlclose(handle_);
  }

  /// Null when the library or the function is not there.
  template <class F>
  requires std::is_pointer_v<F> F find(const char* function)
  const noexcept { return handle_ == nullptr ? nullptr : reinterpret_cast<F>(::dlsym(handle_, function)); }

 private:
  void* handle_;
};

/// Source: zlib.h; 0 is Z_OK.
inline Result<void> decompress_zlib(const char* library, std::span<const std::byte> input, std::byte* out,
                                    std::size_t size) noexcept {
  using Uncompress = int (*)(unsigned char*, unsigned long*, const unsigned char*, unsigned long);
  const OpenLibrary zlib{library};
  const auto uncompress = zlib.find<Uncompress>("uncompress");
  if (uncompress == nullptr) return Error{Errc::unsupported_build};
  unsigned long written = size;
  const int status = uncompress(reinterpret_cast<unsigned char*>(out), &written,
                                reinterpret_cast<const unsigned char*>(input.data()), input.size());
  if (status != 0 || written != size) return Error{Errc::damaged};
  return {};
}

/// Source: zstd.h
inline Result<void> decompress_zstd(const char* library, std::span<const std::byte> input, std::byte* out,
                                    std::size_t size) noexcept {
  using Decompress = std::size_t (*)(void*, std::size_t, const void*, std::size_t);
  const OpenLibrary zstd{library};
  const auto decompress = zstd.find<Decompress>("ZSTD_decompress");
  if (decompress == nullptr) return Error{Errc::unsupported_build};
  // An error is a number close to the largest, so that comparing sizes finds it as well.
  if (decompress(out, size, input.data(), input.size()) != size) return Error{Errc::damaged};
  return {};
}

}  // namespace detail

/// The `size` bytes that `input` was before it was compressed.
///
/// Errors: too_large beyond the limits above; unsupported_build when the library is not there; damaged when `input`
///         can't be decompressed, or not to that size.
inline Result<OwnedBytes> decompress(Compression kind, std::span<const std::byte> input, std::uint64_t size,
                                     const DecompressionLibraries& libraries = {}) noexcept {
  if (size > largest_decompressed || size / largest_compression > input.size()) return Error{Errc::too_large};
  auto owned = OwnedBytes::allocate(static_cast<std::size_t>(size));
  if (!owned) return owned;
  const auto done = kind == Compression::zlib
                        ? detail::decompress_zlib(libraries.zlib, input, owned->data(), owned->bytes().size())
                        : detail::decompress_zstd(libraries.zstd, input, owned->data(), owned->bytes().size());
  if (!done) return done.error();
  return owned;
}

}  // namespace pyagent::inline v0::elf
