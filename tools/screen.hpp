// The terminal while it shows a program of ours: other screen, single keys, and everything as it was afterwards.
#pragma once

#include <chrono>    // milliseconds
#include <cstddef>   // size_t
#include <optional>  // optional
#include <span>      // span
#include <string>    // string

#include "pyagent/process/file_descriptor.hpp"
#include "screen_line.hpp"

namespace pyagent::tools {

/// A key that was pressed: the code of its character, or one of these.
namespace key {
enum : int { up = 256, down, page_up, page_down, home, end, other, hang_up };
}

/// The terminal of standard output, taken over while this object lives; there may be one. It is given back when the
/// object goes, at exit, and when a signal ends the process. SIGINT, SIGTERM and SIGHUP are left to stop_signals.hpp;
/// whoever catches these has to let the object go.
class Screen {
 public:
  /// Whether standard output is a terminal that knows how to move the cursor.
  static bool is_possible() noexcept;

  Screen();
  Screen(const Screen&) = delete;
  Screen& operator=(const Screen&) = delete;
  ~Screen();

  struct Size {
    std::size_t width;
    std::size_t height;
  };
  Size size() const noexcept;

  /// Shows `lines` from the top, by one write.
  void draw(std::span<const ScreenLine> lines);

  /// A key that was pressed, without waiting. None ever comes where standard input is no terminal and there is no
  /// other.
  std::optional<int> read_key();

  /// Whether the screen has to be drawn anew: its size has changed, or we were stopped and go on. Says so once.
  bool take_change() noexcept;

  /// Gives the terminal back and takes it again.
  void leave() noexcept;
  void enter() noexcept;

 private:
  bool fill_keys();

  process::FileDescriptor own_input_;
  std::string keys_;  ///< bytes of keys that were read
};

/// From now on SIGTSTP (^Z) only says that the user wants us to be suspended, and SIGQUIT that we shall end, each by
/// interrupting whatever waits. So what must not be stopped half-way, such as a process that is traced, can be let go.
void catch_suspension();
bool is_suspension_asked() noexcept;
bool is_quit_asked() noexcept;

/// Stops this process until it is continued.
void suspend();

/// Interrupts whatever waits, once in each `period`; for the rest of the process's life.
void interrupt_every(std::chrono::milliseconds period);

}  // namespace pyagent::tools
