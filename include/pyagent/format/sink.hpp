// Where a format's bytes go: the Sink concept, and a sink that is a string. May allocate
#pragma once

#include <concepts>     // same_as
#include <string>       // string
#include <string_view>  // string_view

#include "pyagent/base/result.hpp"

namespace pyagent::inline v0::format {

/// Takes bytes in order. An error is final: what follows it may be left out.
template <class S>
concept Sink = requires(S& sink, std::string_view bytes) {
  { sink.write(bytes) } -> std::same_as<Errc>;
};

/// What a format gives back after its last byte: the sink's first error, or success. A sink that has to be told that it
/// is whole, as a file has, is told so.
template <Sink S>
Result<void> finish(S& sink, Errc written) {
  if constexpr (requires { sink.commit(); })
    if (written == Errc::ok) written = sink.commit();
  return written == Errc::ok ? Result<void>{} : Error{written};
}

/// Keeps everything in memory.
struct StringSink {
  std::string text;

  Errc write(std::string_view bytes) {
    text += bytes;
    return Errc::ok;
  }
};
static_assert(Sink<StringSink>);

}  // namespace pyagent::inline v0::format
