// The code of this process, as unwinding wants to know it: rules from what is mapped, looked up as a signal handler
// would.
#pragma once

#include <dlfcn.h>
#include <elf.h>
#include <link.h>
#include <pthread.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "pyagent/base/address.hpp"
#include "pyagent/dwarf/find_rule.hpp"
#include "pyagent/memory/local_memory.hpp"
#include "pyagent/unwind/code_map.hpp"
#include "pyagent/unwind/registers.hpp"
#include "pyagent/unwind/rule_cache.hpp"

namespace pyagent::test {

/// Modules that were loaded when it was made. `shift` spoils all look-ups, to see that somebody notices.
class OwnCode {
 public:
  explicit OwnCode(std::uint64_t shift = 0) : shift_(shift) {
    const auto add = [](dl_phdr_info* info, std::size_t, void* into) {
      for (int i = 0; i < info->dlpi_phnum; ++i) {
        const auto& segment = info->dlpi_phdr[i];
        if (segment.p_type != PT_LOAD || (segment.p_flags & PF_X) == 0) continue;
        const Address begin{info->dlpi_addr + segment.p_vaddr};
        static_cast<std::vector<AddressRange>*>(into)->push_back({begin, begin + segment.p_memsz});
      }
      return 0;
    };
    ::dl_iterate_phdr(add, &code_);
  }

  unwind::UnwindRule find_rule(Address address) noexcept {
    address = address + shift_;
    unwind::UnwindRule rule;
    if (cache_->find(address, 1, rule)) return rule;
    rule = read_rule(address);
    cache_->keep(address, 1, rule);
    return rule;
  }

  bool contains(Address address) const noexcept {
    return std::any_of(code_.begin(), code_.end(), [&](const AddressRange& range) { return range.contains(address); });
  }

  bool follows_call(Address address) noexcept { return unwind::NativeArch::ends_with_call(code_before(address)); }

  Address find_callee(Address address) noexcept {
    const Address callee{unwind::NativeArch::find_call_target(code_before(address), address.value)};
    if (!contains(callee)) return {};
    const auto* code = reinterpret_cast<const std::byte*>(callee.value);
    return unwind::NativeArch::is_stub({code, unwind::NativeArch::stub_size}) ? Address{} : callee;
  }

 private:
  /// As much as a call can take; none when that is no code.
  std::span<const std::byte> code_before(Address address) const noexcept {
    for (const AddressRange& range : code_)
      if (range.contains(address - 1)) {
        const auto size = std::min<std::uint64_t>(unwind::NativeArch::longest_call + 1, address - range.begin);
        return {reinterpret_cast<const std::byte*>(address.value - size), size};
      }
    return {};
  }

  static unwind::UnwindRule read_rule(Address address) noexcept {
    dl_find_object object{};
    if (::_dl_find_object(reinterpret_cast<void*>(address.value), &object) != 0) return {};
    const auto* begin = static_cast<const std::byte*>(object.dlfo_map_start);
    const auto* end = static_cast<const std::byte*>(object.dlfo_map_end);
#if defined(__aarch64__)
    constexpr std::uint16_t machine = EM_AARCH64;
#else
    constexpr std::uint16_t machine = EM_X86_64;
#endif
    const auto frames = dwarf::view_mapped_eh_frame({begin, end}, object.dlfo_eh_frame, machine);
    if (!frames) return {};
    return dwarf::find_rule(*frames, address.value).value_or({});
  }

  std::uint64_t shift_;
  std::vector<AddressRange> code_;
  std::unique_ptr<unwind::RuleCache<4096>> cache_ = std::make_unique<unwind::RuleCache<4096>>();
};

/// The calling thread's stack.
inline AddressRange own_stack() {
  pthread_attr_t attributes;
  void* begin = nullptr;
  std::size_t size = 0;
  ::pthread_getattr_np(::pthread_self(), &attributes);
  ::pthread_attr_getstack(&attributes, &begin, &size);
  ::pthread_attr_destroy(&attributes);
  const Address at{reinterpret_cast<std::uint64_t>(begin)};
  return {at, at + size};
}

/// Memory of this process with that stack in it. AddressSanitizer takes a look at what lies between variables for a
/// mistake; then the kernel is asked for the stack as well.
inline memory::LocalMemory own_memory([[maybe_unused]] AddressRange stack) {
  memory::LocalMemory memory{::getpid(), true};
#if defined(__has_feature)
#if __has_feature(address_sanitizer)
  return memory;
#endif
#endif
  memory.trust(stack);
  return memory;
}

}  // namespace pyagent::test
