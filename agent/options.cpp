// Reads PYAGENT.
#include "options.hpp"

#include <array>     // array
#include <charconv>  // from_chars
#include <cmath>     // isfinite

namespace pyagent::agent {
namespace {

/// One `name=value` or `name`.
struct Setting {
  std::string name;
  std::optional<std::string> value;
};

Setting take_setting(std::string_view& rest) {
  Setting setting;
  std::string* into = &setting.name;
  std::size_t at = 0;
  for (; at < rest.size() && rest[at] != ','; ++at) {
    if (rest[at] == '\\' && at + 1 < rest.size() && (rest[at + 1] == ',' || rest[at + 1] == '\\')) {
      *into += rest[++at];
    } else if (rest[at] == '=' && !setting.value) {
      into = &setting.value.emplace();
    } else {
      *into += rest[at];
    }
  }
  rest.remove_prefix(at < rest.size() ? at + 1 : at);
  return setting;
}

std::optional<double> parse_positive(const std::string& text) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || !std::isfinite(value) || value <= 0) return {};
  return value;
}

/// Options that are on when they are named.
constexpr std::array flags{
    std::pair{std::string_view{"idle"}, &Options::idle},
    std::pair{std::string_view{"threads"}, &Options::threads},
    std::pair{std::string_view{"gil"}, &Options::gil},
    std::pair{std::string_view{"function"}, &Options::function},
    std::pair{std::string_view{"nolineno"}, &Options::nolineno},
    std::pair{std::string_view{"full-filenames"}, &Options::full_filenames},
    std::pair{std::string_view{"quiet"}, &Options::quiet},
    std::pair{std::string_view{"native"}, &Options::native},
    std::pair{std::string_view{"native-all"}, &Options::native_all},
};

/// Empty when the setting was taken.
std::string apply(const Setting& setting, Options& options) {
  const auto& [name, value] = setting;
  for (const auto& [flag, member] : flags)
    if (name == flag) {
      if (value) return name + " takes no value";
      options.*member = true;
      options.native = options.native || options.native_all;
      return {};
    }
  const double number = value ? parse_positive(*value).value_or(0) : 0;
  if (name == "rate") {
    constexpr double highest = 100'000;
    if (number == 0 || number > highest)
      return "rate wants a number of samples per second, above 0 and up to 100000, as in rate=100";
    options.rate = number;
  } else if (name == "duration") {
    constexpr double longest = 1e9;
    if (number == 0 || number > longest) return "duration wants a number of seconds, as in duration=30";
    options.duration = std::chrono::nanoseconds{static_cast<std::int64_t>(number * 1e9)};
  } else if (name == "output") {
    if (!value || value->empty()) return "output wants a file name, as in output=profile.json";
    options.output = *value;
  } else if (name == "format") {
    if (value == "speedscope")
      options.format = Options::Format::speedscope;
    else if (value == "raw")
      options.format = Options::Format::raw;
    else
      return "format is speedscope or raw";
  } else if (name == "symbols") {
    if (!value || value->empty()) return "symbols wants a directory, as in symbols=/srv/debug";
    options.symbol_directories.push_back(*value);
  } else if (name == "clock") {
    if (value == "cpu")
      options.clock = Options::Clock::cpu;
    else if (value == "monotonic")
      options.clock = Options::Clock::monotonic;
    else
      return "clock is cpu or monotonic";
  } else {
    return "there is no option '" + name +
           "'; there are rate, output, format, duration, native, native-all, symbols, idle, threads, gil, function, "
           "nolineno, full-filenames, quiet";
  }
  return {};
}

}  // namespace

std::optional<Options> parse_options(std::string_view text, std::string& problem) {
  constexpr std::size_t longest = 8192;
  if (text.size() > longest) return problem = "it is longer than 8192 characters", std::nullopt;
  Options options;
  while (!text.empty()) {
    const Setting setting = take_setting(text);
    if (setting.name.empty() && !setting.value) continue;
    if (problem = apply(setting, options); !problem.empty()) return {};
  }
  return options;
}

}  // namespace pyagent::agent
