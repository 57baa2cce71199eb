// One line of a screen.
#pragma once

#include <cstddef>  // size_t
#include <string>   // string

namespace pyagent::tools {

/// Text without control characters, a part of it in reverse video.
struct ScreenLine {
  std::string text;
  std::size_t reverse_begin = 0;  ///< in bytes
  std::size_t reverse_size = 0;
};

}  // namespace pyagent::tools
