// Expressions of call frame information, as compilers, linkers and assembler programmers write them.
#include "pyagent/dwarf/cfi_expression.hpp"

#include "support/catch.hpp"
#include "support/cfi_builder.hpp"

using namespace pyagent;
using namespace pyagent::dwarf;
using pyagent_test::Bytes;
using pyagent_test::bytes_of;
using Kind = ExpressionShape::Kind;

namespace {

void check(const Bytes& expression, Kind kind, int from, int offset, int add = 0, int limit = 0) {
  const ExpressionShape shape = classify_expression(expression);
  CHECK(shape.kind == kind);
  CHECK(int{shape.from} == from);
  CHECK(shape.offset == offset);
  CHECK(shape.add == add);
  CHECK(int{shape.limit} == limit);
}

}  // namespace

// Bytes as found in the files; what they mean is what `readelf --debug-dump=frames` prints for them.
TEST_CASE("expressions found in libraries have their shapes", "[dwarf]") {
  // libc.so.6, .plt: DW_OP_breg7 (rsp): 8; DW_OP_breg16 (rip): 0; DW_OP_lit15; DW_OP_and; DW_OP_lit11; DW_OP_ge;
  // DW_OP_lit3; DW_OP_shl; DW_OP_plus
  check(bytes_of(0x77, 8, 0x80, 0, 0x3f, 0x1a, 0x3b, 0x2a, 0x33, 0x24, 0x22), Kind::plt, 7, 8, 0, 11);
  // with -z ibtplt: DW_OP_lit10 in place of DW_OP_lit11
  check(bytes_of(0x77, 8, 0x80, 0, 0x3f, 0x1a, 0x3a, 0x2a, 0x33, 0x24, 0x22), Kind::plt, 7, 8, 0, 10);
  // __restore_rt: DW_OP_breg7 (rsp): 160; DW_OP_deref
  check(bytes_of(0x77, 0xa0, 0x01, 0x06), Kind::deref, 7, 160);
  // and its rip: DW_OP_breg7 (rsp): 168
  check(bytes_of(0x77, 0xa8, 0x01), Kind::address, 7, 168);
  // numpy, a function with realigned stack: DW_OP_breg6 (rbp): -40; DW_OP_deref
  check(bytes_of(0x76, 0x58, 0x06), Kind::deref, 6, -40);
  // libcrypto.so.3: DW_OP_breg7 (rsp): 296; DW_OP_deref; DW_OP_plus_uconst: 8
  check(bytes_of(0x77, 0xa8, 0x02, 0x06, 0x23, 8), Kind::deref, 7, 296, 8);
  // libcrypto.so.3: DW_OP_breg7 (rsp): 8; DW_OP_breg9 (r9): 0; DW_OP_lit8; DW_OP_mul; DW_OP_plus; DW_OP_deref;
  // DW_OP_plus_uconst: 8
  check(bytes_of(0x77, 8, 0x79, 0, 0x38, 0x1e, 0x22, 0x06, 0x23, 8), Kind::other, 0, 0);
}

TEST_CASE("the same shapes can be written otherwise", "[dwarf]") {
  check(bytes_of(0x92, 9, 0x70), Kind::address, 9, -16);                    // DW_OP_bregx
  check(bytes_of(0x77, 0, 0x06, 0x38, 0x22), Kind::deref, 7, 0, 8);         // DW_OP_lit8; DW_OP_plus
  check(bytes_of(0x77, 0, 0x06, 0x08, 200, 0x22), Kind::deref, 7, 0, 200);  // DW_OP_const1u
  check(bytes_of(0x77, 0, 0x06, 0x09, 0xf8, 0x22), Kind::deref, 7, 0, -8);  // DW_OP_const1s
  check(bytes_of(0x8f, 0), Kind::address, 31, 0);
}

TEST_CASE("an expression that is longer, shorter or other than a shape is none", "[dwarf]") {
  const Bytes plt = bytes_of(0x77, 8, 0x80, 0, 0x3f, 0x1a, 0x3b, 0x2a, 0x33, 0x24, 0x22);
  for (std::size_t size = 0; size < plt.size(); ++size) {
    const Bytes cut(plt.begin(), plt.begin() + static_cast<std::ptrdiff_t>(size));
    const Kind expected = size == 2 ? Kind::address : Kind::other;
    CHECK(classify_expression(cut).kind == expected);
  }
  for (std::size_t i = 4; i < plt.size(); ++i) {
    Bytes changed = plt;
    changed[i] = std::byte{0x96};  // DW_OP_nop
    CHECK(classify_expression(changed).kind == Kind::other);
  }
  CHECK(classify_expression(bytes_of(0x77, 8, 0x06, 0x23, 8, 0x96)).kind == Kind::other);
  CHECK(classify_expression(bytes_of(0x77, 8, 0x06, 0x06)).kind == Kind::other);     // dereferenced twice
  CHECK(classify_expression(bytes_of(0x77, 8, 0x81, 0, 0x3f)).kind == Kind::other);  // not the program counter
  CHECK(classify_expression(bytes_of(0x77, 8, 0x80, 1, 0x3f, 0x1a, 0x3b, 0x2a, 0x33, 0x24, 0x22)).kind == Kind::other);
  CHECK(classify_expression(bytes_of(0x77, 8, 0x80, 0, 0x3f, 0x1a, 0x40, 0x2a, 0x33, 0x24, 0x22)).kind ==
        Kind::other);                                                                            // limit 16
  CHECK(classify_expression(bytes_of(0x92, 0x80, 0x02, 0)).kind == Kind::other);                 // register 256
  CHECK(classify_expression(bytes_of(0x77, 0x80, 0x80, 0x80, 0x80, 0x08)).kind == Kind::other);  // offset 2^31
  CHECK(classify_expression(bytes_of(0x77, 0, 0x06, 0x23, 0x80, 0x80, 0x80, 0x80, 0x08)).kind == Kind::other);
}
