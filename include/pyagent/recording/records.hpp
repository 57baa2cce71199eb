// What a recording holds, decoded: the vocabulary of its reader. May allocate
#pragma once

#include <chrono>    // nanoseconds
#include <cstdint>   // uint32_t
#include <iterator>  // size
#include <string>    // string
#include <vector>    // vector

#include "pyagent/base/address.hpp"
#include "pyagent/cpython/layout.hpp"
#include "pyagent/recording/native_frame_record.hpp"
#include "pyagent/recording/sample_flag.hpp"

namespace pyagent::inline v0::recording {

using CodeId = std::uint32_t;       ///< numbers code records of one recording, from 1
using ThreadIndex = std::uint32_t;  ///< numbers thread records of one recording, from 0

/// A code object, copied at first sight.
struct CodeRecord {
  CodeId id = 0;
  std::string name;            ///< co_name, UTF-8 with U+FFFD for lone surrogates
  std::string qualified_name;  ///< co_qualname (3.11 on), "Class.name" where the first argument showed it, or empty
  std::string filename;        ///< co_filename, UTF-8
  std::int32_t first_line = 0;
  cpython::LineTable line_format{};
  std::vector<std::byte> lines;  ///< the line table as it stands in the target
};

/// One frame of a sample: which code, which instruction.
struct FrameRecord {
  CodeId code = 0;
  std::int32_t instruction = 0;  ///< byte offset; negative before the first instruction
  bool is_entry = false;
};

/// A mapped file that native frames lie in. One that is mapped again elsewhere is another module.
struct ModuleRecord {
  ModuleId id = 0;
  std::string path{};           ///< as the process saw it when it was mapped
  std::string build_id{};       ///< raw bytes; empty where it has none
  AddressRange range{};         ///< where it was mapped
  std::uint64_t bias = 0;       ///< address in the process less address in the file, modulo 2^64
  bool is_interpreter = false;  ///< it holds the interpreter: libpython, or the program itself
};

/// One sample of one thread.
struct SampleRecord {
  ThreadIndex thread = 0;
  std::chrono::nanoseconds time{};  ///< CLOCK_MONOTONIC
  std::chrono::nanoseconds cpu{};   ///< CPU time the thread used since its last sample
  std::chrono::nanoseconds wall{};  ///< wall time of an off-CPU sample, else zero
  std::uint16_t flags = 0;          ///< SampleFlag bits
  std::uint32_t elided = 0;         ///< frames left out, between frames[elided_at - 1] and frames[elided_at]
  std::uint32_t elided_at = 0;
  std::vector<FrameRecord> frames;          ///< leaf first
  std::vector<NativeFrameRecord> native{};  ///< leaf first; empty: not recorded

  bool has(SampleFlag flag) const noexcept { return (flags & static_cast<std::uint16_t>(flag)) != 0; }
};

/// A thread of the process.
struct ThreadRecord {
  ThreadIndex index = 0;
  std::int32_t tid = 0;         ///< kernel thread id
  std::uint64_t thread_id = 0;  ///< threading.get_ident(): the pthread_t; 0 if it never ran Python
  bool is_main = false;
  std::string name;                    ///< from threading, else the kernel's; "MainThread" for the main one
  std::chrono::nanoseconds cpu{};      ///< CPU time by the thread's own clock while it was sampled
  std::chrono::nanoseconds sampled{};  ///< CPU time that its samples account for
};

/// The process and how it was sampled.
struct ProcessRecord {
  std::int32_t pid = 0;
  std::int32_t parent = 0;
  std::vector<std::string> command;
  std::string executable;
  std::string python_version;  ///< "3.13.0", with "t" and "d" for free-threaded and debug builds
  std::string engine;          ///< "cpu"
  std::chrono::nanoseconds interval{};
  std::chrono::nanoseconds started{};             ///< CLOCK_MONOTONIC
  std::chrono::nanoseconds started_wall_clock{};  ///< CLOCK_REALTIME at the same moment
};

/// What was counted while sampling; every sample that did not become a whole stack is here.
struct Counters {
  std::uint64_t samples = 0;         ///< samples with a Python stack
  std::uint64_t without_python = 0;  ///< samples of a thread that was not running Python
  std::uint64_t repaired = 0;
  std::uint64_t suspect = 0;
  std::uint64_t unreadable = 0;
  std::uint64_t elided = 0;              ///< samples whose middle was left out
  std::uint64_t dropped = 0;             ///< samples that could not be stored
  std::uint64_t unsampled_threads = 0;   ///< threads that could not be given a timer
  std::uint64_t missed_ticks = 0;        ///< moments at which a sample was due and none was taken: the sampler was late
  std::uint64_t stop_timeouts = 0;       ///< threads that did not stop within the budget, per sample
  std::uint64_t dropped_changed = 0;     ///< of the dropped: the stack changed each time it was read
  std::uint64_t dropped_invalid = 0;     ///< of the dropped: what was read is no whole chain of frames
  std::uint64_t dropped_unreadable = 0;  ///< of the dropped: memory could not be read
  std::uint64_t unstopped_threads = 0;   ///< threads that could not be stopped, and were read while they ran
  // Of the samples with native frames, each counted once, as the worst that is true of it:
  std::uint64_t native_exact = 0;
  std::uint64_t native_resumed = 0;
  std::uint64_t native_scanned = 0;
  std::uint64_t native_python_tail = 0;
  std::uint64_t native_truncated = 0;
};

/// The counters in the order of `Counter`, which is that of the file.
inline constexpr std::uint64_t Counters::*counter_fields[] = {
    &Counters::samples,
    &Counters::without_python,
    &Counters::repaired,
    &Counters::suspect,
    &Counters::unreadable,
    &Counters::elided,
    &Counters::dropped,
    &Counters::unsampled_threads,
    &Counters::missed_ticks,
    &Counters::stop_timeouts,
    &Counters::dropped_changed,
    &Counters::dropped_invalid,
    &Counters::dropped_unreadable,
    &Counters::unstopped_threads,
    &Counters::native_exact,
    &Counters::native_resumed,
    &Counters::native_scanned,
    &Counters::native_python_tail,
    &Counters::native_truncated,
};
static_assert(sizeof(Counters) == std::size(counter_fields) * sizeof(std::uint64_t));

}  // namespace pyagent::inline v0::recording
