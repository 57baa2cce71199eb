// CPython 3.6: 3.5 except for the fields below. signal-safe
// Source: v3.6.15, Include/{pystate,code,dictobject}.h; Objects/dict-common.h
#pragma once

#include "pyagent/cpython/layout.hpp"
#include "pyagent/cpython/layouts/v3_5.hpp"

namespace pyagent::inline v0::cpython {

/// CPython 3.6.
inline constexpr Layout layout_v3_6 = [] {
  Layout layout = layout_v3_5;
  layout.version = {3, 6};

  layout.line_table = LineTable::lnotab_signed;
  layout.dict_keys_shape = DictKeys::sized_indices;

  layout.interpreter.size = 120;

  layout.thread.size = 2272;

  layout.code.firstlineno = 36;
  layout.code.lines = 112;

  layout.dict.keys = 32;
  layout.dict.values = 40;

  layout.dict_keys.nentries = 32;
  layout.dict_keys.indices = 40;
  return layout;
}();

}  // namespace pyagent::inline v0::cpython
