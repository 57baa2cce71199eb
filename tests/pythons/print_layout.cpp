// Prints each offset of a Layout as `field value`, for comparing with CPython's own headers.
//
//     print_layout 3.14.10 [debug] [trace_refs] [free_threaded]
//     print_layout FILE    the same from a _Py_DebugOffsets table, such as the content of the section .PyRuntime
#include <array>     // array
#include <cstddef>   // byte
#include <cstdio>    // fopen, fread, printf, sscanf
#include <cstring>   // strcmp
#include <span>      // span

#include "pyagent/cpython/debug_offsets.hpp"
#include "pyagent/cpython/layouts.hpp"

namespace {

using pyagent::Errc;
using pyagent::Error;
using pyagent::Result;
using pyagent::cpython::BuildFlags;
using pyagent::cpython::Layout;
using pyagent::cpython::Offset;
using pyagent::cpython::Version;

void print(const char* field, Offset offset) {
  if (offset == pyagent::cpython::absent)
    std::printf("%s absent\n", field);
  else
    std::printf("%s %u\n", field, offset);
}

void print(const Layout& layout) {
#define PYAGENT_PRINT(field) print(#field, layout.field)
  PYAGENT_PRINT(runtime.finalizing);
  PYAGENT_PRINT(runtime.interpreters_head);
  PYAGENT_PRINT(runtime.interpreters_main);
  PYAGENT_PRINT(runtime.main_thread);
  PYAGENT_PRINT(runtime.tstate_current);
  PYAGENT_PRINT(runtime.tss_key);
  PYAGENT_PRINT(interpreter.size);
  PYAGENT_PRINT(interpreter.next);
  PYAGENT_PRINT(interpreter.id);
  PYAGENT_PRINT(interpreter.threads_head);
  PYAGENT_PRINT(interpreter.modules);
  PYAGENT_PRINT(interpreter.gil);
  PYAGENT_PRINT(interpreter.gc_collecting);
  PYAGENT_PRINT(interpreter.code_object_generation);
  PYAGENT_PRINT(gil.locked);
  PYAGENT_PRINT(gil.last_holder);
  PYAGENT_PRINT(gil.enabled);
  PYAGENT_PRINT(thread.size);
  PYAGENT_PRINT(thread.prev);
  PYAGENT_PRINT(thread.next);
  PYAGENT_PRINT(thread.interpreter);
  PYAGENT_PRINT(thread.frame);
  PYAGENT_PRINT(thread.thread_id);
  PYAGENT_PRINT(thread.native_thread_id);
  PYAGENT_PRINT(thread.id);
  PYAGENT_PRINT(thread.status);
  PYAGENT_PRINT(thread.state);
  PYAGENT_PRINT(thread.cframe);
  PYAGENT_PRINT(thread.root_cframe);
  PYAGENT_PRINT(thread.base_frame);
  PYAGENT_PRINT(thread.datastack_chunk);
  PYAGENT_PRINT(thread.datastack_top);
  PYAGENT_PRINT(thread.datastack_limit);
  PYAGENT_PRINT(cframe.current_frame);
  PYAGENT_PRINT(cframe.previous);
  PYAGENT_PRINT(stack_chunk.previous);
  PYAGENT_PRINT(stack_chunk.size);
  PYAGENT_PRINT(stack_chunk.top);
  PYAGENT_PRINT(stack_chunk.data);
  PYAGENT_PRINT(frame.size);
  PYAGENT_PRINT(frame.previous);
  PYAGENT_PRINT(frame.code);
  PYAGENT_PRINT(frame.instruction);
  PYAGENT_PRINT(frame.locals);
  PYAGENT_PRINT(frame.globals);
  PYAGENT_PRINT(frame.scope);
  PYAGENT_PRINT(frame.stack_top);
  PYAGENT_PRINT(frame.owner);
  PYAGENT_PRINT(frame.is_entry);
  PYAGENT_PRINT(frame.tlbc_index);
  PYAGENT_PRINT(frame.executing);
  PYAGENT_PRINT(code.size);
  PYAGENT_PRINT(code.argcount);
  PYAGENT_PRINT(code.kwonlyargcount);
  PYAGENT_PRINT(code.flags);
  PYAGENT_PRINT(code.firstlineno);
  PYAGENT_PRINT(code.filename);
  PYAGENT_PRINT(code.name);
  PYAGENT_PRINT(code.qualname);
  PYAGENT_PRINT(code.lines);
  PYAGENT_PRINT(code.code);
  PYAGENT_PRINT(code.adaptive);
  PYAGENT_PRINT(code.names_of_locals);
  PYAGENT_PRINT(code.names_of_cells);
  PYAGENT_PRINT(code.names_of_frees);
  PYAGENT_PRINT(code.kinds_of_locals);
  PYAGENT_PRINT(code.nlocalsplus);
  PYAGENT_PRINT(code.stacksize);
  PYAGENT_PRINT(code.framesize);
  PYAGENT_PRINT(code.firsttraceable);
  PYAGENT_PRINT(code.tlbc);
  PYAGENT_PRINT(object.size);
  PYAGENT_PRINT(object.type);
  PYAGENT_PRINT(object.var_size);
  PYAGENT_PRINT(type.name);
  PYAGENT_PRINT(type.basicsize);
  PYAGENT_PRINT(type.flags);
  PYAGENT_PRINT(type.dict);
  PYAGENT_PRINT(type.dictoffset);
  PYAGENT_PRINT(type.mro);
  PYAGENT_PRINT(type.cached_keys);
  PYAGENT_PRINT(unicode.length);
  PYAGENT_PRINT(unicode.hash);
  PYAGENT_PRINT(unicode.state);
  PYAGENT_PRINT(unicode.ascii_data);
  PYAGENT_PRINT(unicode.compact_data);
  PYAGENT_PRINT(unicode.data);
  PYAGENT_PRINT(bytes.data);
  PYAGENT_PRINT(bytes.hash);
  PYAGENT_PRINT(tuple.items);
  PYAGENT_PRINT(list.items);
  PYAGENT_PRINT(integer.digits);
  PYAGENT_PRINT(floating.value);
  PYAGENT_PRINT(bytearray.start);
  PYAGENT_PRINT(set.used);
  PYAGENT_PRINT(set.mask);
  PYAGENT_PRINT(set.table);
  PYAGENT_PRINT(dict.keys);
  PYAGENT_PRINT(dict.values);
  PYAGENT_PRINT(dict.used);
  PYAGENT_PRINT(dict_keys.size);
  PYAGENT_PRINT(dict_keys.index_bytes);
  PYAGENT_PRINT(dict_keys.kind);
  PYAGENT_PRINT(dict_keys.nentries);
  PYAGENT_PRINT(dict_keys.indices);
  PYAGENT_PRINT(dict_keys.values);
  PYAGENT_PRINT(generator.frame);
  PYAGENT_PRINT(generator.frame_state);
  PYAGENT_PRINT(function.code);
  PYAGENT_PRINT(function.qualname);
  PYAGENT_PRINT(function.callable);
  PYAGENT_PRINT(function.property_get);
  PYAGENT_PRINT(cell.contents);
  PYAGENT_PRINT(module.dict);
#undef PYAGENT_PRINT
}

Result<Layout> layout_of_file(const char* path) {
  std::FILE* const file = std::fopen(path, "rb");
  if (file == nullptr) return Error{Errc::io_error};
  std::array<std::byte, 4096> table{};
  const std::size_t size = std::fread(table.data(), 1, table.size(), file);
  std::fclose(file);
  return pyagent::cpython::layout_from_debug_offsets(std::span{table}.first(size));
}

Result<Layout> layout_of_arguments(int argc, char** argv) {
  unsigned major = 0;
  unsigned minor = 0;
  unsigned micro = 0;
  if (std::sscanf(argv[1], "%u.%u.%u", &major, &minor, &micro) != 3) return layout_of_file(argv[1]);
  const Version version = Version::from_hex((major & 0xff) << 24 | (minor & 0xff) << 16 | (micro & 0xff) << 8 | 0xf0);
  BuildFlags flags;
  for (int i = 2; i < argc; ++i) {
    flags.debug |= std::strcmp(argv[i], "debug") == 0;
    flags.trace_refs |= std::strcmp(argv[i], "trace_refs") == 0;
    flags.free_threaded |= std::strcmp(argv[i], "free_threaded") == 0;
  }
  return pyagent::cpython::find_layout(version, flags);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: print_layout VERSION [debug] [trace_refs] [free_threaded] | print_layout FILE\n");
    return 2;
  }
  const auto layout = layout_of_arguments(argc, argv);
  if (!layout) {
    std::fprintf(stderr, "print_layout: %s: %s\n", argv[1], message(layout.error()));
    return 1;
  }
  print(*layout);
}
