// The version of an interpreter, agreed on by everything that states it.
#pragma once

#include <optional>     // optional
#include <string>       // string
#include <string_view>  // string_view
#include <vector>       // vector

#include "pyagent/base/result.hpp"
#include "pyagent/interpreter/version_text.hpp"

namespace pyagent::inline v0::interpreter {

/// Who states which version.
struct VersionSource {
  std::string_view name;  ///< a string literal
  cpython::Version version;
  bool has_micro = true;
};

/// Collects sources, the most trusted first.
class VersionVote {
 public:
  void add(VersionSource source) { sources_.push_back(source); }
  std::size_t size() const noexcept { return sources_.size(); }
  /// What the most trusted source says.
  std::optional<cpython::Version> leader() const noexcept {
    if (sources_.empty()) return std::nullopt;
    return sources_.front().version;
  }
  /// True when two sources or more have spoken, and one of them knows the micro version.
  bool is_settled() const noexcept { return sources_.size() >= 2 && find_exact() != nullptr; }

  /// The version of the most trusted source that knows the micro version, else of the most trusted one.
  ///
  /// Errors: not_found with less than two sources; inconsistent when two name different minor versions.
  Result<cpython::Version> agree() const noexcept {
    if (sources_.size() < 2) return Error{Errc::not_found};
    if (find_dissenter() != nullptr) return Error{Errc::inconsistent};
    const VersionSource* const exact = find_exact();
    return exact != nullptr ? exact->version : sources_.front().version;
  }

  /// Why `agree` failed: "Py_Version says 3.11.2, the file's name says 3.9".
  std::string disagreement() const {
    if (sources_.empty()) return "nothing says which version it is";
    if (sources_.size() == 1) return "only " + describe(sources_.front());
    const VersionSource* const other = find_dissenter();
    return other == nullptr ? "" : describe(sources_.front()) + ", " + describe(*other);
  }

 private:
  const VersionSource* find_dissenter() const noexcept {
    for (const VersionSource& source : sources_)
      if (!source.version.is_minor(sources_.front().version.major, sources_.front().version.minor)) return &source;
    return nullptr;
  }
  const VersionSource* find_exact() const noexcept {
    for (const VersionSource& source : sources_)
      if (source.has_micro) return &source;
    return nullptr;
  }
  static std::string describe(const VersionSource& source) {
    return std::string{source.name} + " says " + version_text(source.version, source.has_micro);
  }

  std::vector<VersionSource> sources_;
};

}  // namespace pyagent::inline v0::interpreter
