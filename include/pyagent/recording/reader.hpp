// Reads a recording: all of a whole one, and of a damaged one all that comes before the damage. May allocate
#pragma once

#include <algorithm>      // min
#include <cstddef>        // byte
#include <cstring>        // memcmp
#include <span>           // span
#include <string>         // string
#include <unordered_map>  // unordered_map
#include <vector>         // vector

#include "pyagent/base/byte_cursor.hpp"
#include "pyagent/base/result.hpp"
#include "pyagent/recording/file_format.hpp"
#include "pyagent/recording/records.hpp"

namespace pyagent::inline v0::recording {

/// A recording in memory. The bytes stay the caller's and must outlive the reader.
class Reader {
 public:
  /// Checks the whole file once.
  ///
  /// Errors: damaged (no recording at all), unsupported_version (of the file format), truncated (shorter than a
  /// header).
  ///         Damage further on is no error of `open`: see `damage`.
  static Result<Reader> open(std::span<const std::byte> bytes);

  /// Where and why reading stopped, `code == ok` if the recording is whole; `where` is the offset in the file.
  Error damage() const noexcept { return damage_; }

  const ProcessRecord& process() const noexcept { return process_; }
  const std::vector<ThreadRecord>& threads() const noexcept { return threads_; }
  const Counters& counters() const noexcept { return counters_; }
  /// In the order in which they stand in the file. Ids may be missing, and native frames may name such.
  const std::vector<ModuleRecord>& modules() const noexcept { return modules_; }

  /// Calls `take(const ModuleRecord&)` for each module.
  template <class Take>
  void for_each_module(Take&& take) const {
    for (const ModuleRecord& module : modules_) take(module);
  }

  /// Calls `take(const CodeRecord&)` for each code object.
  template <class Take>
  void for_each_code(Take&& take) const {
    CodeRecord code;
    visit([&](RecordKind kind, ByteCursor payload, BlockState&) {
      if (kind != RecordKind::code) return true;
      decode_code(payload, code);
      take(static_cast<const CodeRecord&>(code));
      return true;
    });
  }

  /// Calls `take(const SampleRecord&)` for each sample; those of one thread come in order of time.
  template <class Take>
  void for_each_sample(Take&& take) const {
    SampleRecord sample;
    visit([&](RecordKind kind, ByteCursor payload, BlockState& state) {
      if (kind == RecordKind::thread) return decode_thread(payload, state);
      if (kind != RecordKind::sample) return true;
      if (!decode_sample(payload, state, sample)) return false;
      sample.frames.assign(state.stack.rbegin(), state.stack.rend());
      if (state.has_native)
        sample.native.assign(state.native.rbegin(), state.native.rend());
      else
        sample.native.clear();
      take(static_cast<const SampleRecord&>(sample));
      return true;
    });
  }

 private:
  /// What samples of a block are coded against.
  struct BlockState {
    ThreadRecord thread;
    bool has_thread = false;
    std::chrono::nanoseconds time{};
    std::vector<FrameRecord> stack;  // root first, so that the shared part stays in place
    std::vector<NativeFrameRecord> native;
    bool has_native = false;  // the last sample had some
  };
  /// Threads by index, while `open` collects them. What is said of a thread may stand before its own record.
  struct ThreadList {
    std::vector<ThreadRecord> threads;
    std::vector<bool> has_record;
    std::unordered_map<ThreadIndex, std::size_t> places;

    /// The thread's entry, added if there is none, or null if there are too many.
    ThreadRecord* find_or_add(ThreadIndex index, bool is_record);
    std::vector<ThreadRecord> take_recorded();
  };
  static constexpr std::size_t max_depth = 65'536;
  static constexpr std::size_t max_threads = std::size_t{1} << 20;
  static constexpr std::size_t max_modules = std::size_t{1} << 20;
  static constexpr std::uint64_t max_time = (std::uint64_t{1} << 62) - 1;  // 146 years: two of them still add up

