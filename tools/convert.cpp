// Turns recordings into one profile.
#include "convert.hpp"

#include <filesystem>  // equivalent

#include "output.hpp"
#include "recordings.hpp"
#include "say.hpp"
#include "stop_signals.hpp"
#include "summary.hpp"
#include "terminal_text.hpp"

namespace pyagent::tools {

namespace {

bool is_same_file(const std::string& left, const std::string& right) {
  std::error_code failed;
  return std::filesystem::equivalent(left, right, failed) && !failed;
}

}  // namespace

int convert(const ConvertOptions& options) {
  for (const std::string& path : options.recordings)
    if (is_same_file(path, options.output))
      return fail(terminal_text(path) + " can't be both the recording and the profile");
  ignore_write_signals();
  Recordings recordings;
  for (const std::string& path : options.recordings)
    if (const std::string problem = recordings.open(path); !problem.empty()) say(problem);
  if (recordings.empty()) return fail("no recording could be read");
  for (const std::string& damage : recordings.damages()) say(damage);

  profile::ProfileOptions shown = options.shown;
  shown.processes = recordings.has_many_processes();
  std::vector<std::string> remarks;
  const profile::Profile profile = recordings.build_profile(shown, options.symbol_directories, remarks);
  for (const std::string& remark : remarks) say(terminal_text(remark));
  const std::string problem = write_profile(profile, options.output, choose_format(options.output, options.format));
  if (!problem.empty()) return fail(problem);
  say(describe_counts(recordings.counters()) + ": " + terminal_text(options.output));
  return 0;
}

}  // namespace pyagent::tools
