// The growing file: who may have it, how it grows, and what stops it.
#include "pyagent/recording/spool.hpp"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "pyagent/recording/reader.hpp"
#include "support/catch.hpp"
#include "support/recording_file.hpp"

using namespace pyagent;
using recording::Spool;
using pyagent::test::read_file;
using pyagent::test::RecordingFile;
using pyagent::test::TemporaryDirectory;

namespace {

constexpr int skipped = 77;

// Runs `body` in a child and gives its exit status, or minus the signal that ended it.
template <class Body>
int in_child(Body body) {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(body());
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

// Acquires blocks until that fails, at most `most`.
Errc fill(Spool& spool, int most) {
  for (int i = 0; i < most; ++i)
    if (const auto block = spool.acquire(1, 1); !block) return block.error().code;
  return Errc::ok;
}

std::size_t offset_of(Spool& spool, const recording::Block& block) {
  return static_cast<std::size_t>(reinterpret_cast<std::byte*>(block.header) - reinterpret_cast<std::byte*>(spool.header()));
}

}  // namespace

TEST_CASE("a new recording is a file of our own that nobody else may read", "[recording]") {
  RecordingFile file;
  struct stat status {};
  REQUIRE(::stat(file.path().c_str(), &status) == 0);
  CHECK((status.st_mode & 0777) == 0600);
  CHECK(file.spool().is_open());
  const auto bytes = file.trimmed();
  CHECK(bytes.size() == recording::block_size);
  const auto reader = recording::Reader::open(bytes);
  REQUIRE(reader);
  CHECK(reader->damage().code == Errc::ok);
  CHECK(reader->threads().empty());
}

TEST_CASE("neither an existing file nor a link is ever opened", "[recording]") {
  const TemporaryDirectory directory;
  const std::string taken = directory / "taken";
  const std::string link = directory / "link";
  const std::string dangling = directory / "dangling";
  std::ofstream{taken} << "mine";
  REQUIRE(::symlink(taken.c_str(), link.c_str()) == 0);
  REQUIRE(::symlink((directory / "nothing").c_str(), dangling.c_str()) == 0);
  for (const std::string& path : {taken, link, dangling, directory / "no such directory/file"}) {
    const auto spool = std::make_unique<Spool>();
    CHECK(spool->create(path.c_str()) == Errc::io_error);
    CHECK(!spool->is_open());
  }
  CHECK(read_file(taken).size() == 4);
  CHECK(!std::filesystem::exists(directory / "nothing"));
}

TEST_CASE("blocks are handed out one behind the other, and none lies across two extents", "[recording]") {
  RecordingFile file;
  std::size_t next = 1;
  for (const std::uint32_t span : {1u, 3u, 1u, 60u, 2u}) {  // 1 + 3 + 1 leave 59 of the first extent
    const auto block = file.spool().acquire(7, span);
    REQUIRE(block);
    if (span == 60) next = Spool::blocks_per_extent;
    if (next < Spool::blocks_per_extent) CHECK(offset_of(file.spool(), *block) == next * recording::block_size);
    CHECK(block->header->span == span);
    CHECK(block->header->stream == 7);
    CHECK(block->header->committed == 0);
    CHECK(block->records.size() == span * recording::block_size - sizeof(recording::BlockHeader));
    std::fill(block->records.begin(), block->records.end(), std::byte{0});
    next += span;
  }
  CHECK(file.spool().header()->blocks == next);
  const auto bytes = file.trimmed();
  CHECK(bytes.size() == next * recording::block_size);
  CHECK(recording::Reader::open(bytes)->damage().code == Errc::ok);
}

TEST_CASE("a block of no size or larger than an extent is refused", "[recording]") {
  RecordingFile file;
  CHECK(file.spool().acquire(1, 0).error().code == Errc::too_large);
  CHECK(file.spool().acquire(1, Spool::blocks_per_extent + 1).error().code == Errc::too_large);
  CHECK(file.spool().acquire(1, Spool::blocks_per_extent));
}

TEST_CASE("threads that acquire at once get blocks of their own", "[recording]") {
  RecordingFile file;
  std::vector<std::vector<recording::BlockHeader*>> got(4);
  std::vector<std::thread> threads;
  for (std::uint32_t number = 0; number < 4; ++number)
    threads.emplace_back([&, number] {
      got[number].reserve(1000);
      while (got[number].size() < 1000) {
        const auto block = file.spool().acquire(number, 1 + number % 2);
        if (!block) {
          std::this_thread::yield();  // another is growing the file
          continue;
        }
        got[number].push_back(block->header);
      }
    });
  for (std::thread& thread : threads) thread.join();
  std::vector<recording::BlockHeader*> all;
  for (std::uint32_t number = 0; number < 4; ++number)
    for (recording::BlockHeader* const header : got[number]) {
      CHECK(header->stream == number);
      CHECK(header->span == 1 + number % 2);
      CHECK(header->magic == recording::block_magic);
      all.push_back(header);
    }
  std::sort(all.begin(), all.end());
  CHECK(std::adjacent_find(all.begin(), all.end()) == all.end());
  CHECK(recording::Reader::open(file.trimmed())->damage().code == Errc::ok);
}

TEST_CASE("counters are counted in the file", "[recording]") {
  RecordingFile file;
  file.spool().count(recording::Counter::samples, 5);
  file.spool().count(recording::Counter::samples);
  file.spool().count(recording::Counter::unsampled_threads);
  const auto bytes = file.bytes();
  const auto reader = recording::Reader::open(bytes);
  REQUIRE(reader);
  CHECK(reader->counters().samples == 6);
  CHECK(reader->counters().unsampled_threads == 1);
  CHECK(reader->counters().dropped == 0);
}

TEST_CASE("a limit on file sizes is an error and no signal", "[recording]") {
  const TemporaryDirectory directory;
  const std::string path = directory / "recording";
  const auto spool = std::make_unique<Spool>();
  const auto limited = [&](rlim_t bytes, auto body) {
    return in_child([&] {
      ::signal(SIGXFSZ, SIG_DFL);
      const rlimit limit{bytes, bytes};
      ::setrlimit(RLIMIT_FSIZE, &limit);
      return static_cast<int>(body());
    });
  };
  CHECK(limited(65'536, [&] { return spool->create(path.c_str()); }) == static_cast<int>(Errc::no_space));
  CHECK(!std::filesystem::exists(path));
  CHECK(limited(Spool::extent_size * 3, [&] {
          if (spool->create(path.c_str()) != Errc::ok) return Errc::io_error;
          return fill(*spool, 1000);
        }) == static_cast<int>(Errc::no_space));
  const auto bytes = read_file(path);
  CHECK(bytes.size() == Spool::extent_size * 3);
  const auto reader = recording::Reader::open(bytes);
  REQUIRE(reader);
  CHECK(reader->damage().code == Errc::ok);
}

TEST_CASE("a full disk is an error", "[recording]") {
  const TemporaryDirectory directory;
  const std::string path = directory / "recording";
  const auto spool = std::make_unique<Spool>();
  const int result = in_child([&] {
    if (::unshare(CLONE_NEWNS) != 0 || ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
        ::mount("none", (directory / "").c_str(), "tmpfs", 0, "size=2500k") != 0)
      return skipped;
    if (spool->create(path.c_str()) != Errc::ok) return 1;
    return fill(*spool, 1000) == Errc::no_space && fill(*spool, 1) == Errc::no_space && spool->header()->blocks == 128 ? 0 : 2;
  });
  if (result == skipped) WARN("skipped: no tmpfs may be mounted here");
  CHECK((result == 0 || result == skipped));
}

TEST_CASE("a file that was replaced by another is noticed and left alone", "[recording]") {
  for (const bool as_link : {false, true}) {
    RecordingFile file;
    REQUIRE(fill(file.spool(), 63) == Errc::ok);
    std::filesystem::rename(file.path(), file.path() + ".moved");
    CHECK(fill(file.spool(), 1) == Errc::io_error);
    if (as_link)
      std::filesystem::create_symlink(file.path() + ".moved", file.path());
    else
      std::ofstream{file.path()} << "mine";
    CHECK(fill(file.spool(), 1) == Errc::io_error);
    CHECK(file.spool().trim() == Errc::io_error);
    if (!as_link) CHECK(read_file(file.path()).size() == 4);
    std::filesystem::rename(file.path() + ".moved", file.path());
    CHECK(fill(file.spool(), 1) == Errc::ok);
  }
}

TEST_CASE("no descriptor is kept: a program may close them all", "[recording]") {
  RecordingFile file;
  CHECK(in_child([&] {
          for (int fd = 0; fd < 1024; ++fd) ::close(fd);
          if (fill(file.spool(), 300) != Errc::ok) return 1;
          return ::open("/", O_RDONLY) == 0 ? 0 : 2;
        }) == 0);
  CHECK(file.spool().header()->blocks == 301);
}

TEST_CASE("errno stays as it was", "[recording]") {
  RecordingFile file;
  errno = 123;
  CHECK(fill(file.spool(), 200) == Errc::ok);
  std::filesystem::remove(file.path());
  errno = 123;
  CHECK(fill(file.spool(), 200) == Errc::io_error);
  CHECK(errno == 123);
}

TEST_CASE("a child that abandons the recording leaves its parent's file alone", "[recording]") {
  RecordingFile file;
  REQUIRE(file.spool().acquire(1, 1));
  const auto before = file.bytes();
  CHECK(in_child([&] {
          file.spool().abandon();
          if (file.spool().is_open()) return 1;
          const std::string own = file.path() + ".child";
          if (file.spool().create(own.c_str()) != Errc::ok || fill(file.spool(), 100) != Errc::ok) return 2;
          return 0;
        }) == 0);
  CHECK(file.bytes() == before);
  CHECK(recording::Reader::open(read_file(file.path() + ".child")));
  REQUIRE(file.spool().acquire(1, 1));
  CHECK(file.spool().header()->blocks == 3);
}
