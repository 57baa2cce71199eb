// File names as frames show them: without the path above the outermost package. May allocate
#pragma once

#include <filesystem>     // exists
#include <string>         // string
#include <string_view>    // string_view
#include <system_error>   // error_code
#include <unordered_map>  // unordered_map

namespace pyagent::inline v0::symbol {

/// The end of `filename` that starts with its outermost package, as py-spy shortens it: directories that hold an
/// `__init__.py` stay, those above go. `is_file` says whether a file exists. `<string>` and the like stay as they are.
template <class IsFile>
std::string_view short_filename(std::string_view filename, IsFile&& is_file) {
  if (filename.starts_with('<') && filename.ends_with('>')) return filename;
  std::size_t kept = filename.rfind('/') + 1;  // without a slash: npos + 1, which is 0
  if (kept == filename.size()) return filename;
  while (kept > 0 && is_file(std::string{filename.substr(0, kept)} + "__init__.py")) {
    const std::size_t directory_end = filename.find_last_not_of('/', kept - 1);
    if (directory_end == std::string_view::npos) break;  // the root directory is a package
    kept = filename.rfind('/', directory_end) + 1;
  }
  return filename.substr(kept);
}

/// Shortens file names, and asks the file system once for each.
class ShortFilenames {
 public:
  const std::string& find(const std::string& filename) {
    const auto [known, is_new] = names_.try_emplace(filename);
    if (is_new)
      known->second = short_filename(filename, [](const std::string& path) {
        std::error_code ignored;
        return std::filesystem::exists(path, ignored);
      });
    return known->second;
  }

 private:
  std::unordered_map<std::string, std::string> names_;
};

}  // namespace pyagent::inline v0::symbol
