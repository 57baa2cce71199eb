// The table of `pyagent top` as lines of text.
#pragma once

#include <algorithm>    // min
#include <cstdint>      // uint64_t
#include <cstdio>       // snprintf
#include <iterator>     // size
#include <string>       // string, to_string
#include <string_view>  // string_view
#include <utility>      // move
#include <vector>       // vector

#include "screen_line.hpp"
#include "text_width.hpp"
#include "top_table.hpp"

namespace pyagent::tools {

/// What of the table is shown, and what is said beside it. Texts are as a terminal may see them.
struct TopView {
  TopColumn sort = TopColumn::own_share;
  bool lines = false;  ///< a row for each line instead of each function
  bool help = false;
  bool idle = false;          ///< samples are of waiting threads too
  std::size_t first_row = 0;  ///< rows that are scrolled away

  std::string command;  ///< of the process; empty before it is known
  std::string python_version;
  int pid = 0;
  std::size_t processes = 1;
  std::uint64_t threads = 0;
  std::string notice;  ///< what has happened, above the table
};

namespace detail {

inline std::string percent_text(double percent) {
  char text[32];
  std::snprintf(text, sizeof text, percent < 999.995 ? "%6.2f%%" : "%6.0f%%", percent);
  return text;
}

inline std::string seconds_text(std::chrono::nanoseconds time) {
  const double seconds = static_cast<double>(time.count()) / 1e9;
  char text[32];
  std::snprintf(text, sizeof text, seconds < 0.9995 ? "%.3fs" : seconds < 9999.995 ? "%.2fs" : "%.0fs", seconds);
  return text;
}

inline std::string align_right(const std::string& text, std::size_t width) {
  return std::string(text.size() < width ? width - text.size() : 0, ' ') + text;
}

/// A share that stands in a sentence.
inline std::string inline_percent(const TopTable& table, std::chrono::nanoseconds time) {
  const std::string text = percent_text(table.percent(time));
  return text.substr(text.find_first_not_of(' '));
}

inline std::string title(const TopView& view, std::size_t width) {
  if (view.command.empty()) return cut_end("Waiting for Python to run in process " + std::to_string(view.pid), width);
  const std::string_view before = "Collecting samples from '";
  std::string after = "' (python v" + view.python_version + ") pid " + std::to_string(view.pid);
  if (view.processes > 1) after += " and " + std::to_string(view.processes - 1) + " more";
  const std::size_t others = before.size() + after.size();
  constexpr std::size_t least = 8;
  const std::string command = cut_end(view.command, std::max(width, others + least) - others);
  return cut_end(std::string{before} + command + after, width);
}

inline std::string sums(const TopTable& table, const TopView& view) {
  std::string text = "Total Samples " + std::to_string(table.all().samples);
  if (view.idle) text += ", Waiting for GIL: " + inline_percent(table, table.recent().waiting);
  return text + ", GC: " + inline_percent(table, table.recent().collecting);
}

inline std::string shares(const TopTable& table, const TopView& view) {
  const double seconds = static_cast<double>(table.elapsed().count()) / 1e9;
  const double rate = seconds > 0 ? static_cast<double>(table.recent().ticks) / seconds : 0;
  char rate_text[32];
  std::snprintf(rate_text, sizeof rate_text, rate < 9.95 ? "%.1f/s" : "%.0f/s", rate);
  return "GIL: " + inline_percent(table, table.recent().gil) +
         ", Active: " + inline_percent(table, table.recent().active) + ", Threads: " + std::to_string(view.threads) +
         ", Rate: " + rate_text + ", Errors: " + std::to_string(table.all().errors);
}

inline ScreenLine column_names(const TopView& view) {
  ScreenLine line{.text = "  %Own   %Total  OwnTime  TotalTime  Function (filename)"};
  if (view.lines) line.text.insert(line.text.size() - 1, ":line");
  const std::string_view names[] = {"%Own", "%Total", "OwnTime", "TotalTime"};
  const std::string_view name = names[static_cast<std::size_t>(view.sort)];
  line.reverse_begin = line.text.find(name);
  line.reverse_size = name.size();
  return line;
}

/// `name (place)`; where there is no room for it the place keeps its end, at least in a half, and the name its front.
inline std::string label(const TopRow& row, std::size_t width) {
  const std::size_t name_width = text_width(row.name), place_width = text_width(row.place);
  constexpr std::size_t others = 3;  // a space and brackets
  if (name_width + place_width + others <= width) return row.name + " (" + row.place + ')';
  if (width < 2 * others) return cut_end(row.name, width);
  const std::size_t room = width - others;
  const std::size_t for_place = std::min(place_width, std::max(room / 2, room - std::min(room, name_width)));
  return cut_end(row.name, room - for_place) + " (" + cut_front(row.place, for_place) + ')';
}

inline std::string row_text(const TopTable& table, const TopRow& row, std::size_t width) {
  const std::string times =
      percent_text(table.percent(row.recent.own)) + ' ' + percent_text(table.percent(row.recent.total)) + ' ' +
      align_right(seconds_text(row.all.own), 8) + ' ' + align_right(seconds_text(row.all.total), 9) + "   ";
  return width <= times.size() ? cut_end(times, width) : times + label(row, width - times.size());
}

inline constexpr const char* help_lines[] = {
    " 1 2 3 4    sort by %Own, %Total, OwnTime, TotalTime",
    " L          switch between functions and lines",
    " R          reset: forget all times",
    " space      pause: the table stands still, sampling goes on",
    " arrows     scroll; also k and j, PageUp and PageDown, Home and End",
    " ?          this help; any key leaves it",
    " q          quit; also ^C",
    "",
    " %Own       time in the function itself, of the last interval",
    " %Total     time in the function or in what it called, of the last interval",
    " OwnTime    the same as %Own in seconds, since the start or the last reset",
    " TotalTime  the same as %Total in seconds",
    " A thread that is busy all the time makes 100%; several make more. Times are",
    " CPU times, with --idle also those of waiting. Errors are samples that could",
    " not be read, or may lack frames.",
};

inline std::string footer(std::size_t first, std::size_t shown, std::size_t rows) {
  std::string text = "q quit, ? help, 1-4 sort, L lines, R reset, space pause";
  if (shown < rows)
    text +=
        "   rows " + std::to_string(first + 1) + '-' + std::to_string(first + shown) + " of " + std::to_string(rows);
  return text;
}

}  // namespace detail

/// Lines above the first row.
inline constexpr std::size_t top_header_height = 5;

/// The whole screen: `height` lines of at most `width` cells. Brings `view.first_row` into range.
inline std::vector<ScreenLine> render_screen(const TopTable& table, TopView& view, std::size_t width,
                                             std::size_t height) {
  std::vector<ScreenLine> lines;
  const auto add = [&](ScreenLine line) {
    if (lines.size() < height) lines.push_back(std::move(line));
  };
  const auto add_text = [&](const std::string& text) { add({.text = cut_end(text, width)}); };
  add_text(detail::title(view, width));
  add_text(detail::sums(table, view));
  add_text(detail::shares(table, view));
  add_text(view.notice);
  if (width >= 40) {
    ScreenLine names = detail::column_names(view);
    names.text = cut_end(names.text, width);
    add(std::move(names));
  } else {
    add_text(detail::column_names(view).text);
  }
  const std::size_t body = height > top_header_height + 1 ? height - top_header_height - 1 : 0;
  const auto rows = (view.lines ? table.lines() : table.functions()).sorted(view.sort);
  view.first_row = std::min(view.first_row, rows.size() - std::min(rows.size(), body));
  const std::size_t shown = std::min(body, rows.size() - view.first_row);
  for (std::size_t i = 0; i < body; ++i) {
    if (view.help)
      add_text(i < std::size(detail::help_lines) ? detail::help_lines[i] : "");
    else
      add_text(i < shown ? detail::row_text(table, *rows[view.first_row + i], width) : "");
  }
  add_text(detail::footer(view.first_row, shown, rows.size()));
  return lines;
}

/// The table as plain text, with at most `most_rows` rows, none of them cut.
inline std::string render_plain(const TopTable& table, const TopView& view, std::size_t most_rows) {
  constexpr std::size_t any_width = 100'000;
  std::string text =
      detail::title(view, any_width) + '\n' + detail::sums(table, view) + '\n' + detail::shares(table, view) + '\n';
  text += view.notice + '\n' + detail::column_names(view).text + '\n';
  const auto rows = (view.lines ? table.lines() : table.functions()).sorted(view.sort);
  for (std::size_t i = 0; i < std::min(rows.size(), most_rows); ++i)
    text += detail::row_text(table, *rows[i], any_width) + '\n';
  if (rows.size() > most_rows) text += "and " + std::to_string(rows.size() - most_rows) + " more\n";
  return text;
}

}  // namespace pyagent::tools