  // Calls take(kind, payload, state) for each record up to the damage; take gives false for a payload that can't be
  // right.
  template <class Take>
  Error visit(Take&& take) const;

  static std::string take_text(ByteCursor& payload);
  static bool take_time(ByteCursor& payload, std::chrono::nanoseconds& time);
  static bool decode_thread(ByteCursor payload, BlockState& state);
  static bool decode_code(ByteCursor payload, CodeRecord& code);
  static bool decode_module(ByteCursor payload, ModuleRecord& module);
  static bool decode_sample(ByteCursor payload, BlockState& state, SampleRecord& sample);
  static bool decode_native(ByteCursor& payload, BlockState& state);
  bool decode_process(ByteCursor payload);
  bool check_record(RecordKind kind, ByteCursor payload, BlockState& state, ThreadList& threads);

  std::span<const std::byte> bytes_;  // what is known to be whole
  std::uint64_t blocks_ = 0;
  Error damage_{};
  ProcessRecord process_;
  std::vector<ThreadRecord> threads_;
  std::vector<ModuleRecord> modules_;
  Counters counters_;
};

inline Result<Reader> Reader::open(std::span<const std::byte> bytes) {
  ByteCursor cursor{bytes};
  const auto header = cursor.take<FileHeader>();
  if (!cursor.ok()) return Error{Errc::truncated};
  if (std::memcmp(header.magic, file_magic, sizeof file_magic) != 0) return Error{Errc::damaged};
  if (header.version < oldest_file_version || header.version > file_version || header.block_size != block_size)
    return Error{Errc::unsupported_version};
  Reader reader;
  reader.bytes_ = bytes;
  reader.blocks_ = header.blocks;
  static_assert(std::size(counter_fields) <= counter_count);
  for (std::size_t i = 0; i < std::size(counter_fields); ++i) reader.counters_.*counter_fields[i] = header.counters[i];
  ThreadList threads;
  reader.damage_ = reader.visit([&](RecordKind kind, ByteCursor payload, BlockState& state) {
    return reader.check_record(kind, payload, state, threads);
  });
  reader.threads_ = threads.take_recorded();
  if (reader.damage_.code != Errc::ok)
    reader.bytes_ = bytes.first(static_cast<std::size_t>(reader.damage_.where.value));
  return reader;
}

template <class Take>
Error Reader::visit(Take&& take) const {
  std::uint64_t span = 1;
  for (std::uint64_t block = 1; block < blocks_; block += span) {
    const std::uint64_t start = block * block_size;
    if (start > bytes_.size()) return {Errc::truncated, {bytes_.size()}};
    ByteCursor cursor{bytes_.subspan(start)};
    const auto header = cursor.take<BlockHeader>();
    if (!cursor.ok()) return {Errc::truncated, {start}};
    span = 1;
    if (header.magic == 0) continue;  // reserved, and the process was killed before it began
    if (header.magic != block_magic || header.span == 0 || header.span > blocks_ - block ||
        header.committed > std::uint64_t{header.span} * block_size - sizeof header)
      return {Errc::damaged, {start}};
    span = header.span;
    BlockState state;
    const std::uint64_t end = cursor.offset() + header.committed;
    while (cursor.offset() < end) {
      const std::uint64_t where = start + cursor.offset();
      const auto kind = cursor.take<std::uint8_t>();
      const auto length = cursor.take_uleb128();
      if (!cursor.ok()) return {Errc::truncated, {where}};
      if (length > max_record_size || cursor.offset() + length > end) return {Errc::damaged, {where}};
      if (length > cursor.remaining()) return {Errc::truncated, {where}};
      if (!take(static_cast<RecordKind>(kind), ByteCursor{cursor.take_bytes(static_cast<std::size_t>(length))}, state))
        return {Errc::damaged, {where}};
    }
  }
  return {};
}

inline bool Reader::check_record(RecordKind kind, ByteCursor payload, BlockState& state, ThreadList& threads) {
  switch (kind) {
    case RecordKind::process:
      return decode_process(payload);
    case RecordKind::thread: {
      if (!decode_thread(payload, state)) return false;
      ThreadRecord* const thread = threads.find_or_add(state.thread.index, true);
      if (thread == nullptr) return false;
      thread->tid = state.thread.tid;
      thread->thread_id = state.thread.thread_id;
      thread->is_main = state.thread.is_main;
      return true;
    }
    case RecordKind::thread_name: {
      const auto index = static_cast<ThreadIndex>(payload.take_uleb128());
      auto name = take_text(payload);
      if (!payload.ok()) return false;
      ThreadRecord* const thread = threads.find_or_add(index, false);
      if (thread == nullptr) return false;
      thread->name = std::move(name);
      return true;
    }
    case RecordKind::thread_cpu: {
      const auto index = static_cast<ThreadIndex>(payload.take_uleb128());
      std::chrono::nanoseconds cpu, sampled;
      if (!take_time(payload, cpu) || !take_time(payload, sampled)) return false;
      ThreadRecord* const thread = threads.find_or_add(index, false);
      if (thread == nullptr) return false;
      thread->cpu = cpu;
      thread->sampled = sampled;
      return true;
    }
    case RecordKind::code: {
      CodeRecord code;
      return decode_code(payload, code);
    }
    case RecordKind::module: {
      ModuleRecord module;
      if (!decode_module(payload, module) || modules_.size() == max_modules) return false;
      modules_.push_back(std::move(module));
      return true;
    }
    case RecordKind::sample: {
      SampleRecord sample;
      return decode_sample(payload, state, sample);
    }
  }
  return true;  // a kind of a later version
}

inline ThreadRecord* Reader::ThreadList::find_or_add(ThreadIndex index, bool is_record) {
  if (threads.size() == max_threads && !places.contains(index)) return nullptr;
  const auto [place, is_new] = places.try_emplace(index, threads.size());
  if (is_new) {
    threads.emplace_back().index = index;
    has_record.push_back(is_record);
  }
  if (is_record) has_record[place->second] = true;
  return &threads[place->second];
}

inline std::vector<ThreadRecord> Reader::ThreadList::take_recorded() {
  std::size_t kept = 0;
  for (std::size_t i = 0; i < threads.size(); ++i)
    if (has_record[i] && kept++ != i) threads[kept - 1] = std::move(threads[i]);
  threads.resize(kept);
  return std::move(threads);
}

inline std::string Reader::take_text(ByteCursor& payload) {
  const auto bytes = payload.take_bytes(static_cast<std::size_t>(payload.take_uleb128()));
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

/// False when the payload ends or no clock says that.
inline bool Reader::take_time(ByteCursor& payload, std::chrono::nanoseconds& time) {
  const auto value = payload.take_uleb128();
  if (!payload.ok() || value > max_time) return false;
  time = std::chrono::nanoseconds{value};
  return true;
}

inline bool Reader::decode_process(ByteCursor payload) {
  ProcessRecord process;
  process.pid = static_cast<std::int32_t>(payload.take_uleb128());
  process.parent = static_cast<std::int32_t>(payload.take_uleb128());
  if (!take_time(payload, process.interval) || !take_time(payload, process.started) ||
      !take_time(payload, process.started_wall_clock))
    return false;
  process.engine = take_text(payload);
  process.python_version = take_text(payload);
  process.executable = take_text(payload);
  const std::string command = take_text(payload);
  for (std::size_t at = 0; at < command.size();) {
    const auto end = std::min(command.find('\0', at), command.size());
    process.command.push_back(command.substr(at, end - at));
    at = end + 1;
  }
  if (!payload.ok()) return false;
  process_ = std::move(process);
  return true;
}

inline bool Reader::decode_thread(ByteCursor payload, BlockState& state) {
  state.thread.index = static_cast<ThreadIndex>(payload.take_uleb128());
  state.thread.tid = static_cast<std::int32_t>(payload.take_uleb128());
  state.thread.thread_id = payload.take_uleb128();
  state.thread.is_main = payload.take<std::uint8_t>() != 0;
  if (!take_time(payload, state.time)) return false;
  state.has_thread = true;
  state.stack.clear();
  state.native.clear();
  return true;
}

inline bool Reader::decode_code(ByteCursor payload, CodeRecord& code) {
  code.id = static_cast<CodeId>(payload.take_uleb128());
  code.first_line = static_cast<std::int32_t>(payload.take_zigzag());
  const auto format = payload.take<std::uint8_t>();
  code.line_format = static_cast<cpython::LineTable>(format);
  code.name = take_text(payload);
  code.qualified_name = take_text(payload);
  code.filename = take_text(payload);
  const auto lines = payload.take_bytes(static_cast<std::size_t>(payload.take_uleb128()));
  code.lines.assign(lines.begin(), lines.end());
  return payload.ok() && format <= static_cast<std::uint8_t>(cpython::LineTable::locations);
}

inline bool Reader::decode_module(ByteCursor payload, ModuleRecord& module) {
  const auto id = payload.take_uleb128();
  module.id = static_cast<ModuleId>(id);
  module.range.begin = {payload.take_uleb128()};
  module.range.end = {payload.take_uleb128()};
  module.bias = payload.take_uleb128();
  module.is_interpreter = payload.take<std::uint8_t>() != 0;
  module.path = take_text(payload);
  module.build_id = take_text(payload);
  return payload.ok() && id != 0 && id == module.id && module.range.begin <= module.range.end;
}

/// Everything but the frames: they are `state.stack` and `state.native`, from their ends.
inline bool Reader::decode_sample(ByteCursor payload, BlockState& state, SampleRecord& sample) {
  if (!state.has_thread) return false;
  sample.thread = state.thread.index;
  sample.flags = static_cast<std::uint16_t>(payload.take_uleb128());
  std::chrono::nanoseconds since_last;
  if (!take_time(payload, since_last) || !take_time(payload, sample.cpu) || !take_time(payload, sample.wall))
    return false;
  sample.time = state.time += since_last;
  if (sample.time.count() > static_cast<std::int64_t>(max_time)) return false;
  sample.elided = static_cast<std::uint32_t>(payload.take_uleb128());
  sample.elided_at = static_cast<std::uint32_t>(payload.take_uleb128());
  const auto shared = payload.take_uleb128();
  const auto fresh = payload.take_uleb128();
  if (!payload.ok() || shared > state.stack.size() || fresh > payload.remaining() || shared + fresh > max_depth)
    return false;
  state.stack.resize(shared + fresh);
  for (auto place = state.stack.rbegin(); place != state.stack.rend() - static_cast<std::ptrdiff_t>(shared); ++place) {
    const auto code = payload.take_uleb128();
    *place = {.code = static_cast<CodeId>(code >> 1),
              .instruction = static_cast<std::int32_t>(payload.take_zigzag()),
              .is_entry = (code & 1) != 0};
  }
  if (!payload.ok() || sample.elided_at > state.stack.size()) return false;
  state.has_native = !payload.at_end();
  return !state.has_native || decode_native(payload, state);
}

inline bool Reader::decode_native(ByteCursor& payload, BlockState& state) {
  const auto shared = payload.take_uleb128();
  const auto fresh = payload.take_uleb128();
  if (!payload.ok() || shared > state.native.size() || fresh > payload.remaining() || shared + fresh > max_depth)
    return false;
  state.native.resize(shared + fresh);
  for (auto place = state.native.rbegin(); place != state.native.rend() - static_cast<std::ptrdiff_t>(shared);
       ++place) {
    const auto module = payload.take_uleb128();
    if (module >> native_flag_bits > 0xffff'ffff) return false;
    *place = {.module = static_cast<ModuleId>(module >> native_flag_bits),
              .address = payload.take_uleb128(),
              .flags = static_cast<std::uint8_t>(module & ((1u << native_flag_bits) - 1))};
  }
  return payload.ok();
}

}  // namespace pyagent::inline v0::recording
