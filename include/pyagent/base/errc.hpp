// Everything that can go wrong, one name each. signal-safe
#pragma once

#include <cstdint>  // uint8_t

namespace pyagent::inline v0 {

/// Why an operation failed.
enum class Errc : std::uint8_t {
  ok,
  unreadable,           // memory is not mapped, or may not be read
  truncated,            // input ends before the thing it promises
  damaged,              // input contradicts itself
  too_large,            // a size exceeds the named limit
  not_found,            // nothing of that name or kind
  unsupported_version,  // a CPython version nobody described
  unsupported_build,    // a CPython build whose structures cannot be read
  wrong_type,           // an object is not what its place demands
  inconsistent,         // a structure was caught in the middle of a change
  io_error,             // the operating system refused a file operation
  no_space,             // no room left on the device, quota or file-size limit
  no_process,           // no such process or thread, or it has ended
  not_permitted,        // the operating system does not let us read or stop this process
};

/// One sentence fragment for `code`; a string literal.
constexpr const char* message(Errc code) noexcept {
  switch (code) {
    case Errc::ok: return "no error";
    case Errc::unreadable: return "memory can't be read";
    case Errc::truncated: return "data ends too early";
    case Errc::damaged: return "data is damaged";
    case Errc::too_large: return "a size is beyond its limit";
    case Errc::not_found: return "not found";
    case Errc::unsupported_version: return "this Python version is not known to this pyagent";
    case Errc::unsupported_build: return "this build of Python can't be read";
    case Errc::wrong_type: return "an object has the wrong type";
    case Errc::inconsistent: return "a structure was changing while it was read";
    case Errc::io_error: return "a file could not be read or written";
    case Errc::no_space: return "no space is left";
    case Errc::no_process: return "there is no such process";
    case Errc::not_permitted: return "reading this process is not permitted";
  }
  return "unknown error";
}

}  // namespace pyagent::inline v0
