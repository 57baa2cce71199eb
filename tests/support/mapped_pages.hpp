// Three pages in a row: readable, readable, and one that is not there.
#pragma once

#include <sys/mman.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <new>

#include "pyagent/base/address.hpp"

namespace pyagent::test {

class MappedPages {
 public:
  static constexpr std::size_t page = 4096;
  MappedPages() : bytes_(::mmap(nullptr, 3 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)) {
    if (bytes_ == MAP_FAILED) throw std::bad_alloc{};
    for (std::size_t i = 0; i < 2 * page; ++i) static_cast<unsigned char*>(bytes_)[i] = static_cast<unsigned char>(i * 7);
    ::munmap(static_cast<std::byte*>(bytes_) + 2 * page, page);
  }
  ~MappedPages() { ::munmap(bytes_, 2 * page); }
  MappedPages(const MappedPages&) = delete;
  MappedPages& operator=(const MappedPages&) = delete;

  Address begin() const { return {reinterpret_cast<std::uint64_t>(bytes_)}; }
  Address hole() const { return begin() + 2 * page; }
  /// True when `got` is what lies at `address`.
  template <class Bytes>
  bool holds(Address address, const Bytes& got) const {
    return std::memcmp(reinterpret_cast<const void*>(address.value), got.data(), got.size()) == 0;
  }
  /// Takes the right to read the second page away.
  void protect_second() { ::mprotect(static_cast<std::byte*>(bytes_) + page, page, PROT_NONE); }

 private:
  void* bytes_;
};

}  // namespace pyagent::test
