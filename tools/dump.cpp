// Prints what the threads of one process, or of a tree of processes, are doing.
#include "dump.hpp"

#include <algorithm>    // find_if
#include <cstdint>      // int64_t, uint64_t
#include <cstdio>       // fwrite, fflush
#include <optional>     // optional
#include <string>       // string
#include <string_view>  // string_view
#include <utility>      // move
#include <vector>       // vector

#include "attach.hpp"
#include "permissions.hpp"
#include "process_dump.hpp"
#include "pyagent/format/json.hpp"
#include "pyagent/process/children.hpp"
#include "say.hpp"
#include "terminal_text.hpp"

namespace pyagent::tools {
namespace {

using recording::SampleFlag;

std::string command_text(const recording::ProcessRecord& process) {
  std::string text;
  for (const std::string& argument : process.command) text += (text.empty() ? "" : " ") + argument;
  return terminal_text(text.empty() ? process.executable : text);
}

// --- text, as py-spy writes it ---

std::string header_text(const ProcessDump& dump, const ProcessDump* parent) {
  std::string text = "Process " + std::to_string(dump.process.pid) + ": " + command_text(dump.process) + "\nPython v" +
                     dump.process.python_version + " (" + terminal_text(dump.process.executable) + ")\n";
  if (parent != nullptr)
    text += "Parent Process " + std::to_string(parent->process.pid) + ": " + command_text(parent->process) + '\n';
  return text + '\n';
}

/// What py-spy has no word for.
std::string remarks(const DumpedThread& thread) {
  std::string text;
  const auto add = [&](bool is_so, const char* remark) {
    if (is_so) text += std::string{text.empty() ? " (" : ", "} + remark;
  };
  add(thread.has(SampleFlag::waits_for_gil), "waiting for the GIL");
  add(thread.has(SampleFlag::collects), "garbage collecting");
  add(thread.has(SampleFlag::suspect), "frames may be missing");
  add(thread.has(SampleFlag::unreadable), "not all of its frames could be read");
  add(!thread.is_read, "its frames could not be read");
  return text + (text.empty() ? "" : ")");
}

std::string thread_text(const DumpedThread& thread, bool is_free_threaded) {
  const bool shows_gil = thread.has(SampleFlag::holds_gil) && !is_free_threaded;
  const std::string state = !thread.is_read ? "unknown" : thread.is_running || shows_gil ? "active" : "idle";
  const std::string name = thread.record.name.empty() ? "" : ": \"" + terminal_text(thread.record.name) + '"';
  return "Thread " + std::to_string(thread.record.tid) + " (" + state + (shows_gil ? "+gil" : "") + ')' + name +
         remarks(thread) + '\n';
}

std::string locals_text(const std::vector<interpreter::Local>& locals, bool are_arguments) {
  std::string text;
  for (const interpreter::Local& local : locals)
    if (local.is_argument == are_arguments)
      text += "            " + terminal_text(local.name) + ": " + terminal_text(local.value) + '\n';
  if (text.empty()) return text;
  return (are_arguments ? "        Arguments:\n" : "        Locals:\n") + text;
}

std::string left_out_text(std::uint32_t frames) { return '[' + std::to_string(frames) + " frames left out]"; }

std::string frame_text(const DumpedFrame& frame, const DumpOptions& options) {
  const std::string file = terminal_text(options.full_filenames ? frame.filename : frame.short_filename);
  const std::string line = frame.line > 0 ? ":" + std::to_string(frame.line) : "";
  const std::string place = file.empty() ? "" : " (" + file + line + ")";
  return (frame.left_out != 0 ? "    " + left_out_text(frame.left_out) + '\n' : "") + "    " +
         terminal_text(frame.name) + place + '\n' + locals_text(frame.locals, true) +
         locals_text(frame.locals, false);
}

std::string dump_text(const ProcessDump& dump, const ProcessDump* parent, const DumpOptions& options) {
  std::string text = header_text(dump, parent);
  for (const DumpedThread& thread : dump.threads) {
    text += thread_text(thread, dump.is_free_threaded);
    for (const DumpedFrame& frame : thread.frames) text += frame_text(frame, options);
  }
  return text;
}

// --- JSON, with py-spy's fields ---

using Json = format::JsonWriter<format::StringSink>;

void write_string(Json& json, std::string_view key, std::string_view text) {
  json.key(key);
  json.string(text);
}
void write_number(Json& json, std::string_view key, std::int64_t number) {
  json.key(key);
  json.number_text(std::to_string(number));
}
void write_address(Json& json, std::string_view key, std::uint64_t number) {
  json.key(key);
  json.number(number);
}
void write_bool(Json& json, std::string_view key, bool value) {
  json.key(key);
  json.number_text(value ? "true" : "false");
}
void write_null(Json& json, std::string_view key) {
  json.key(key);
  json.number_text("null");
}

void write_locals(Json& json, const std::vector<interpreter::Local>& locals) {
  json.key("locals");
  json.begin_array();
  for (const interpreter::Local& local : locals) {
    json.begin_object();
    write_string(json, "name", local.name);
    write_address(json, "addr", local.address.value);
    write_bool(json, "arg", local.is_argument);
    write_string(json, "repr", local.value);
    json.end_object();
  }
  json.end_array();
}

void write_frame(Json& json, const DumpedFrame& frame, bool has_locals, bool is_shim_entry) {
  json.begin_object();
  write_string(json, "name", frame.name);
  write_string(json, "filename", frame.filename);
  if (frame.module.empty())
    write_null(json, "module");
  else
    write_string(json, "module", frame.module);
  write_string(json, "short_filename", frame.short_filename);
  write_number(json, "line", frame.line);
  if (has_locals)
    write_locals(json, frame.locals);
  else
    write_null(json, "locals");
  write_bool(json, "is_entry", frame.is_entry);
  write_bool(json, "is_shim_entry", is_shim_entry);
  json.end_object();
}

void write_thread(Json& json, const ProcessDump& dump, const DumpedThread& thread, bool has_locals) {
  const bool owns_gil = thread.has(SampleFlag::holds_gil) && !dump.is_free_threaded;
  json.begin_object();
  write_number(json, "pid", dump.process.pid);
  write_address(json, "thread_id", thread.record.thread_id);
  write_string(json, "thread_name", thread.record.name);
  write_number(json, "os_thread_id", thread.record.tid);
  write_bool(json, "active", thread.is_running || owns_gil);
  write_bool(json, "owns_gil", owns_gil);
  json.key("frames");
  json.begin_array();
  const auto outermost = std::find_if(thread.frames.rbegin(), thread.frames.rend(),
                                      [](const DumpedFrame& frame) { return !frame.is_native; });
  for (const DumpedFrame& frame : thread.frames) {
    if (frame.left_out != 0) {
      const std::string text = left_out_text(frame.left_out);
      write_frame(json, {.name = text, .filename = {}, .short_filename = {}}, has_locals, false);
    }
    const bool is_outermost = outermost != thread.frames.rend() && &frame == &*outermost;
    write_frame(json, frame, has_locals, is_outermost || (dump.has_shims && frame.is_entry));
  }
  json.end_array();
  write_null(json, "process_info");
  json.end_object();
}

std::string dump_json(const std::vector<ProcessDump>& dumps, bool has_locals) {
  format::StringSink sink;
  Json json{sink};
  json.begin_array();
  for (const ProcessDump& dump : dumps)
    for (const DumpedThread& thread : dump.threads) write_thread(json, dump, thread, has_locals);
  json.end_array();
  json.finish();
  return std::move(sink.text);
}

// --- processes ---

/// Looks at one process; what went wrong was said, unless it is a child without Python.
std::optional<ProcessDump> look_at(pid_t pid, const DumpOptions& options) {
  interpreter::FindFailure why;
  const bool is_child = pid != options.pid;
  const auto target = is_child ? sampler::attach(pid, &why) : attach_patiently(pid, why);
  if (!target) {
    const bool is_no_python = target.error().code == Errc::not_found || target.error().code == Errc::no_process;
    if (!is_child || !is_no_python) say(explain_attach_failure(pid, target.error(), why));
    return std::nullopt;
  }
  auto dump = read_dump(*target, options);
  if (dump) return std::move(*dump);
  const bool has_ended = dump.error().code == Errc::no_process;
  say("process " + describe_process(pid) +
      (has_ended ? " has ended, or runs another program now" : " can't be read any more"));
  return std::nullopt;
}

/// The process that is asked for and, if wanted, those below it, parents first.
std::vector<pid_t> list_processes(const DumpOptions& options) {
  constexpr std::size_t most = 4096;
  std::vector<pid_t> pids{options.pid};
  for (std::size_t i = 0; options.subprocesses && i < pids.size() && pids.size() < most; ++i)
    for (const pid_t child : process::read_children(pids[i])) pids.push_back(child);
  return pids;
}

const ProcessDump* find_parent(const std::vector<ProcessDump>& dumps, const ProcessDump& of) {
  for (const ProcessDump& dump : dumps)
    if (dump.process.pid == of.process.parent) return &dump;
  return nullptr;
}

std::string all_text(const std::vector<ProcessDump>& dumps, const DumpOptions& options) {
  std::string text;
  for (const ProcessDump& dump : dumps) {
    if (!text.empty()) text += '\n' + std::string(80, '-') + '\n';
    text += dump_text(dump, find_parent(dumps, dump), options);
  }
  return text;
}

}  // namespace

int dump(const DumpOptions& options) {
  std::vector<ProcessDump> dumps;
  for (const pid_t pid : list_processes(options)) {
    auto found = look_at(pid, options);
    if (found)
      dumps.push_back(std::move(*found));
    else if (pid == options.pid && !options.subprocesses)
      return exit_failed;
  }
  if (dumps.empty()) return exit_failed;
  const std::string text = options.json ? dump_json(dumps, options.locals != 0) : all_text(dumps, options);
  const bool is_written = std::fwrite(text.data(), 1, text.size(), stdout) == text.size() && std::fflush(stdout) == 0;
  return is_written ? 0 : fail("standard output can't be written");
}

}  // namespace pyagent::tools
