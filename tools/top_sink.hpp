// The samples of one process on their way into the table of `pyagent top`.
#pragma once

#include <cstdint>        // uint64_t
#include <span>           // span
#include <string>         // string, to_string
#include <string_view>    // string_view
#include <unordered_map>  // unordered_map
#include <utility>        // move
#include <vector>         // vector

#include "pyagent/profile/profile.hpp"
#include "pyagent/profile/sample_merger.hpp"
#include "pyagent/sampler/sample_sink.hpp"
#include "pyagent/stack/merge_stacks.hpp"
#include "pyagent/symbol/code_symbol.hpp"
#include "pyagent/symbol/native_symbols.hpp"
#include "top_table.hpp"

namespace pyagent::tools {

/// How frames are named.
struct TopNames {
  bool function = false;                                     ///< lines are those that functions begin at
  bool full_filenames = false;                               ///< whole paths
  std::string (*make_harmless)(std::string_view) = nullptr;  ///< makes a target's text fit for a terminal
  bool native_all = false;                                   ///< native functions of the interpreter too
};

/// Adds one process's samples to a table, which others may share.
class TopSink : public sampler::SampleSink {
 public:
  /// `natives` says where the process's native frames get their names from.
  TopSink(TopTable& table, TopNames names, symbol::NativeOptions natives = {})
      : table_(table),
        names_(names),
        natives_(std::move(natives)),
        merger_(native_frames_, natives_,
                {.is_everything = names.native_all,
                 .full_filenames = names.full_filenames,
                 .show_lines = !names.function}) {}

  void add_code(const recording::CodeRecord& code) override {
    if (codes_.size() >= most_codes) return;
    Code known;
    known.is_interpreters_own = symbol::is_interpreters_own(code);
    if (known.is_interpreters_own) return void(codes_.insert_or_assign(code.id, std::move(known)));
    known.record.first_line = code.first_line;
    known.record.line_format = code.line_format;
    if (line_bytes_ + code.lines.size() <= most_line_bytes) known.record.lines = code.lines;
    line_bytes_ += known.record.lines.size();
    known.name = names_.make_harmless(symbols_.name(code));
    known.file = names_.make_harmless(names_.full_filenames ? code.filename : symbols_.short_filename(code));
    known.function = table_.functions().find(known.name, known.file);
    codes_.insert_or_assign(code.id, std::move(known));
  }

  void add_module(const recording::ModuleRecord& module) override { merger_.add_module(module); }
  void add_thread(const recording::ThreadRecord&) override {}

  void add_sample(const recording::SampleRecord& sample) override {
    using recording::SampleFlag;
    frames_.clear();
    const auto merged = merger_.merge(sample);
    for (auto frame = merged.rbegin(); frame != merged.rend(); ++frame)
      if (frame->kind == stack::MergedFrame::Kind::python)
        add_python_frame(sample.frames[frame->index]);
      else if (frame->kind == stack::MergedFrame::Kind::native)
        add_native_frames(merger_.frames_of(frame->index));
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
    bool is_interpreters_own = false;  ///< and not shown
    TopRows::Id function = TopRows::others;
    std::unordered_map<std::int32_t, TopRows::Id> lines;  ///< by instruction
  };

  // A program may make code objects as long as it runs.
  static constexpr std::size_t most_codes = 200'000;
  static constexpr std::size_t most_line_bytes = std::size_t{64} << 20;

  void add_python_frame(const recording::FrameRecord& frame) {
    if (const auto code = codes_.find(frame.code); code == codes_.end())
      frames_.push_back({});
    else if (!code->second.is_interpreters_own)
      frames_.push_back(find_rows(code->second, frame.instruction));
  }

  /// `frames` have the outermost function first.
  void add_native_frames(std::span<const profile::FrameId> frames) {
    for (auto id = frames.rbegin(); id != frames.rend(); ++id) {
      const auto [known, is_new] = native_rows_.try_emplace(*id);
      if (is_new) {
        const profile::Frame& frame = native_frames_.frame(*id);
        const std::string name = names_.make_harmless(native_frames_.string(frame.name)),
                          file = names_.make_harmless(native_frames_.string(frame.file));
        known->second = {table_.functions().find(name, file),
                         table_.lines().find(name, frame.line > 0 ? file + ':' + std::to_string(frame.line) : file)};
      }
      frames_.push_back(known->second);
    }
  }

  TopTable::FrameRows find_rows(Code& code, std::int32_t instruction) {
    const auto [line, is_new] = code.lines.try_emplace(names_.function ? 0 : instruction, TopRows::others);
    if (is_new) line->second = table_.lines().find(code.name, place(code, instruction));
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
  symbol::NativeSymbols natives_;
  profile::Profile native_frames_;
  profile::SampleMerger<symbol::NativeSymbols> merger_;
  std::unordered_map<profile::FrameId, TopTable::FrameRows> native_rows_;
  std::size_t line_bytes_ = 0;
};

}  // namespace pyagent::tools
