// A profile as folded stacks, one line each, as py-spy's `raw` writes them. May allocate
#pragma once

#include <algorithm>    // max
#include <chrono>       // nanoseconds
#include <cstddef>      // size_t
#include <cstdint>      // uint64_t
#include <map>          // map
#include <string>       // string, to_string
#include <string_view>  // string_view
#include <vector>       // vector

#include "pyagent/base/errc.hpp"
#include "pyagent/format/json.hpp"
#include "pyagent/format/sink.hpp"
#include "pyagent/format/utf8.hpp"
#include "pyagent/profile/profile.hpp"

namespace pyagent::inline v0::format {

/// Appends `text` such that it stays one frame on one line.
///
/// `;`, line feed, carriage return, all other control characters (C0, DEL, C1) and U+2028, U+2029 become `\u` and four
/// hexadecimal digits: `;` is `\u003b`. So does a backslash that stands before a `u`, and no other; reading
/// `\uXXXX` as that character gives the text back. Bytes that are not UTF-8 become U+FFFD.
inline void append_raw_text(std::string& out, std::string_view text) {
  while (!text.empty()) {
    const auto piece = take_utf8(text);
    const auto code_point = piece.code_point;
    const bool breaks = code_point == ';' || code_point < 0x20 || (code_point >= 0x7F && code_point < 0xA0) ||
                        code_point == 0x2028 || code_point == 0x2029 || text.starts_with("\\u");
    if (!piece.valid) {
      out += replacement_character;
    } else if (breaks) {
      append_u_escape(out, code_point);
    } else {
      out += text.substr(0, piece.size);
    }
    text.remove_prefix(piece.size);
  }
}

/// Appends `frame` as py-spy 0.4 shows it: `name (file:line)`, `name (file)` without a line, `name` without a file.
inline void append_raw_frame(std::string& out, const profile::Profile& profile, const profile::Frame& frame) {
  append_raw_text(out, profile.string(frame.name));
  const auto& file = profile.string(frame.file);
  if (file.empty()) return;
  out += " (";
  append_raw_text(out, file);
  if (frame.line > 0) (out += ':') += std::to_string(frame.line);
  out += ')';
}

namespace detail {

struct RawTotal {
  std::chrono::nanoseconds weight{};
  std::uint64_t samples = 0;
};

/// How many samples at the rate asked for `total` is worth.
inline std::uint64_t raw_count(const RawTotal& total, std::chrono::nanoseconds interval) noexcept {
  if (interval.count() <= 0) return total.samples;
  const auto weight = static_cast<std::uint64_t>(total.weight.count());
  const auto unit = static_cast<std::uint64_t>(interval.count());
  return std::max<std::uint64_t>(1, (weight + unit / 2) / unit);
}

}  // namespace detail

/// Writes one line per different stack: `root;...;leaf COUNT`, sorted by their text. (py-spy's order is that of a hash
/// table, a new one in each run; sorted files can be compared.)
///
/// Units:  COUNT is in samples, as tools expect: the stack's measured time, summed over all its samples and threads and
///         rounded only then, divided by `profile.interval`; at least 1. Without an interval, samples are counted.
///         Each line is within half a sample of what was measured, so N lines are within N / 2 samples of the whole.
/// Errors: the sink's first error; nothing is thrown. A file appears under its name when all went well.
template <Sink S>
Result<void> write_raw(const profile::Profile& profile, S& sink) {
  std::vector<detail::RawTotal> totals(profile.stack_count());
  for (const profile::Thread& thread : profile.threads) {
    for (const profile::Sample& sample : thread.samples) {
      auto& total = totals[sample.stack];
      total.weight = profile::add_weights(total.weight, sample.weight);
      ++total.samples;
    }
  }

  // Stacks that differ in columns only have the same text.
  std::map<std::string, detail::RawTotal> lines;
  std::vector<profile::FrameId> frames;
  for (std::size_t stack = 1; stack < totals.size(); ++stack) {
    if (totals[stack].samples == 0) continue;
    profile.frames_of(static_cast<profile::StackId>(stack), frames);
    std::string text;
    for (std::size_t i = 0; i < frames.size(); ++i) {
      if (i != 0) text += ';';
      append_raw_frame(text, profile, profile.frame(frames[i]));
    }
    auto& line = lines[text];
    line.weight = profile::add_weights(line.weight, totals[stack].weight);
    line.samples += totals[stack].samples;
  }

  for (const auto& [text, total] : lines) {
    const auto count = std::to_string(detail::raw_count(total, profile.interval));
    if (const auto status = sink.write(text + ' ' + count + '\n'); status != Errc::ok) return Error{status};
  }
  return finish(sink, Errc::ok);
}

}  // namespace pyagent::inline v0::format
