// The code objects that were seen in a process, and the proof that one is still what it was.
#pragma once

#include <cstdint>        // uint64_t
#include <deque>          // deque
#include <unordered_map>  // unordered_map
#include <vector>         // vector

#include "pyagent/cpython/raw_code.hpp"
#include "pyagent/interpreter/runtime.hpp"
#include "pyagent/memory/snapshot.hpp"
#include "pyagent/recording/records.hpp"

namespace pyagent::inline v0::sampler {

/// One code object, as it was when it was last looked at.
struct KnownCode {
  Address address;
  cpython::RawCode raw;
  cpython::CodeShape shape;
  std::uint64_t identity = 0;
  std::uint64_t generation = 0;  ///< at which it was last proven to be the same
  std::uint64_t sample = 0;      ///< in which it was last proven to be the same
  recording::CodeId id = 0;      ///< 0: the sink does not know it yet
};

/// Code objects by address. An address names a code object only for a while, so each sample proves anew that it is the
/// one that was seen there: by the number of code objects the interpreter has freed (3.14 on), by the object's own
/// version number (3.12 on), or by its contents (cpython::code_identity).
class CodeCache {
 public:
  explicit CodeCache(const interpreter::Runtime& runtime) : runtime_(runtime), slots_(first_size) {}

  /// Begins a sample of a thread of `interpreter`. `memory` holds what is read for proofs, and outlives the sample.
  void begin(const memory::Snapshot& memory, Address interpreter) {
    memory_ = &memory;
    ++sample_;
    generation_ = 0;
    const auto offset = runtime_.layout.interpreter.code_object_generation;
    if (offset == cpython::absent || !interpreter) return;
    if (const auto freed = memory::read_value<std::uint64_t>(memory, interpreter + offset))
      generation_ = cpython::mix(interpreter.value, *freed) | 1;
  }

  /// What a walk needs to know of the code object at `code`.
  ///
  /// Errors: unreadable; wrong_type if it is none.
  Result<cpython::CodeShape> shape(Address code) noexcept {
    const KnownCode* const known = find(code);
    if (known == nullptr) return last_error_;
    return known->shape;
  }

  /// The code object at `code`, proven in this sample, or null.
  KnownCode* find(Address code) noexcept {
    if (last_ != nullptr && last_->address == code && last_->sample == sample_) return last_;
    if (!code || code.value % 8 != 0) return last_error_ = {Errc::wrong_type, code}, nullptr;
    KnownCode* known = find_slot(code);
    if (known == nullptr || !is_proven(*known)) {
      const auto seen = look_at(code);
      if (!seen) return last_error_ = seen.error(), nullptr;
      if (known == nullptr)
        known = &add(*seen);
      else if (known->identity != seen->identity)
        *known = *seen;
      known->generation = generation_;
    }
    known->sample = sample_;
    return last_ = known;
  }

  /// Whether the code object of `known` is at this moment, by a new look through `memory`, the one that was seen.
  bool is_same(const KnownCode& known, const memory::Snapshot& memory) noexcept {
    const memory::Snapshot* const before = memory_;
    memory_ = &memory;
    const auto seen = look_at(known.address);
    memory_ = before;
    return seen && seen->identity == known.identity;
  }

 private:
  static constexpr std::size_t first_size = 1024;
  static constexpr std::size_t most = 1 << 20;

  bool is_proven(const KnownCode& known) const noexcept {
    return known.sample == sample_ || (generation_ != 0 && known.generation == generation_);
  }

  Result<KnownCode> look_at(Address code) noexcept {
    const cpython::Layout& layout = runtime_.layout;
    const auto raw = cpython::read_raw_code(*memory_, layout, code);
    if (!raw) return raw.error();
    if (raw->type != runtime_.code_type) return Error{Errc::wrong_type, code};
    KnownCode seen{.address = code, .raw = *raw, .shape = cpython::shape_of(layout, code, *raw)};
    if (raw->version != 0) {
      seen.identity = cpython::mix(raw->version, raw->name.value);
      seen.identity = cpython::mix(cpython::mix(seen.identity, raw->filename.value), raw->lines.value);
    } else {
      seen.identity = cpython::code_identity(*memory_, layout, *raw);
    }
    return seen;
  }

  static std::size_t place(Address code, std::size_t size) noexcept {
    return (code.value * 0x9e3779b97f4a7c15u >> 32) & (size - 1);
  }

  KnownCode*& find_slot(Address code) noexcept {
    std::size_t at = place(code, slots_.size());
    while (slots_[at] != nullptr && slots_[at]->address != code) at = (at + 1) & (slots_.size() - 1);
    return slots_[at];
  }

  KnownCode& add(const KnownCode& seen) {
    if (entries_.size() == most) {  // a program that makes code without end: begin anew, under new ids
      entries_.clear();
      slots_.assign(first_size, nullptr);
    }
    KnownCode& added = entries_.emplace_back(seen);
    find_slot(seen.address) = &added;
    if (entries_.size() * 2 >= slots_.size()) {
      slots_.assign(slots_.size() * 2, nullptr);
      for (KnownCode& entry : entries_) find_slot(entry.address) = &entry;
    }
    return added;
  }

  const interpreter::Runtime& runtime_;
  const memory::Snapshot* memory_ = nullptr;
  std::uint64_t sample_ = 0;
  std::uint64_t generation_ = 0;
  KnownCode* last_ = nullptr;
  Error last_error_{};
  std::deque<KnownCode> entries_;
  std::vector<KnownCode*> slots_;
};

}  // namespace pyagent::inline v0::sampler
