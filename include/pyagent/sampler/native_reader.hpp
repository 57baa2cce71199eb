// Unwinds the native stacks of threads of another process, from copies. May allocate
#pragma once

#include <algorithm>  // any_of, min
#include <cstddef>    // byte
#include <cstdint>    // uint64_t
#include <memory>     // make_shared, shared_ptr
#include <span>       // span
#include <utility>    // move
#include <vector>     // vector

#include "pyagent/capture/native_capture.hpp"
#include "pyagent/capture/native_frame.hpp"
#include "pyagent/capture/raw_stack.hpp"
#include "pyagent/memory/buffer_memory.hpp"
#include "pyagent/memory/read_batch.hpp"
#include "pyagent/recording/native_quality.hpp"
#include "pyagent/recording/records.hpp"
#include "pyagent/sampler/native_modules.hpp"
#include "pyagent/sampler/sample_sink.hpp"
#include "pyagent/sampler/target.hpp"
#include "pyagent/unwind/registers.hpp"

namespace pyagent::inline v0::sampler {

/// Copies the native stacks of one process's threads while they stand still, and unwinds the copies when they go on.
class NativeReader {
 public:
  NativeReader(const Target& target, std::shared_ptr<ModuleFiles> files)
      : is_by_frame_object_(target.runtime().layout.frame_chain == cpython::FrameChain::frame_object),
        modules_(target, files != nullptr ? std::move(files) : std::make_shared<ModuleFiles>()),
        frames_(most_frames) {}

  /// Has `batch` read the thread's stack, as far as it is copied. `thread_id` is its pthread_t, or 0.
  ///
  /// A mapping may go on beyond a stack: since 2.42 glibc's guard pages lie inside (MADV_GUARD_INSTALL, Linux 6.13),
  /// and the next thread's stack behind. What the C library keeps of a thread lies at the upper end of its stack. Where
  /// that is not known the stack is read in pieces, and counts up to the first that can't be read.
  void plan(Address stack_pointer, std::uint64_t thread_id, memory::ReadBatch& batch) {
    stack_ = modules_.find_stack(stack_pointer);
    pieces_.clear();
    if (stack_.contains(Address{thread_id})) stack_.end = Address{thread_id};
    const std::uint64_t size = std::min(stack_.size(), largest_copy);
    copy_.resize(static_cast<std::size_t>(size));
    const bool is_known = stack_.end == Address{thread_id};
    for (std::size_t at = 0; at < copy_.size();) {
      const std::uint64_t wanted = is_known           ? size
                                   : at < finely_read ? page - (stack_pointer + at).value % page
                                                      : coarse_piece;
      const auto piece =
          std::span{copy_}.subspan(at, static_cast<std::size_t>(std::min<std::uint64_t>(wanted, size - at)));
      pieces_.push_back({batch.add(stack_pointer + at, piece), piece.size()});
      at += piece.size();
    }
  }

  /// Unwinds what was read from `start` on into `record.native`, and flags how well that went. `python` are the frames
  /// of the same moment, leaf first. Modules that are new go to `sink`.
  void unwind(const unwind::Registers& start, std::span<const cpython::RawFrame> python, const memory::ReadBatch& batch,
              recording::SampleRecord& record, SampleSink& sink) {
    record.native.clear();
    std::size_t copied = 0;
    for (std::size_t i = 0; i < pieces_.size() && !batch.has_failed(pieces_[i].number); ++i) copied += pieces_[i].size;
    const memory::BufferMemory memory{stack_.begin, std::span{copy_}.first(copied)};
    const capture::NativeWalk walk =
        capture::capture_native(memory, modules_, start, stack_, find_anchors(python), learned_, frames_);
    for (const capture::NativeFrame& frame : std::span{frames_}.first(walk.depth))
      record.native.push_back(modules_.describe(frame, sink));
    record.flags = static_cast<std::uint16_t>(record.flags | recording::native_sample_flags(walk, anchors_.size()));
    modules_.look_again();
  }

 private:
  static constexpr std::uint64_t largest_copy = 512 * 1024;
  static constexpr std::size_t most_frames = 4096;
  static constexpr std::uint64_t page = 4096;
  static constexpr std::uint64_t finely_read = 32 * 1024;
  static constexpr std::uint64_t coarse_piece = 32 * 1024;

  /// A part of the copy, as the batch knows it.
  struct Piece {
    std::size_t number;
    std::size_t size;
  };

  /// What of Python's is on the C stack, innermost first. Up to 3.9 nothing is but what the eval loops work on.
  capture::PythonAnchors find_anchors(std::span<const cpython::RawFrame> python) {
    const bool has_anchors = !is_by_frame_object_ ||
                             std::any_of(python.begin(), python.end(), [](auto& frame) { return bool{frame.anchor}; });
    anchors_.clear();
    for (const cpython::RawFrame& frame : python)
      if (frame.is_entry) anchors_.push_back(has_anchors ? frame.anchor : frame.frame);
    return {.anchors = anchors_, .are_spilled = !has_anchors, .eval_code = modules_.eval_code()};
  }

  bool is_by_frame_object_;
  NativeModules modules_;
  capture::AnchorDistance learned_;
  std::vector<capture::NativeFrame> frames_;
  std::vector<Address> anchors_;
  std::vector<std::byte> copy_;
  AddressRange stack_{};
  std::vector<Piece> pieces_;
};

}  // namespace pyagent::inline v0::sampler
