// An ELF file: mapped, and its headers read. May allocate
#pragma once

#include <cstddef>  // byte
#include <span>     // span
#include <string>   // string
#include <utility>  // move

#include "pyagent/elf/image.hpp"
#include "pyagent/elf/mapped_file.hpp"

namespace pyagent::inline v0::elf {

/// A mapped file and the image in it, which refers to the mapping.
class ImageFile {
 public:
  /// Errors: those of MappedFile::open and Image::parse.
  static Result<ImageFile> open(const std::string& path) {
    auto bytes = MappedFile::open(path);
    if (!bytes) return bytes.error();
    auto image = Image::parse(bytes->bytes());
    if (!image) return image.error();
    return ImageFile{path, std::move(*bytes), std::move(*image)};
  }

  /// An image in memory, which must outlive this.
  static Result<ImageFile> view(std::string path, std::span<const std::byte> bytes) {
    auto image = Image::parse(bytes);
    if (!image) return image.error();
    return ImageFile{std::move(path), MappedFile{}, std::move(*image)};
  }

  const std::string& path() const noexcept { return path_; }
  const Image& image() const noexcept { return image_; }

 private:
  ImageFile(std::string path, MappedFile bytes, Image image) noexcept
      : path_(std::move(path)), bytes_(std::move(bytes)), image_(std::move(image)) {}

  std::string path_;
  MappedFile bytes_;
  Image image_;
};

}  // namespace pyagent::inline v0::elf
