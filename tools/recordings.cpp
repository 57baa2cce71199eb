// Opens recordings and puts them together.
#include "recordings.hpp"

#include <algorithm>  // any_of, find
#include <cerrno>     // errno
#include <cstdint>    // int32_t
#include <cstring>    // strerror
#include <map>        // map
#include <span>       // span
#include <utility>    // move

#include "pyagent/symbol/code_symbol.hpp"
#include "pyagent/symbol/native_options.hpp"
#include "pyagent/symbol/native_symbols.hpp"
#include "terminal_text.hpp"

namespace pyagent::tools {

std::string Recordings::open(const std::string& path) {
  const auto problem = [&](const char* reason) { return terminal_text(path) + " can't be read: " + reason; };
  errno = 0;
  auto file = elf::MappedFile::open(path);
  if (!file) {
    const bool is_told_by_system = file.error().code == Errc::io_error && errno != 0;
    return problem(is_told_by_system                       ? std::strerror(errno)
                   : file.error().code == Errc::wrong_type ? "it is not a regular file"
                                                           : message(file.error()));
  }
  auto reader = recording::Reader::open(file->bytes());
  if (!reader)
    return problem(reader.error().code == Errc::damaged ? "it is no recording of pyagent" : message(reader.error()));
  if (const Error damage = reader->damage(); damage.code != Errc::ok)
    damages_.push_back(terminal_text(path) + " is damaged: what stands behind byte " +
                       std::to_string(damage.where.value) + " is missing (" + message(damage) + ")");
  files_.push_back(std::move(*file));
  readers_.push_back(std::move(*reader));
  return {};
}

bool Recordings::has_many_processes() const {
  return std::any_of(readers_.begin(), readers_.end(),
                     [&](const auto& reader) { return reader.process().pid != readers_.front().process().pid; });
}

recording::Counters Recordings::counters() const {
  recording::Counters sum;
  for (const auto& reader : readers_)
    for (const auto counter : recording::counter_fields) sum.*counter += reader.counters().*counter;
  return sum;
}

profile::Profile Recordings::build_profile(const profile::ProfileOptions& options,
                                           const std::vector<std::string>& symbol_directories,
                                           std::vector<std::string>& remarks) const {
  symbol::CodeSymbols codes;
  std::map<std::int32_t, symbol::NativeSymbols> natives;  // by process: each has perf maps of its own
  const auto native_of = [&](const recording::ProcessRecord& process) -> symbol::NativeSymbols& {
    return natives.try_emplace(process.pid, symbol::native_options(process.pid, symbol_directories)).first->second;
  };
  auto profile = profile::build_profile(std::span<const recording::Reader>{readers_}, options, codes, native_of);
  for (const auto& [pid, symbols] : natives)
    for (std::string& remark : symbols.remarks())
      if (std::find(remarks.begin(), remarks.end(), remark) == remarks.end()) remarks.push_back(std::move(remark));
  return profile;
}

}  // namespace pyagent::tools
