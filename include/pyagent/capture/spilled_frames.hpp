// Up to Python 3.9: which native frames are the eval loops of which frame objects. signal-safe
#pragma once

#include <algorithm>  // min
#include <array>      // array
#include <bit>        // countr_zero
#include <cstddef>    // byte, size_t
#include <cstdint>    // uint32_t
#include <cstdlib>    // abs
#include <cstring>    // memcpy
#include <span>       // span

#include "pyagent/capture/native_frame.hpp"
#include "pyagent/capture/python_anchors.hpp"
#include "pyagent/memory/memory.hpp"
#include "pyagent/unwind/code_map.hpp"
#include "pyagent/unwind/registers.hpp"

namespace pyagent::inline v0::capture {

namespace detail {

/// Pairs eval loops and frame objects, both innermost first. Each frame object has an eval loop of its own, which keeps
/// the object's address in its frame. So the two lists are one to one, but for the innermost end, where a loop was
/// entered before its frame object was linked, or the other way round, and for places where native frames were missed.
/// Addresses that earlier calls left on the stack may confirm a wrong pair; hence first the shift between the lists is
/// found that most pairs confirm, or that the outermost ends demand.
template <memory::Memory M, class Arch>
class SpilledFrames {
 public:
  SpilledFrames(const M& memory, const PythonAnchors& python, const unwind::BasicRegisters<Arch>& start,
                NativeFrames& frames) noexcept
      : memory_(memory), python_(python), start_(start), frames_(frames) {}

  /// Marks eval loops; gives how many. `reached_root`: the native frames are all there are.
  std::uint32_t pair(bool reached_root) noexcept {
    const auto groups = static_cast<std::int64_t>(python_.anchors.size());
    if (groups == 0) return 0;
    const int shift = find_shift(reached_root);
    std::uint32_t unpaired = shift < 0 ? static_cast<std::uint32_t>(-shift) : 0;
    next_ = shift > 0 ? static_cast<std::uint32_t>(shift) : 0;
    for (std::uint32_t i = 0; i < frames_.depth(); ++i) {
      if (!is_in_eval_code(i)) continue;
      if (unpaired != 0) {
        --unpaired;
        continue;
      }
      if (!take(i)) break;
    }
    const bool is_complete = reached_root && next_ == python_.anchors.size();
    if (!is_complete) {
      drop_run(frames_.depth());
      next_ = confirmed_;
    } else if (run_size_ != 0 && !keep_run(run_begin_)) {
      next_ = confirmed_;
    }
    return next_;
  }

  std::uint32_t skipped() const noexcept { return skipped_; }

 private:
  static constexpr int max_shift = 2;
  static constexpr std::uint32_t window = 8;           // frame objects that one eval loop is compared with
  static constexpr std::uint64_t max_searched = 4096;  // bytes of a frame
  static constexpr std::uint32_t max_scored = 64;      // eval loops that are asked which shift is right

  bool is_in_eval_code(std::uint32_t i) noexcept {
    const Address pc = unwind::lookup_address(frames_[i].pc, frames_[i].is_exact);
    for (const AddressRange& range : python_.eval_code)
      if (range.contains(pc)) return true;
    return false;
  }

  /// Frame object number first + b is in the frame of eval loop `i`: bit b.
  std::uint32_t find_objects(std::uint32_t i, std::uint32_t first) noexcept {
    if (first >= python_.anchors.size()) return 0;
    const auto wanted = python_.anchors.subspan(first, std::min<std::size_t>(window, python_.anchors.size() - first));
    std::uint32_t found = 0;
    const auto compare = [&](std::uint64_t word) {
      for (std::size_t b = 0; b < wanted.size(); ++b)
        if (wanted[b].value == word && word != 0) found |= 1U << b;
    };
    if (i == 0)
      for (unsigned number = 0; number < Arch::count; ++number)
        if (start_.is_exact(number)) compare(start_.values[number]);
    const Address sp = i == 0 ? start_.stack_pointer() : frames_[i - 1].cfa;
    const Address cfa = frames_[i].cfa;
    // What is at the top of the frame are registers of the caller, which may hold the caller's frame object.
    if (!sp || cfa < sp + Arch::saved_area) return found;
    const Address end = std::min(cfa - Arch::saved_area, sp + max_searched);
    std::array<std::byte, 256> words;
    for (Address at = sp; at < end; at = at + words.size()) {
      const auto piece = std::span{words}.first(std::min<std::uint64_t>(words.size(), (end - at) & ~std::uint64_t{7}));
      if (piece.empty() || memory_.read(at, piece) != Errc::ok) break;
      for (std::size_t offset = 0; offset < piece.size(); offset += 8) {
        std::uint64_t word = 0;
        std::memcpy(&word, words.data() + offset, sizeof word);
        compare(word);
      }
    }
    return found;
  }

