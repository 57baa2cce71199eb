// Prints what addresses of a file mean: `print_native_symbols [OPTION VALUE]... PATH`, hexadecimal addresses on stdin.
// For each a line of JSON with its locations, innermost first; last a line with the remarks. test_native_symbols.py
// asks and compares.
//
//   --symbols DIR    a directory with symbols; may be repeated
//   --root DIR       before paths of the process; may be repeated
//   --build-id HEX   the build-id that was recorded
//   --shorten 1      template arguments as dots
//   --symbols-only 1 what the symbol table says, without debug information: name, start, end
#include <cstdlib>
#include <iostream>
#include <string>
#include <vector>

#include "pyagent/elf/image_file.hpp"
#include "pyagent/elf/symbol_index.hpp"
#include "pyagent/format/json.hpp"
#include "pyagent/symbol/native_symbols.hpp"

using namespace pyagent;

namespace {

void append_text(std::string& line, std::string_view key, std::string_view value) {
  line += '"' + std::string{key} + "\": ";
  format::append_json_string(line, value);
}

void print_locations(symbol::NativeSymbols& symbols, const recording::ModuleRecord& module) {
  for (std::string text; std::getline(std::cin, text);) {
    recording::NativeFrameRecord frame{module.id, std::strtoull(text.c_str(), nullptr, 16), 0};
    frame.flags = recording::native_flags(false, true, 0);
    std::string line = "[";
    for (const symbol::NativeLocation& location : symbols.find(module, frame)) {
      line += line == "[" ? "{" : ", {";
      append_text(line, "name", location.name), line += ", ";
      append_text(line, "file", location.file);
      line += ", \"line\": " + std::to_string(location.line) + ", \"column\": " + std::to_string(location.column);
      line += std::string{", \"inlined\": "} + (location.is_inlined ? "true" : "false");
      line += std::string{", \"glue\": "} + (location.is_glue ? "true" : "false") + "}";
    }
    std::cout << line << "]\n";
  }
  std::string line = "[";
  for (const std::string& remark : symbols.remarks()) {
    if (line != "[") line += ", ";
    format::append_json_string(line, remark);
  }
  std::cout << line << "]\n";
}

int print_symbols(const std::string& path) {
  const auto file = elf::ImageFile::open(path);
  if (!file) return 1;
  const elf::Image* const image = &file->image();
  const elf::SymbolIndex index{{&image, 1}};
  for (std::string text; std::getline(std::cin, text);) {
    const auto symbol = index.find(std::strtoull(text.c_str(), nullptr, 16));
    std::string line = "{";
    if (symbol) {
      append_text(line, "name", symbol->name);
      line += ", \"start\": " + std::to_string(symbol->start) + ", \"end\": " + std::to_string(symbol->end);
    }
    std::cout << line << "}\n";
  }
  return 0;
}

std::string from_hex(const std::string& hex) {
  std::string bytes;
  for (std::size_t i = 0; i + 1 < hex.size(); i += 2)
    bytes += static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16));
  return bytes;
}

}  // namespace

int main(int count, char** arguments) {
  symbol::NativeOptions options;
  recording::ModuleRecord module;
  module.id = 1;
  bool symbols_only = false;
  for (int i = 1; i < count; ++i) {
    const std::string option = arguments[i];
    if (!option.starts_with("--")) {
      module.path = option;
      continue;
    }
    if (++i == count) return 2;
    if (option == "--symbols") options.symbol_directories.push_back(arguments[i]);
    if (option == "--root") options.roots.push_back(arguments[i]);
    if (option == "--build-id") module.build_id = from_hex(arguments[i]);
    if (option == "--shorten") options.shorten_templates = true;
    if (option == "--symbols-only") symbols_only = true;
  }
  if (symbols_only) return print_symbols(module.path);
  symbol::NativeSymbols symbols{options};
  print_locations(symbols, module);
}
