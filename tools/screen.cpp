// Drives terminals by the control sequences of ECMA-48 and xterm that all of today's know.
#include "screen.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/time.h>
#include <termios.h>
#include <unistd.h>

#include <algorithm>    // min
#include <atomic>       // atomic
#include <cerrno>       // errno
#include <cstdlib>      // atexit, getenv
#include <string_view>  // string_view

#include "text_width.hpp"

namespace pyagent::tools {
namespace {

// Other screen, cursor hidden, no wrapping at the right edge; and back, with plain characters.
constexpr std::string_view enter_text = "\x1b[?1049h\x1b[?25l\x1b[?7l\x1b[H\x1b[2J";
constexpr std::string_view leave_text = "\x1b[m\x1b[?7h\x1b[?25h\x1b[?1049l";

/// What signal handlers need to give the terminal back.
struct Terminal {
  std::atomic<bool> is_taken = false;
  std::atomic<bool> has_changed = false;
  std::atomic<bool> has_continued = false;
  std::atomic<bool> suspension_asked = false;
  std::atomic<bool> quit_asked = false;
  int input = -1;  ///< where keys come from; -1: none do
  termios before{};
};
Terminal terminal;

/// False while another job has the terminal: then its modes and its screen are not ours to touch.
bool is_foreground() noexcept {
  const pid_t group = ::tcgetpgrp(STDOUT_FILENO);
  return group < 0 || group == ::getpgrp();
}

void write_all(std::string_view text) noexcept {
  while (!text.empty()) {
    const ssize_t written = ::write(STDOUT_FILENO, text.data(), text.size());
    if (written > 0) {
      text.remove_prefix(static_cast<std::size_t>(written));
    } else if (written < 0 && errno == EAGAIN) {
      pollfd wait{STDOUT_FILENO, POLLOUT, 0};
      if (::poll(&wait, 1, 1000) <= 0) return;
    } else if (written == 0 || errno != EINTR) {
      return;
    }
  }
}

/// May be called by a signal handler.
void give_back() noexcept {
  if (!terminal.is_taken.exchange(false) || !is_foreground()) return;
  write_all(leave_text);
  if (terminal.input >= 0) ::tcsetattr(terminal.input, TCSADRAIN, &terminal.before);
}

/// Single keys without echo. Signals stay: ^C, ^\, ^Z.
void set_modes() noexcept {
  if (terminal.input < 0) return;
  termios modes = terminal.before;
  modes.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO | ECHONL | IEXTEN);
  modes.c_lflag |= NOFLSH;  // what poll saw stays there to read, whatever signal a key sends
  modes.c_iflag &= ~static_cast<tcflag_t>(IXON);
  modes.c_cc[VMIN] = 1;  // with 0, shells that find these modes after a SIGSTOP read the end of their input
  modes.c_cc[VTIME] = 0;
  ::tcsetattr(terminal.input, TCSADRAIN, &modes);
}

void take() noexcept {
  if (!is_foreground())
    ::raise(SIGTTOU);  // stops us until the shell gives us the terminal, whose modes are its own now
  if (terminal.input >= 0 && ::tcgetattr(terminal.input, &terminal.before) != 0) terminal.input = -1;
  terminal.is_taken = true;
  terminal.has_changed = true;
  set_modes();
  write_all(enter_text);
}

void die_tidily(int number) {
  give_back();
  ::raise(number);  // its default action, as soon as this handler is left
}

void note_change(int) { terminal.has_changed = true; }
void note_continuation(int) { terminal.has_continued = true; }
void note_suspension(int) { terminal.suspension_asked = true; }
void note_quit(int) { terminal.quit_asked = true; }
void only_interrupt(int) {}

/// Without SA_RESTART: what waits shall look what has happened.
void on_signal(int number, void (*handler)(int), bool once = false) {
  struct sigaction action {
  }, before{};
  sigemptyset(&action.sa_mask);
  action.sa_handler = handler;
  action.sa_flags = once ? static_cast<int>(SA_RESETHAND) : 0;
  if (::sigaction(number, nullptr, &before) == 0 && before.sa_handler != SIG_IGN) ::sigaction(number, &action, nullptr);
}

constexpr int deadly_signals[] = {SIGABRT, SIGBUS,  SIGFPE,  SIGILL,  SIGSEGV,   SIGSYS,
                                  SIGTRAP, SIGUSR1, SIGUSR2, SIGXCPU, SIGVTALRM, SIGPROF};

struct KeySequence {
  std::string_view bytes;
  int key;
};
// Source: XTerm Control Sequences, "PC-Style Function Keys"; 1~ and 4~ are the Linux console's and tmux's
constexpr KeySequence key_sequences[] = {
    {"\x1b[A", key::up},       {"\x1bOA", key::up},         {"\x1b[B", key::down}, {"\x1bOB", key::down},
    {"\x1b[5~", key::page_up}, {"\x1b[6~", key::page_down}, {"\x1b[H", key::home}, {"\x1bOH", key::home},
    {"\x1b[1~", key::home},    {"\x1b[7~", key::home},      {"\x1b[F", key::end},  {"\x1bOF", key::end},
    {"\x1b[4~", key::end},     {"\x1b[8~", key::end},
};

/// Bytes of the key at the front of `keys`.
std::size_t sequence_size(std::string_view keys) {
  if (keys[0] != '\x1b' || keys.size() == 1) return 1;
  if (keys[1] != '[' && keys[1] != 'O') return 2;  // Alt and a key
  std::size_t size = 2;
  while (size < keys.size() && (keys[size] < 0x40 || keys[size] > 0x7E)) ++size;
  return size < keys.size() ? size + 1 : size;
}

}  // namespace

