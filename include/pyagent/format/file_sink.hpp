// A sink that is a file, which appears under its name only when it is whole. May allocate
#pragma once

#include <fcntl.h>         // open
#include <linux/fs.h>      // RENAME_NOREPLACE
#include <sys/stat.h>      // stat
#include <sys/syscall.h>   // SYS_renameat2
#include <time.h>          // clock_gettime
#include <unistd.h>        // write, close, unlink

#include <cerrno>       // errno
#include <cstddef>      // size_t
#include <cstdint>      // uint64_t
#include <cstdio>       // rename
#include <string>       // string
#include <string_view>  // string_view
#include <utility>      // move

#include "pyagent/base/errc.hpp"
#include "pyagent/format/sink.hpp"

namespace pyagent::inline v0::format {

/// What to do with a file that has the wanted name already.
enum class Existing : unsigned char {
  replace,  ///< the new file takes its place, in one step
  keep,     ///< the new file takes the next free name: `a.json`, `a-1.json`, `a-2.json`, ...
};

/// `errno` of a file operation as an Errc.
constexpr Errc file_error(int error_number) noexcept {
  switch (error_number) {
    case 0: return Errc::ok;
    case ENOSPC:
    case EDQUOT:
    case EFBIG: return Errc::no_space;
    case ENOENT: return Errc::not_found;
    default: return Errc::io_error;
  }
}

/// The n-th name to try for `path`: the path itself, then with `-n` before its extension.
inline std::string numbered_path(const std::string& path, unsigned n) {
  if (n == 0) return path;
  const auto name = path.rfind('/') + 1;  // npos + 1 is 0
  auto extension = path.rfind('.');
  if (extension == std::string::npos || extension <= name) extension = path.size();
  constexpr std::string_view speedscope = ".speedscope";  // ".speedscope.json" is one extension
  if (const auto stem = std::string_view{path}.substr(name, extension - name);
      stem.size() > speedscope.size() && stem.ends_with(speedscope))
    extension -= speedscope.size();
  return path.substr(0, extension) + '-' + std::to_string(n) + path.substr(extension);
}

/// Writes a temporary file beside `path`; `commit` gives it its name. Without `commit` nothing is left behind, and a
/// file that was there is untouched until then.
///
/// The temporary file is new (O_EXCL, O_NOFOLLOW) and has mode 0666 less the umask, which the kernel applies: asking
/// for the umask would change it for every other thread of the program for a moment. A symbolic link called `path` is
/// replaced, not followed. Pipes and character devices (`/dev/stdout`) cannot be replaced and are written directly.
///
/// There is no fsync: what was written survives the end of this process without it, and after a power cut a profile
/// is not worth the seconds that it may hold up the end of somebody's program.
///
/// RLIMIT_FSIZE sends SIGXFSZ, and a pipe without a reader SIGPIPE: CPython ignores both; other callers should.
///
/// Errors: none thrown. The first error is kept: later calls return it again and do nothing.
class FileSink {
 public:
  explicit FileSink(std::string path, Existing existing = Existing::replace)
      : path_(std::move(path)), existing_(existing) {
    buffer_.reserve(buffer_size);
    open();
  }
  FileSink(const FileSink&) = delete;
  FileSink& operator=(const FileSink&) = delete;
  ~FileSink() { discard(); }

  Errc write(std::string_view bytes) {
    if (buffer_.size() + bytes.size() > buffer_size) flush();
    if (bytes.size() > buffer_size) {
      write_through(bytes);
    } else if (error_number_ == 0) {
      buffer_ += bytes;
    }
    return status();
  }

  /// Makes the file whole and gives it its name. Nothing may be written afterwards.
  Errc commit() {
    flush();
    if (fd_ < 0) return status();
    // Network file systems report a full disk here. Linux closes the descriptor even when it says EINTR.
    if (::close(fd_) != 0 && errno != EINTR) fail(errno);
    fd_ = -1;
    if (error_number_ == 0 && !temporary_.empty()) rename_temporary();
    remove_temporary();
    return status();
  }

