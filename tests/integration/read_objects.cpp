// Reads objects of another process and prints what they hold: `read_objects PID`, a question on each line of stdin, a
// line of JSON for each. test_objects.py asks and compares.
//
//   string ADDRESS ROOM          the text, cut to ROOM bytes, and whether it was cut
//   code ADDRESS BYTES STEP      names, first line, argument count, identity, and where each STEP-th byte of BYTES is
//   item DICT str|int KEY        address of the value
//   attribute OBJECT NAME        address of the value
//   thread THREAD_ID             name
//   class FRAME CODE             name of the class the method was written in
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <span>
#include <sstream>
#include <string>
#include <vector>

#include "pyagent/cpython/defining_class.hpp"
#include "pyagent/cpython/find_attribute.hpp"
#include "pyagent/cpython/line_table.hpp"
#include "pyagent/cpython/raw_code.hpp"
#include "pyagent/cpython/read_dict.hpp"
#include "pyagent/cpython/read_string.hpp"
#include "pyagent/cpython/thread_name.hpp"
#include "pyagent/format/json.hpp"
#include "pyagent/interpreter/find_runtime.hpp"
#include "pyagent/memory/remote_memory.hpp"

using namespace pyagent;

namespace {

constexpr std::size_t largest_text = 4'000'000;

std::string error_json(Error error) { return std::string{"{\"error\": \""} + message(error) + "\"}"; }

class ObjectReader {
 public:
  ObjectReader(memory::RemoteMemory memory, const interpreter::Runtime& runtime)
      : memory_(memory), layout_(runtime.layout), runtime_(runtime) {}

  std::string answer(const std::string& question) {
    std::istringstream words{question};
    std::string kind;
    words >> kind;
    const std::uint64_t first = take_number(words);
    if (kind == "string") return string({first}, take_number(words));
    if (kind == "code") {
      const std::uint64_t bytes = take_number(words);
      return describe_code({first}, bytes, take_number(words));
    }
    if (kind == "item") return item({first}, words);
    if (kind == "attribute") return attribute({first}, words);
    if (kind == "thread") return thread(first);
    if (kind == "class") return defining_class({first}, {take_number(words)});
    return error_json({Errc::not_found});
  }

 private:
  static std::uint64_t take_number(std::istringstream& words) {
    std::uint64_t number = 0;
    words >> number;
    return number;
  }

  static std::string quoted(std::string_view text) {
    std::string out;
    format::append_json_string(out, text);
    return out;
  }

  std::string text(const Result<cpython::StringPiece>& piece, std::span<const char> room) {
    return piece ? quoted({room.data(), piece->size}) : error_json(piece.error());
  }

  std::string string(Address at, std::uint64_t room) {
    std::vector<char> out(std::min<std::size_t>(room, largest_text));
    const auto piece = cpython::read_string(memory_, layout_, at, out);
    if (!piece) return error_json(piece.error());
    return "{\"text\": " + text(piece, out) + ", \"is_cut\": " + (piece->is_cut ? "true" : "false") + "}";
  }

  std::string short_string(Address at) {
    std::vector<char> out(4096);
    return text(cpython::read_string(memory_, layout_, at, out), out);
  }

  std::string address(const Result<Address>& found) {
    return found ? std::to_string(found->value) : error_json(found.error());
  }

  std::string describe_code(Address at, std::uint64_t bytes, std::uint64_t step) {
    const auto code = cpython::read_raw_code(memory_, layout_, at);
    if (!code) return error_json(code.error());
    const auto size = memory::read_value<std::uint64_t>(memory_, code->lines + layout_.object.var_size);
    if (!size || *size > largest_text) return error_json({Errc::too_large});
    std::vector<std::byte> lines(*size);
    if (const Errc failed = memory_.read(code->lines + layout_.bytes.data, lines); failed != Errc::ok && *size != 0)
      return error_json({failed});
    std::string out = "{\"name\": " + short_string(code->name) + ", \"filename\": " + short_string(code->filename) +
                      ", \"qualname\": " + (code->qualname ? short_string(code->qualname) : "null") +
                      ", \"first_line\": " + std::to_string(code->first_line) +
                      ", \"argcount\": " + std::to_string(code->argcount) +
                      ", \"identity\": " + std::to_string(cpython::code_identity(memory_, layout_, *code)) + ", \"locations\": [";
    for (std::uint64_t at_byte = 0; at_byte < bytes; at_byte += step) {
      const auto place = cpython::find_location(layout_.line_table, lines, code->first_line, static_cast<std::int32_t>(at_byte));
      if (at_byte != 0) out += ", ";
      out += '[' + std::to_string(place.line) + ", " + std::to_string(place.end_line) + ", " + std::to_string(place.column) + ", " +
             std::to_string(place.end_column) + ']';
    }
    return out + "]}";
  }

  std::string item(Address dict, std::istringstream& words) {
    std::string type, key;
    words >> type >> key;
    if (type == "int") return address(cpython::find_in_dict(memory_, layout_, dict, std::uint64_t{std::stoull(key)}));
    return address(cpython::find_in_dict(memory_, layout_, dict, std::string_view{key}));
  }

  std::string attribute(Address object, std::istringstream& words) {
    std::string name;
    words >> name;
    return address(cpython::find_attribute(memory_, layout_, object, name));
  }

  std::string thread(std::uint64_t id) {
    const auto head = memory::read_pointer(memory_, runtime_.interpreter_head);
    if (!head) return error_json(head.error());
    std::vector<char> out(4096);
    return text(cpython::read_thread_name(memory_, layout_, *head, id, out), out);
  }

  std::string defining_class(Address frame, Address at) {
    const auto code = cpython::read_raw_code(memory_, layout_, at);
    if (!code) return error_json(code.error());
    std::vector<char> out(4096);
    return text(cpython::read_defining_class(memory_, layout_, frame, at, *code, out), out);
  }

  memory::RemoteMemory memory_;
  const cpython::Layout& layout_;
  const interpreter::Runtime& runtime_;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) return std::fputs("usage: read_objects PID\n", stderr), 2;
  const pid_t pid = std::atoi(argv[1]);
  const memory::RemoteMemory memory{pid};
  interpreter::FindFailure why;
  const auto runtime = interpreter::find_runtime(memory, pid, &why);
  if (!runtime) return std::fprintf(stderr, "read_objects: %s\n", why.explanation.c_str()), 1;
  ObjectReader reader{memory, *runtime};
  std::ios::sync_with_stdio(false);
  for (std::string question; std::getline(std::cin, question);) std::cout << reader.answer(question) << '\n';
}
