// Where a format's bytes go: the Sink concept, and a sink that is a string. May allocate
#pragma once

#include <concepts>     // same_as
#include <string>       // string
#include <string_view>  // string_view

#include "pyagent/base/errc.hpp"

namespace pyagent::inline v0::format {

/// Takes bytes in order. An error is final: what follows it may be left out.
template <class S>
concept Sink = requires(S& sink, std::string_view bytes) {
  { sink.write(bytes) } -> std::same_as<Errc>;
};

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
