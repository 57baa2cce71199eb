// Writes the records of one thread after another into blocks of a spool. signal-safe
#pragma once

#include <algorithm>  // copy, max, min
#include <atomic>     // atomic_ref
#include <cstdint>    // uint32_t
#include <cstring>    // memcpy
#include <span>       // span

#include "pyagent/base/address.hpp"
#include "pyagent/base/result.hpp"
#include "pyagent/recording/encoder.hpp"
#include "pyagent/recording/file_format.hpp"
#include "pyagent/recording/native_frame_record.hpp"
#include "pyagent/recording/spool.hpp"

namespace pyagent::inline v0::recording {

/// A frame as samples store it.
struct CodedFrame {
  std::uint32_t code = 0;  ///< code id * 2 + is_entry
  std::int32_t instruction = 0;

  friend constexpr bool operator==(const CodedFrame&, const CodedFrame&) noexcept = default;
};

/// What a sample stores besides its stack.
struct SampleHead {
  std::uint64_t time = 0;  ///< CLOCK_MONOTONIC, nanoseconds
  std::uint64_t cpu = 0;
  std::uint64_t wall = 0;
  std::uint32_t flags = 0;
  std::uint32_t elided = 0;
  std::uint32_t elided_at = 0;
};

/// Which thread the following samples are of.
struct ThreadHead {
  std::uint32_t index = 0;
  std::int32_t tid = 0;
  std::uint64_t thread_id = 0;
  bool is_main = false;
};

/// What a code record holds.
struct CodeHead {
  std::uint32_t id = 0;
  std::int32_t first_line = 0;
  std::uint8_t line_format = 0;
};

/// What a module record holds besides its texts.
struct ModuleHead {
  ModuleId id = 0;
  AddressRange range{};
  std::uint64_t bias = 0;
  bool is_interpreter = false;
};

/// The writer of one stream. Each call appends one whole record or, when the spool gives no room, none.
/// One thread at a time may use it. `previous` and `previous_native` are storage for the stacks that samples are coded
/// against, leaf first; deeper ones than they hold are refused.
class StreamWriter {
 public:
  StreamWriter() = default;
  StreamWriter(Spool& spool, std::uint32_t stream, std::span<CodedFrame> previous,
               std::span<NativeFrameRecord> previous_native = {}) noexcept
      : spool_(&spool), stream_(stream), previous_(previous), previous_native_(previous_native) {}

  bool is_bound() const noexcept { return spool_ != nullptr; }

  /// Storage for native stacks, where it is not known from the start that there are any.
  void keep_native(std::span<NativeFrameRecord> previous_native) noexcept {
    previous_native_ = previous_native;
    previous_native_size_ = 0;
  }

  /// Turns to another thread; its record is written with its next sample.
  void begin_thread(const ThreadHead& thread) noexcept {
    thread_ = thread;
    needs_thread_ = true;
  }

  Errc write_sample(const SampleHead& head, std::span<const CodedFrame> stack,
                    std::span<const NativeFrameRecord> native = {}) noexcept {
    if (stack.size() > previous_.size() || native.size() > previous_native_.size()) return Errc::too_large;
    const std::size_t worst = 100 + 10 * stack.size() + 16 * native.size();
    // A stack rarely changes as a whole, so first try to put what is new into the room there is.
    if (block_.header != nullptr && !needs_thread_ && write_sample_here(head, stack, native)) return Errc::ok;
    if (const Errc failed = ensure_room(worst); failed != Errc::ok) return failed;
    if (needs_thread_) write_thread(head.time);
    return write_sample_here(head, stack, native) ? Errc::ok : Errc::too_large;
  }

  /// A module. Long paths are cut; a build-id that is too long for one is left out, since half of one names nothing.
  Errc write_module(const ModuleHead& module, std::span<const char> path,
                    std::span<const std::byte> build_id) noexcept {
    constexpr std::size_t longest_path = 4096;
    constexpr std::size_t longest_build_id = 256;
    const auto shortened = path.first(std::min(path.size(), longest_path));
    if (build_id.size() > longest_build_id) build_id = {};
    return write(RecordKind::module, 64 + shortened.size() + build_id.size(), [&](Encoder& out) {
      out.put_uleb(module.id);
      out.put_uleb(module.range.begin.value);
      out.put_uleb(module.range.end.value);
      out.put_uleb(module.bias);
      out.put_byte(module.is_interpreter);
      out.put_text(shortened);
      out.put_text(build_id);
    });
  }

  Errc write_thread_name(std::uint32_t index, std::span<const char> name) noexcept {
    const auto shortened = name.first(std::min<std::size_t>(name.size(), 4096));
    return write(RecordKind::thread_name, 16 + shortened.size(), [&](Encoder& out) {
      out.put_uleb(index);
      out.put_text(shortened);
    });
  }

  Errc write_thread_cpu(std::uint32_t index, std::uint64_t cpu, std::uint64_t sampled) noexcept {
    return write(RecordKind::thread_cpu, 32, [&](Encoder& out) {
      out.put_uleb(index);
      out.put_uleb(cpu);
      out.put_uleb(sampled);
    });
  }

  /// `read_lines(span)` fills the span with the line table and says whether it could; else the record has none.
  template <class ReadLines>
  Errc write_code(const CodeHead& code, std::span<const char> name, std::span<const char> qualified_name,
                  std::span<const char> filename, std::size_t line_bytes, ReadLines&& read_lines) noexcept {
    const std::size_t texts = 64 + name.size() + qualified_name.size() + filename.size();
    if (texts + line_bytes > max_record_size) line_bytes = 0;
    return write(RecordKind::code, texts + line_bytes, [&](Encoder& out) {
      out.put_uleb(code.id);
      out.put_sleb(code.first_line);
      out.put_byte(code.line_format);
      out.put_text(name);
      out.put_text(qualified_name);
      out.put_text(filename);
      const Encoder before_lines = out;
      out.put_uleb(line_bytes);
      if (const auto lines = out.reserve(line_bytes); lines.size() != line_bytes || !read_lines(lines)) {
        out = before_lines;
        out.put_uleb(0);
      }
    });
  }

