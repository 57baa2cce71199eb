// Adds up and prints.
#include "summary.hpp"

#include <algorithm>      // sort
#include <cstdint>        // uint64_t
#include <cstdio>         // snprintf
#include <unordered_map>  // unordered_map
#include <vector>         // vector

#include "pyagent/profile/native_summary.hpp"
#include "terminal_text.hpp"

namespace pyagent::tools {
namespace {

struct Hotness {
  profile::Frame function;  ///< without its line
  double self = 0;
  double total = 0;
};

/// Time per function: of its own, and with what it called.
class FunctionTable {
 public:
  explicit FunctionTable(const profile::Profile& profile) : profile_(profile) {
    for (std::size_t i = 0; i < profile.frame_count(); ++i) {
      profile::Frame frame = profile.frame(static_cast<profile::FrameId>(i));
      frame.line = frame.column = 0;
      const auto [place, added] = rows_by_name_.try_emplace(std::uint64_t{frame.name} << 32 | frame.file, rows_.size());
      if (added) rows_.push_back({frame});
      row_of_frame_.push_back(place->second);
    }
    last_stack_.resize(rows_.size());
  }

  void add(profile::StackId stack, double weight) {
    profile_.frames_of(stack, frames_);
    if (frames_.empty()) return;
    sum_ += weight;
    rows_[row_of_frame_[frames_.back()]].self += weight;
    for (const auto frame : frames_) {
      const std::size_t row = row_of_frame_[frame];
      if (last_stack_[row] == stack) continue;  // recursion
      last_stack_[row] = stack;
      rows_[row].total += weight;
    }
  }

  double sum() const { return sum_; }
  std::vector<Hotness> by_self() const {
    auto sorted = rows_;
    std::stable_sort(sorted.begin(), sorted.end(),
                     [](const auto& left, const auto& right) { return left.self > right.self; });
    return sorted;
  }

 private:
  const profile::Profile& profile_;
  std::unordered_map<std::uint64_t, std::size_t> rows_by_name_;
  std::vector<Hotness> rows_;
  std::vector<std::size_t> row_of_frame_;
  std::vector<profile::StackId> last_stack_;  // in which a function was counted; 0 is the empty stack
  std::vector<profile::FrameId> frames_;
  double sum_ = 0;
};

void append_count(std::string& text, std::uint64_t count, const char* what, const std::string& remark = {}) {
  if (count != 0) text += ", " + std::to_string(count) + ' ' + what + remark;
}

}  // namespace

std::string describe_counts(const recording::Counters& counters) {
  std::string text = std::to_string(counters.samples) + (counters.samples == 1 ? " sample, " : " samples, ") +
                     std::to_string(counters.suspect + counters.unreadable) + " flagged";
  std::string reasons;
  append_count(reasons, counters.dropped_changed, "changing");
  append_count(reasons, counters.dropped_invalid, "no whole stack");
  append_count(reasons, counters.dropped_unreadable, "unreadable");
  append_count(text, counters.dropped, "dropped", reasons.empty() ? reasons : " (" + reasons.substr(2) + ")");
  append_count(text, counters.missed_ticks, "missed");
  append_count(text, counters.stop_timeouts, "not stopped in time");
  append_count(text, counters.elided, "too deep to keep whole");
  append_count(text, counters.unsampled_threads, "threads not sampled");
  append_count(text, counters.unstopped_threads, "threads read while they ran");
  return text + profile::native_summary(counters);
}

std::string hottest_functions(const profile::Profile& profile, std::size_t most) {
  std::vector<std::chrono::nanoseconds> weights(profile.stack_count());
  for (const auto& thread : profile.threads)
    for (const auto& sample : thread.samples)
      weights[sample.stack] = profile::add_weights(weights[sample.stack], sample.weight);
  FunctionTable table{profile};
  for (std::size_t stack = 1; stack < weights.size(); ++stack)
    if (weights[stack].count() != 0)
      table.add(static_cast<profile::StackId>(stack), static_cast<double>(weights[stack].count()));
  if (table.sum() <= 0) return {};

  std::string text = "    self    total  function\n";
  for (const Hotness& row : table.by_self()) {
    if (most-- == 0 || row.self <= 0) break;
    char shares[64];
    std::snprintf(shares, sizeof shares, "%6.1f %% %6.1f %%  ", 100 * row.self / table.sum(),
                  100 * row.total / table.sum());
    text += shares + terminal_text(profile.string(row.function.name));
    if (const auto& file = profile.string(row.function.file); !file.empty()) text += " (" + terminal_text(file) + ")";
    text += '\n';
  }
  return text;
}

}  // namespace pyagent::tools
