// Debug information that compilers made of one small file, for tests: sections in hexadecimal, and what stands where.
#pragma once

#include <cstdint>
#include <elf.h>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "support/section_file.hpp"

namespace pyagent_test {

/// The sections of a library, compiled in /src of:
///
///      1  int sink;
///      2
///      3  static inline int twice(int value) {
///      4    sink = value;
///      5    return value * 2;
///      6  }
///      7
///      8  static inline int add(int a, int b) {
///      9    if (a > b) sink = a - b;
///     10    return twice(a) + b;
///     11  }
///     12
///     13  int run(int argument) {
///     14    if (__builtin_expect(argument > 1000, 0)) __builtin_trap();
///     15    return add(argument, 5);
///     16  }
struct DebugSample {
  struct Place {
    std::uint64_t from;      ///< up to the next
    std::string_view where;  ///< innermost first
  };
  std::vector<std::pair<std::string, std::string_view>> sections;  ///< in hexadecimal
  std::vector<Place> places;                                       ///< what llvm-symbolizer 14 and eu-addr2line 0.188 say

  std::string section(std::string_view name) const {
    for (const auto& [own, text] : sections)
      if (own == name) return bytes_from_hex(text);
    return {};
  }

  /// An ELF file with them.
  SectionFile file() const {
    SectionFile built;
    for (const auto& [name, text] : sections) built.section(name, SHT_PROGBITS, 0, 0, bytes_from_hex(text));
    return built;
  }