  /// A record whose payload is given as it is, of at most max_record_size bytes.
  Errc write_payload(RecordKind kind, std::span<const std::byte> payload) noexcept {
    return write(kind, payload.size(), [&](Encoder& out) {
      if (const auto room = out.reserve(payload.size()); !room.empty())
        std::memcpy(room.data(), payload.data(), payload.size());
    });
  }

 private:
  // kind, then the length in a fixed four bytes of LEB128, so that the payload can be written in its place
  static constexpr std::size_t record_head = 5;

  Errc ensure_room(std::size_t payload) noexcept {
    if (payload > max_record_size) return Errc::too_large;
    const std::size_t need = payload + record_head + 64;  // 64: a thread record may have to go before
    if (block_.header != nullptr && need <= block_.records.size() - used_) return Errc::ok;
    const auto span = static_cast<std::uint32_t>((need + sizeof(BlockHeader) + block_size - 1) / block_size);
    const auto block = spool_->acquire(stream_, span);
    if (!block) return block.error().code;
    block_ = *block;
    used_ = 0;
    needs_thread_ = true;
    return Errc::ok;
  }

  template <class Fill>
  Errc write(RecordKind kind, std::size_t largest, Fill&& fill) noexcept {
    if (const Errc failed = ensure_room(largest); failed != Errc::ok) return failed;
    return append(kind, fill) ? Errc::ok : Errc::too_large;
  }

  template <class Fill>
  bool append(RecordKind kind, Fill&& fill) noexcept {
    const auto room = block_.records.subspan(used_);
    if (room.size() < record_head) return false;
    Encoder out{room.subspan(record_head)};
    fill(out);
    if (!out.ok()) return false;
    std::uint64_t length = out.size();
    room[0] = static_cast<std::byte>(kind);
    for (std::size_t i = 1; i < record_head; ++i, length >>= 7)
      room[i] = static_cast<std::byte>((length & 0x7f) | (i + 1 < record_head ? 0x80 : 0));
    used_ += record_head + out.size();
    std::atomic_ref{block_.header->committed}.store(used_, std::memory_order_release);
    return true;
  }

  void write_thread(std::uint64_t time) noexcept {
    needs_thread_ = !append(RecordKind::thread, [&](Encoder& out) {
      out.put_uleb(thread_.index);
      out.put_uleb(static_cast<std::uint32_t>(thread_.tid));
      out.put_uleb(thread_.thread_id);
      out.put_byte(thread_.is_main);
      out.put_uleb(time);
    });
    previous_size_ = 0;
    previous_native_size_ = 0;
    previous_time_ = time;
  }

  /// How many of the root-most frames of both stacks are the same.
  template <class F>
  static std::size_t count_shared(std::span<const F> stack, std::span<const F> previous) noexcept {
    std::size_t shared = 0;
    const std::size_t most = std::min(stack.size(), previous.size());
    while (shared < most && stack[stack.size() - 1 - shared] == previous[previous.size() - 1 - shared]) ++shared;
    return shared;
  }

  bool write_sample_here(const SampleHead& head, std::span<const CodedFrame> stack,
                         std::span<const NativeFrameRecord> native) noexcept {
    const std::size_t shared = count_shared<CodedFrame>(stack, previous_.first(previous_size_));
    const std::size_t shared_native =
        count_shared<NativeFrameRecord>(native, previous_native_.first(previous_native_size_));
    const auto fresh = stack.first(stack.size() - shared);
    const bool written = append(RecordKind::sample, [&](Encoder& out) {
      out.put_uleb(head.flags);
      out.put_uleb(head.time - std::min(head.time, previous_time_));
      out.put_uleb(head.cpu);
      out.put_uleb(head.wall);
      out.put_uleb(head.elided);
      out.put_uleb(head.elided_at);
      out.put_uleb(shared);
      out.put_uleb(fresh.size());
      for (const CodedFrame& frame : fresh) {
        out.put_uleb(frame.code);
        out.put_sleb(frame.instruction);
      }
      if (native.empty()) return;
      out.put_uleb(shared_native);
      out.put_uleb(native.size() - shared_native);
      for (const NativeFrameRecord& frame : native.first(native.size() - shared_native)) {
        out.put_uleb(std::uint64_t{frame.module} << native_flag_bits | (frame.flags & ((1u << native_flag_bits) - 1)));
        out.put_uleb(frame.address);
      }
    });
    if (!written) return false;
    if (!native.empty()) {
      std::copy(native.begin(), native.end(), previous_native_.begin());
      previous_native_size_ = static_cast<std::uint32_t>(native.size());
    }
    std::copy(stack.begin(), stack.end(), previous_.begin());
    previous_size_ = static_cast<std::uint32_t>(stack.size());
    previous_time_ = std::max(head.time, previous_time_);
    return true;
  }

  Spool* spool_ = nullptr;
  Block block_{};
  std::size_t used_ = 0;
  std::uint32_t stream_ = 0;
  ThreadHead thread_{};
  bool needs_thread_ = true;
  std::span<CodedFrame> previous_;
  std::span<NativeFrameRecord> previous_native_;
  std::uint32_t previous_size_ = 0;
  std::uint32_t previous_native_size_ = 0;
  std::uint64_t previous_time_ = 0;
};

}  // namespace pyagent::inline v0::recording
