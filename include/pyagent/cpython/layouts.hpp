// Every version of CPython that is described, and how to pick the Layout of one build. signal-safe
//
// A new version is one file in layouts/ and one row in layout_rows.
#pragma once

#include <array>  // array

#include "pyagent/base/result.hpp"
#include "pyagent/cpython/layout.hpp"
#include "pyagent/cpython/layouts/debug_offsets_shape.hpp"
#include "pyagent/cpython/layouts/object_header.hpp"
#include "pyagent/cpython/layouts/v3_10.hpp"
#include "pyagent/cpython/layouts/v3_11.hpp"
#include "pyagent/cpython/layouts/v3_12.hpp"
#include "pyagent/cpython/layouts/v3_13.hpp"
#include "pyagent/cpython/layouts/v3_14.hpp"
#include "pyagent/cpython/layouts/v3_15.hpp"
#include "pyagent/cpython/layouts/v3_5.hpp"
#include "pyagent/cpython/layouts/v3_6.hpp"
#include "pyagent/cpython/layouts/v3_7.hpp"
#include "pyagent/cpython/layouts/v3_8.hpp"
#include "pyagent/cpython/layouts/v3_9.hpp"
#include "pyagent/cpython/version.hpp"

namespace pyagent::inline v0::cpython {

/// One described version: it holds from `layout->version` up to the next row of the same minor version.
struct LayoutRow {
  const Layout* layout;
  const Layout* free_threaded = nullptr;             ///< null before 3.13
  const DebugOffsetsShape* debug_offsets = nullptr;  ///< null before 3.13
};

/// Oldest first.
inline constexpr std::array layout_rows{
    LayoutRow{&layout_v3_5},
    LayoutRow{&layout_v3_6},
    LayoutRow{&layout_v3_7},
    LayoutRow{&layout_v3_7_4},
    LayoutRow{&layout_v3_8},
    LayoutRow{&layout_v3_9},
    LayoutRow{&layout_v3_10},
    LayoutRow{&layout_v3_11},
    LayoutRow{&layout_v3_12},
    LayoutRow{&layout_v3_13, &layout_v3_13t, &debug_offsets_v3_13},
    LayoutRow{&layout_v3_14, &layout_v3_14t, &debug_offsets_v3_14},
    LayoutRow{&layout_v3_15, &layout_v3_15t, &debug_offsets_v3_15},
};

/// Row of `version`, or null. Alphas, betas and candidates have none: their structures were still changing.
constexpr const LayoutRow* find_layout_row(Version version) noexcept {
  if (!version.is_final()) return nullptr;
  const LayoutRow* found = nullptr;
  for (const LayoutRow& row : layout_rows) {
    const Version since = row.layout->version;
    if (version.is_minor(since.major, since.minor) && since.micro <= version.micro) found = &row;
  }
  return found;
}

/// True when each object of the build carries the two list links of Py_TRACE_REFS.
///
/// Source: Include/object.h, where Py_DEBUG implied Py_TRACE_REFS up to 3.7; from 3.13 a hash table holds the objects
constexpr bool has_trace_links(Version version, BuildFlags flags) noexcept {
  const bool trace_refs = flags.trace_refs || (flags.debug && version < Version{3, 8, 0, 0});
  return trace_refs && version < Version{3, 13, 0, 0};
}

/// Layout of one build, with `version` and `flags` filled in. Called once per target, outside signal handlers.
///
/// Every `size` is the smallest seen in the minor version: a structure has at least that many bytes.
/// Errors: unsupported_version for 2.7, anything before 3.5, pre-releases, and versions newer than the last row, for
///         which see layout_from_debug_offsets; unsupported_build for a free-threaded build of a version that had none.
constexpr Result<Layout> find_layout(Version version, BuildFlags flags) noexcept {
  const LayoutRow* const row = find_layout_row(version);
  if (row == nullptr) return Error{Errc::unsupported_version};
  if (flags.free_threaded && row->free_threaded == nullptr) return Error{Errc::unsupported_build};
  Layout layout = flags.free_threaded ? *row->free_threaded : *row->layout;
  if (has_trace_links(version, flags)) layout = with_object_header(layout, long_object_header);
  layout.version = version;
  layout.flags = flags;
  return layout;
}

}  // namespace pyagent::inline v0::cpython
