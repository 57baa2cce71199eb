// Text of a target, made harmless for a terminal.
#pragma once

#include <string>       // string
#include <string_view>  // string_view

namespace pyagent::tools {

/// `text` on one line, with nothing in it that a terminal obeys.
///
/// Control characters (C0, DEL, C1) and bytes that are not UTF-8 become `\n`, `\t`, `\r` or `\xNN`; characters that
/// change the direction of what follows, that break lines or that can't be seen become `\u` and four, or `\U` and eight
/// hexadecimal digits. Everything else stays as it is, a backslash too.
std::string terminal_text(std::string_view text);

}  // namespace pyagent::tools