  /// What went wrong first; also when the constructor could not open a file.
  Errc status() const noexcept { return file_error(error_number_); }
  /// The same as an `errno`, for messages; 0 if nothing went wrong.
  int error_number() const noexcept { return error_number_; }
  /// The name asked for; after `commit` the name that the file has.
  const std::string& path() const noexcept { return path_; }

 private:
  static constexpr std::size_t buffer_size = 64 * 1024;
  static constexpr unsigned most_names = 10'000;

  void fail(int error_number) noexcept {
    if (error_number_ == 0) error_number_ = error_number;
  }

  void open() {
    struct stat info {};
    if (::stat(path_.c_str(), &info) == 0) {
      if (S_ISFIFO(info.st_mode) || S_ISCHR(info.st_mode)) return open_stream();
      if (!S_ISREG(info.st_mode)) return fail(S_ISDIR(info.st_mode) ? EISDIR : EINVAL);
    }
    for (unsigned attempt = 0; attempt < 100; ++attempt) {
      temporary_ = temporary_path(attempt);
      fd_ = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
      if (fd_ >= 0) return;
      if (errno != EEXIST) break;
    }
    fail(errno);
    temporary_.clear();
  }

  void open_stream() {
    fd_ = ::open(path_.c_str(), O_WRONLY | O_CLOEXEC | O_NOCTTY);
    if (fd_ < 0) fail(errno);
  }

  // Not made from the file's own name, which may be as long as a name can be.
  std::string temporary_path(unsigned attempt) const {
    timespec now{};
    ::clock_gettime(CLOCK_MONOTONIC, &now);
    const auto directory = path_.substr(0, path_.rfind('/') + 1);
    return directory + ".pyagent-" + std::to_string(::getpid()) + '-' + std::to_string(now.tv_nsec) + '-' +
           std::to_string(attempt) + ".tmp";
  }

  void rename_temporary() {
    if (existing_ == Existing::replace) {
      if (std::rename(temporary_.c_str(), path_.c_str()) != 0) return fail(errno);
      return temporary_.clear();
    }
    for (unsigned n = 0; n < most_names; ++n) {
      auto name = numbered_path(path_, n);
      const int error_number = rename_to_free(name);
      if (error_number == EEXIST) continue;
      if (error_number != 0) return fail(error_number);
      path_ = std::move(name);
      return temporary_.clear();
    }
    fail(EEXIST);
  }

  /// Renames the temporary file to `name` if there is no such file; 0 or an errno.
  int rename_to_free(const std::string& name) const {
    if (::syscall(SYS_renameat2, AT_FDCWD, temporary_.c_str(), AT_FDCWD, name.c_str(), RENAME_NOREPLACE) == 0) return 0;
    if (errno != EINVAL && errno != ENOSYS && errno != EPERM) return errno;
    // NFS and some FUSE file systems have no RENAME_NOREPLACE, old seccomp filters no renameat2. An empty file made
    // with O_EXCL holds the name instead, and is replaced.
    const int placeholder = ::open(name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
    if (placeholder < 0) return errno;
    ::close(placeholder);
    if (std::rename(temporary_.c_str(), name.c_str()) == 0) return 0;
    const int error_number = errno;
    ::unlink(name.c_str());
    return error_number;
  }

  void flush() {
    write_through(buffer_);
    buffer_.clear();
  }

  void write_through(std::string_view bytes) {
    while (error_number_ == 0 && !bytes.empty()) {
      const auto written = ::write(fd_, bytes.data(), bytes.size());
      if (written > 0) {
        bytes.remove_prefix(static_cast<std::size_t>(written));
      } else if (written == 0 || errno != EINTR) {
        fail(written == 0 ? ENOSPC : errno);
      }
    }
  }

  void discard() {
    if (fd_ >= 0) ::close(fd_);
    fd_ = -1;
    remove_temporary();
  }

  void remove_temporary() {
    if (!temporary_.empty()) ::unlink(temporary_.c_str());
    temporary_.clear();
  }

  std::string path_;
  std::string temporary_;  // empty when `path_` is written directly, and after it was renamed or removed
  std::string buffer_;
  Existing existing_;
  int fd_ = -1;
  int error_number_ = 0;
};
static_assert(Sink<FileSink>);

}  // namespace pyagent::inline v0::format