bool Screen::is_possible() noexcept {
  const char* const kind = std::getenv("TERM");
  return ::isatty(STDOUT_FILENO) == 1 && kind != nullptr && *kind != '\0' && std::string_view{kind} != "dumb";
}

Screen::Screen() {
  if (::isatty(STDIN_FILENO) == 1) {
    terminal.input = STDIN_FILENO;
  } else {
    own_input_ = process::FileDescriptor{::open("/dev/tty", O_RDONLY | O_CLOEXEC | O_NOCTTY)};
    terminal.input = own_input_ ? own_input_.number() : -1;
  }
  static const int registered = std::atexit(give_back);
  static_cast<void>(registered);
  for (const int number : deadly_signals) on_signal(number, die_tidily, true);
  on_signal(SIGWINCH, note_change);
  on_signal(SIGCONT, note_continuation);
  take();
}

Screen::~Screen() {
  leave();
  terminal.input = -1;
}

void Screen::leave() noexcept { give_back(); }
void Screen::enter() noexcept { take(); }

Screen::Size Screen::size() const noexcept {
  winsize size{};
  const bool is_known = ::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col != 0 && size.ws_row != 0;
  return is_known ? Size{size.ws_col, size.ws_row} : Size{80, 24};
}

void Screen::draw(std::span<const ScreenLine> lines) {
  if (!terminal.is_taken || !is_foreground()) return;
  const Size whole = size();
  std::string text;
  std::size_t row = 0;
  for (const ScreenLine& line : lines) {
    const std::string_view all = line.text;
    const std::size_t end = std::min(all.size(), line.reverse_begin + line.reverse_size);
    text += "\x1b[" + std::to_string(++row) + ";1H";
    text += all.substr(0, line.reverse_begin);
    if (line.reverse_size != 0)
      text.append("\x1b[7m").append(all.substr(line.reverse_begin, line.reverse_size)).append("\x1b[m");
    text += all.substr(end);
    // After a full line the cursor stands on its last cell, which this would erase.
    if (text_width(all) < whole.width) text += "\x1b[K";
  }
  if (row < whole.height) text += "\x1b[" + std::to_string(row + 1) + ";1H\x1b[J";
  write_all(text);
}

bool Screen::fill_keys() {
  char buffer[256];
  const ssize_t got = ::read(terminal.input, buffer, sizeof buffer);
  if (got > 0) keys_.append(buffer, static_cast<std::size_t>(got));
  return got >= 0 || errno == EAGAIN || errno == EINTR;
}

std::optional<int> Screen::read_key() {
  if (keys_.empty()) {
    if (terminal.input < 0 || !terminal.is_taken || !is_foreground()) return {};
    pollfd wait{terminal.input, POLLIN, 0};
    if (::poll(&wait, 1, 0) <= 0) return {};
    if ((wait.revents & (POLLHUP | POLLERR | POLLNVAL)) != 0 || !fill_keys())
      return terminal.input = -1, int{key::hang_up};
    if (keys_.empty()) return {};
  }
  const std::string bytes = keys_.substr(0, sequence_size(keys_));
  keys_.erase(0, bytes.size());
  for (const KeySequence& sequence : key_sequences)
    if (bytes == sequence.bytes) return sequence.key;
  return bytes.size() == 1 && bytes[0] != '\x1b' ? static_cast<unsigned char>(bytes[0]) : int{key::other};
}

bool Screen::take_change() noexcept {
  if (!terminal.is_taken || !is_foreground()) return false;
  if (terminal.has_continued.exchange(false)) {  // whoever stopped us by SIGSTOP may have changed everything
    set_modes();
    write_all(enter_text);
    terminal.has_changed = true;
  }
  return terminal.has_changed.exchange(false);
}

void catch_suspension() {
  on_signal(SIGTSTP, note_suspension);
  on_signal(SIGQUIT, note_quit);
}

bool is_suspension_asked() noexcept { return terminal.suspension_asked; }
bool is_quit_asked() noexcept { return terminal.quit_asked; }

void suspend() {
  struct sigaction before {};
  ::sigaction(SIGTSTP, nullptr, &before);
  ::signal(SIGTSTP, SIG_DFL);
  ::raise(SIGTSTP);
  ::sigaction(SIGTSTP, &before, nullptr);
  terminal.suspension_asked = false;
}

void interrupt_every(std::chrono::milliseconds period) {
  on_signal(SIGALRM, only_interrupt);
  const timeval time{static_cast<time_t>(period.count() / 1000),
                     static_cast<suseconds_t>(period.count() % 1000 * 1000)};
  const itimerval timer{time, time};
  ::setitimer(ITIMER_REAL, &timer, nullptr);
}

}  // namespace pyagent::tools