  /// Eval loop k belongs to frame object k + shift.
  int find_shift(bool reached_root) noexcept {
    std::int64_t loops = 0;
    for (std::uint32_t i = 0; i < frames_.depth(); ++i) loops += is_in_eval_code(i) ? 1 : 0;
    const std::int64_t of_root = static_cast<std::int64_t>(python_.anchors.size()) - loops;
    is_one_to_one_ = reached_root && std::abs(of_root) <= max_shift;
    if (is_one_to_one_) return static_cast<int>(of_root);
    std::array<std::uint32_t, 2 * max_shift + 1> scores{};
    std::uint32_t k = 0;
    for (std::uint32_t i = 0; i < frames_.depth() && k < max_scored; ++i) {
      if (!is_in_eval_code(i)) continue;
      const std::uint32_t first = k < max_shift ? 0 : k - max_shift;
      const std::uint32_t found = find_objects(i, first);
      for (std::uint32_t s = 0; s < scores.size(); ++s)
        if (const std::uint32_t group = k + s;
            group >= max_shift + first && (found >> (group - max_shift - first) & 1) != 0)
          ++scores[s];
      ++k;
    }
    int best = 0;
    for (int shift = -max_shift; shift <= max_shift; ++shift)
      if (scores[static_cast<std::size_t>(shift + max_shift)] > scores[static_cast<std::size_t>(best + max_shift)])
        best = shift;
    return best;
  }

  /// Pairs eval loop `i` with the next frame object, or with one nearby that confirms it. False: no more can be paired.
  bool take(std::uint32_t& i) noexcept {
    const std::uint32_t base = confirmed_;
    const std::uint32_t found = find_objects(i, base);
    const std::uint32_t expected = next_ - base;
    if (expected < window && (found >> expected & 1) != 0) {
      const std::uint32_t before = frames_.depth();
      if (!keep_run(run_size_ != 0 ? run_begin_ : i)) return false;
      i += frames_.depth() - before;
      return confirm(i, next_);
    }
    // What an earlier call left on the stack may confirm another one (seen in 3.6 and 3.8); counted from the root, the
    // pair is right.
    if (found != 0 && !is_one_to_one_) return realign(i, base + static_cast<std::uint32_t>(std::countr_zero(found)));
    if (next_ >= python_.anchors.size()) return false;
    if (run_size_++ == 0) run_begin_ = i;
    frames_[i].is_eval = true;
    ++next_;
    return true;
  }

  /// Eval loop `i` is known to be that of `group`: unconfirmed ones before it were paired wrongly.
  bool realign(std::uint32_t& i, std::uint32_t group) noexcept {
    const std::uint32_t missing = group - confirmed_;
    drop_run(i);
    if (!frames_.insert_unfound_evals(i, missing)) return false;
    skipped_ += missing;
    i += missing;
    return confirm(i, group);
  }

  bool confirm(std::uint32_t i, std::uint32_t group) noexcept {
    frames_[i].is_eval = true;
    next_ = confirmed_ = group + 1;
    run_size_ = 0;
    return true;
  }

  /// The unconfirmed pairs stand, since as many frame objects as eval loops lie between confirmed ones. Frame objects
  /// further in than the first of all have no eval loop: they come before frame `at`.
  bool keep_run(std::uint32_t at) noexcept {
    const std::uint32_t missing = next_ - confirmed_ - run_size_;
    if (frames_.insert_unfound_evals(at, missing)) {
      skipped_ += missing;
      return true;
    }
    drop_run(frames_.depth());
    return false;
  }

  void drop_run(std::uint32_t end) noexcept {
    for (std::uint32_t i = run_begin_; run_size_ != 0 && i < end; ++i) frames_[i].is_eval = false;
    run_size_ = 0;
  }

  const M& memory_;
  const PythonAnchors& python_;
  const unwind::BasicRegisters<Arch>& start_;
  NativeFrames& frames_;
  std::uint32_t next_ = 0;       // frame object that is expected next
  std::uint32_t confirmed_ = 0;  // frame objects before this one are dealt with
  std::uint32_t run_begin_ = 0;  // first native frame of those paired since, unconfirmed
  std::uint32_t run_size_ = 0;
  std::uint32_t skipped_ = 0;
  bool is_one_to_one_ = false;  // both lists are whole at the root
};

}  // namespace detail

}  // namespace pyagent::inline v0::capture