  static std::string bytes_from_hex(std::string_view text) {
    const auto digit = [](char c) { return c <= '9' ? c - '0' : c - 'a' + 10; };
    std::string bytes;
    for (std::size_t i = 0; i + 1 < text.size(); i += 2) bytes += static_cast<char>(digit(text[i]) * 16 + digit(text[i + 1]));
    return bytes;
  }
};

/// gcc 12.2 -O2 -gdwarf-4 -shared: .debug_ranges.
inline DebugSample gcc_dwarf_4() {
  DebugSample sample;
  sample.sections.emplace_back(".debug_aranges",
                               "3c00000002000000000008000000000010100000000000001a00000000000000001000000000000002000000000000000000"
                               "0000000000000000000000000000");
  sample.sections.emplace_back(".debug_info",
                               "e90000000400000000000801110000000cd1000000060000003000000000000000000000000000000002c30000000101053f"
                               "00000009030030000000000000030405696e74000472756e00010d053f00000000000000019cac00000005c8000000010d0d"
                               "3f000000015506ac0000001c100000000000000d00000000000000010f0a07c700000007bd00000006d20000001c10000000"
                               "0000000900000000000000010a0a07df00000000000008616464000108133f00000003d200000009610001081b3f00000009"
                               "62000108223f000000000a000000000103133f000000030b0b00000001031d3f0000000000");
  sample.sections.emplace_back(".debug_abbrev",
                               "011101250e130b030e1b0e5517110110170000023400030e3a0b3b0b390b49133f19021800000324000b0b3e0b0308000004"
                               "2e013f1903083a0b3b0b390b271949135517401897421901130000050500030e3a0b3b0b390b491302180000061d01311311"
                               "011207580b590b570b000007050031130000082e0103083a0b3b0b390b27194913200b0113000009050003083a0b3b0b390b"
                               "491300000a2e01030e3a0b3b0b390b27194913200b00000b0500030e3a0b3b0b390b4913000000");
  sample.sections.emplace_back(".debug_line",
                               "75000000040020000000010101fb0e0d0001010101000000010000010073616d706c652e6300000000000517000902101000"
                               "0000000000030c0105031305060601050306bb037a0113037a010508060105030691051306170501500201000101052d0002"
                               "04010009020010000000000000030d010202000101");
  sample.sections.emplace_back(".debug_str",
                               "7477696365002f7372630076616c756500474e55204331372031322e322e30202d6d74756e653d67656e65726963202d6d61"
                               "7263683d7838362d3634202d6764776172662d34202d676e6f2d7661726961626c652d6c6f636174696f6e2d766965777320"
                               "2d676e6f2d696e6c696e652d706f696e7473202d4f32202d666e6f2d6173796e6368726f6e6f75732d756e77696e642d7461"
                               "626c6573202d666e6f2d7661722d747261636b696e67202d66504943202d6672616e646f6d2d736565643d310073696e6b00"
                               "617267756d656e740073616d706c652e6300");
  sample.sections.emplace_back(".debug_ranges",
                               "10100000000000002a1000000000000000100000000000000210000000000000000000000000000000000000000000001010"
                               "0000000000002a100000000000000010000000000000021000000000000000000000000000000000000000000000");
  sample.places = {{0x1000, "run /src/sample.c:14:45"},
                   {0x1002, ""},
                   {0x1010, "run /src/sample.c:14:6"},
                   {0x101c, "twice /src/sample.c:4:8, add /src/sample.c:10:10, run /src/sample.c:15:10"},
                   {0x1025, "add /src/sample.c:10:19, run /src/sample.c:15:10"},
                   {0x1029, "run /src/sample.c:16:1"},
                   {0x102a, ""}};
  return sample;
}

/// gcc 12.2 -O2 -gdwarf-5 -shared: .debug_rnglists, .debug_line_str.
inline DebugSample gcc_dwarf_5() {
  DebugSample sample;
  sample.sections.emplace_back(".debug_aranges",
                               "3c00000002000000000008000000000010100000000000001a00000000000000001000000000000002000000000000000000"
                               "0000000000000000000000000000");
  sample.sections.emplace_back(".debug_info",
                               "e2000000050001080000000004150000001d00000000090000002100000000000000000000000000000005c7000000010105"
                               "4000000009030030000000000000060405696e74000772756e00010d05400000000c000000019ca90000000800000000010d"
                               "0d40000000015502a90000001c100000000000000d000000000000000f01c200000001ba00000002cb0000001c1000000000"
                               "000009000000000000000a01d800000000000009616464000108134000000003cb0000000361001b40000000036200224000"
                               "0000000a0f00000001031340000000030b0900000001031d400000000000");
  sample.sections.emplace_back(".debug_abbrev",
                               "01050031130000021d01311311011207582101590b57210a000003050003083a21013b2108390b49130000041101250e130b"
                               "031f1b1f5517110110170000053400030e3a0b3b0b390b49133f19021800000624000b0b3e0b03080000072e013f1903083a"
                               "0b3b0b390b27194913551740187a1901130000080500030e3a0b3b0b390b491302180000092e0103083a0b3b0b390b271949"
                               "13200b011300000a2e01030e3a0b3b0b390b27194913200b00000b0500030e3a0b3b0b390b4913000000");
  sample.sections.emplace_back(".debug_line",
                               "81000000050008002a000000010101fb0e0d00010101010000000100000101011f010900000002011f020f02000000000000"
                               "0000000005170009021010000000000000030c0105031305060601050306bb037a0113037a01050806010503069105130617"
                               "0501500201000101052d000204010009020010000000000000030d010202000101");
  sample.sections.emplace_back(".debug_str",
                               "617267756d656e740076616c756500747769636500474e55204331372031322e322e30202d6d74756e653d67656e65726963"
                               "202d6d617263683d7838362d3634202d6764776172662d35202d676e6f2d7661726961626c652d6c6f636174696f6e2d7669"
                               "657773202d676e6f2d696e6c696e652d706f696e7473202d4f32202d666e6f2d6173796e6368726f6e6f75732d756e77696e"
                               "642d7461626c6573202d666e6f2d7661722d747261636b696e67202d66504943202d6672616e646f6d2d736565643d310073"
                               "696e6b00");
  sample.sections.emplace_back(".debug_line_str",
                               "73616d706c652e63002f73726300");
  sample.sections.emplace_back(".debug_rnglists",
                               "3200000005000800000000000710100000000000001a07001000000000000002000710100000000000001a07001000000000"
                               "00000200");
  sample.places = {{0x1000, "run /src/sample.c:14:45"},
                   {0x1002, ""},
                   {0x1010, "run /src/sample.c:14:6"},
                   {0x101c, "twice /src/sample.c:4:8, add /src/sample.c:10:10, run /src/sample.c:15:10"},
                   {0x1025, "add /src/sample.c:10:19, run /src/sample.c:15:10"},
                   {0x1029, "run /src/sample.c:16:1"},
                   {0x102a, ""}};
  return sample;
}

/// clang 14 -O2 -gdwarf-5 -shared: .debug_addr, .debug_str_offsets, no .debug_aranges.
inline DebugSample clang_dwarf_5() {
  DebugSample sample;
  sample.sections.emplace_back(".debug_info",
                               "a3000000050001080000000001000c0001080000000000000002011a0000000800000002032e000000000102a10003040504"
                               "040500032e000000050600032e00000000040700082e000000050800082e000000050900082e0000000006011a0000000157"
                               "0a000d2e0000000701550b000d2e0000000843000000020f000000000f0a0901554b0000000a055300000008320000000209"
                               "000000000a0a0901553a00000000000000");
  sample.sections.emplace_back(".debug_abbrev",
                               "011101252513050325721710171b25111b120673170000023400032549133f193a0b3b0b0218000003240003253e0b0b0b00"
                               "00042e0103253a0b3b0b27194913202101000005050003253a0b3b0b49130000062e01111b120640187a1903253a0b3b0b27"
                               "1949133f190000070500021803253a0b3b0b49130000081d013113111b1206580b590b570b00000905000218311300000a05"
                               "001c0d3113000000");
  sample.sections.emplace_back(".debug_line",
                               "6b0000000500080037000000010101fb0e0d00010101010000000100000101011f010000000003011f020f051e0105000000"
                               "00710ef7c0e87606fb97d4e0e146971d8a04000009020010000000000000030c0105210a130507066605080603762e051396"
                               "05036b052d1f0202000101");
  sample.sections.emplace_back(".debug_str",
                               "44656269616e20636c616e672076657273696f6e2031342e302e360073616d706c652e63002f7372630073696e6b00696e74"
                               "0074776963650076616c756500616464006100620072756e00617267756d656e7400");
  sample.sections.emplace_back(".debug_addr",
                               "1c00000005000800004000000000000000100000000000000810000000000000");
  sample.sections.emplace_back(".debug_line_str",
                               "2f7372630073616d706c652e6300");
  sample.sections.emplace_back(".debug_str_offsets",
                               "3400000005000000000000001c000000250000002a0000002f00000033000000390000003f00000043000000450000004700"
                               "00004b000000");
  sample.places = {{0x1000, "run /src/sample.c:14:33"},
                   {0x1006, "run /src/sample.c:14:7"},
                   {0x1008, "twice /src/sample.c:4:8, add /src/sample.c:10:10, run /src/sample.c:15:10"},
                   {0x1011, "add /src/sample.c:10:19, run /src/sample.c:15:10"},
                   {0x1017, "run /src/sample.c:15:3"},
                   {0x1018, "run /src/sample.c:14:45"},
                   {0x101a, ""}};
  return sample;
}

inline std::vector<DebugSample> debug_samples() { return {gcc_dwarf_4(), gcc_dwarf_5(), clang_dwarf_5()}; }

}  // namespace pyagent_test
