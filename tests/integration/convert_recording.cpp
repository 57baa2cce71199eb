// Makes a speedscope file of a recording: convert_recording RECORDING OUTPUT. Exits with 1, and says where, if it is damaged.
#include <cstdio>

#include "pyagent/elf/mapped_file.hpp"
#include "pyagent/format/file_sink.hpp"
#include "pyagent/format/speedscope.hpp"
#include "pyagent/profile/build_profile.hpp"
#include "pyagent/recording/reader.hpp"
#include "pyagent/symbol/code_symbol.hpp"

int main(int argc, char** argv) {
  using namespace pyagent;
  if (argc != 3) return std::fprintf(stderr, "usage: convert_recording RECORDING OUTPUT\n"), 2;
  const auto file = elf::MappedFile::open(argv[1]);
  if (!file) return std::fprintf(stderr, "%s: %s\n", argv[1], message(file.error())), 1;
  const auto reader = recording::Reader::open(file->bytes());
  if (!reader) return std::fprintf(stderr, "%s: %s at %llu\n", argv[1], message(reader.error()), static_cast<unsigned long long>(reader.error().where.value)), 1;
  const auto profile = profile::build_profile(*reader, profile::ProfileOptions{.full_filenames = true});
  format::FileSink sink{argv[2]};
  if (!format::write_speedscope(profile, sink)) return std::fprintf(stderr, "%s can't be written\n", argv[2]), 1;
  return 0;
}
