// Text files of others, read whole and with care. May allocate
#pragma once

#include <fcntl.h>      // open
#include <sys/stat.h>   // fstat
#include <sys/types.h>  // uid_t
#include <unistd.h>     // read

#include <cstddef>   // size_t
#include <optional>  // optional
#include <string>    // string
#include <vector>    // vector

#include "pyagent/process/file_descriptor.hpp"

namespace pyagent::inline v0::symbol {

/// Who a file must belong to.
struct FileOwners {
  std::vector<uid_t> users;  ///< empty: anybody
  bool follows_links = true;
};

/// The content of a regular file of at most `limit` bytes. It is read, not mapped: its owner may cut it meanwhile.
inline std::optional<std::string> read_small_text(const std::string& path, std::size_t limit,
                                                  const FileOwners& owners = {}) {
  const int no_link = owners.follows_links ? 0 : O_NOFOLLOW;
  const process::FileDescriptor file{::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY | no_link)};
  struct stat status {};
  if (!file || ::fstat(file.number(), &status) != 0 || !S_ISREG(status.st_mode)) return std::nullopt;
  bool is_owned = owners.users.empty();
  for (const uid_t user : owners.users) is_owned = is_owned || status.st_uid == user;
  if (!is_owned || status.st_size < 0 || static_cast<std::size_t>(status.st_size) > limit) return std::nullopt;
  std::string text(static_cast<std::size_t>(status.st_size), '\0');
  std::size_t filled = 0;
  while (filled < text.size()) {
    const ssize_t got = ::read(file.number(), text.data() + filled, text.size() - filled);
    if (got <= 0) break;
    filled += static_cast<std::size_t>(got);
  }
  text.resize(filled);
  return text;
}

}  // namespace pyagent::inline v0::symbol
