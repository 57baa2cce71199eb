// The samples of one process on their way into the table of `pyagent top`.
#pragma once

#include <cstdint>        // uint64_t
#include <string>         // string, to_string
#include <string_view>    // string_view
#include <unordered_map>  // unordered_map
#include <utility>        // move
#include <vector>         // vector

#include "pyagent/sampler/sample_sink.hpp"
#include "pyagent/symbol/code_symbol.hpp"
#include "top_table.hpp"

namespace pyagent::tools {

/// How frames are named.
struct TopNames {
  bool function = false;                                     ///< lines are those that functions begin at
  bool full_filenames = false;                               ///< whole paths
  std::string (*make_harmless)(std::string_view) = nullptr;  ///< makes a target's text fit for a terminal
};

/// Adds one process's samples to a table, which others may share.
class TopSink : public sampler::SampleSink {
 public:
  TopSink(TopTable& table, TopNames names) : table_(table), names_(names) {}

  void add_code(const recording::CodeRecord& code) override {
    if (codes_.size() >= most_codes) return;
    Code known;
    known.record.first_line = code.first_line;
    known.record.line_format = code.line_format;
    if (line_bytes_ + code.lines.size() <= most_line_bytes) known.record.lines = code.lines;
    line_bytes_ += known.record.lines.size();
    known.name = names_.make_harmless(symbols_.name(code));
    known.file = names_.make_harmless(names_.full_filenames ? code.filename : symbols_.short_filename(code));
    known.function = table_.functions().find(known.name, known.file);
    codes_.insert_or_assign(code.id, std::move(known));
  }

  void add_thread(const recording::ThreadRecord&) override {}

  void add_sample(const recording::SampleRecord& sample) override {
    using recording::SampleFlag;
    frames_.clear();
    for (const recording::FrameRecord& frame : sample.frames) frames_.push_back(find_rows(frame));
    const auto weight = sample.cpu + sample.wall;
    const auto weight_if = [&](SampleFlag flag) { return sample.has(flag) ? weight : std::chrono::nanoseconds{}; };
    table_.add_sample(frames_, weight,
                      {.samples = 1,
                       .errors = sample.has(SampleFlag::suspect) || sample.has(SampleFlag::unreadable) ? 1u : 0u,
                       .active = sample.cpu,
                       .gil = weight_if(SampleFlag::holds_gil),
                       .waiting = weight_if(SampleFlag::waits_for_gil),
                       .collecting = weight_if(SampleFlag::collects)});
  }

  void count(recording::Counter counter, std::uint64_t amount) override {
    if (counter == recording::Counter::dropped) table_.add_errors(amount);
  }

 private:
  /// A code object, and the rows of its lines as they are met.
  struct Code {
    recording::CodeRecord record;  ///< what lines need of it
    std::string name;
    std::string file;
    TopRows::Id function = TopRows::others;
    std::unordered_map<std::int32_t, TopRows::Id> lines;  ///< by instruction
  };

  // A program may make code objects as long as it runs.
  static constexpr std::size_t most_codes = 200'000;
  static constexpr std::size_t most_line_bytes = std::size_t{64} << 20;

  TopTable::FrameRows find_rows(const recording::FrameRecord& frame) {
    const auto found = codes_.find(frame.code);
    if (found == codes_.end()) return {};
    Code& code = found->second;
    const auto [line, is_new] = code.lines.try_emplace(names_.function ? 0 : frame.instruction, TopRows::others);
    if (is_new) line->second = table_.lines().find(code.name, place(code, frame.instruction));
    return {code.function, line->second};
  }

  std::string place(const Code& code, std::int32_t instruction) const {
    int line = names_.function ? code.record.first_line : symbols_.position(code.record, instruction).line;
    if (line <= 0) line = code.record.first_line;
    return line > 0 ? code.file + ':' + std::to_string(line) : code.file;
  }

  TopTable& table_;
  TopNames names_;
  symbol::CodeSymbols symbols_;
  std::unordered_map<recording::CodeId, Code> codes_;
  std::vector<TopTable::FrameRows> frames_;
  std::size_t line_bytes_ = 0;
};

}  // namespace pyagent::tools
