"""`pyagent top`, driven in tmux and looked at; and without a terminal."""
import os
import pathlib
import re
import shlex
import shutil
import signal
import subprocess
import tempfile
import time
import unicodedata
import uuid

import pytest

import support
from support import start_program, wait_for

PROGRAMS = pathlib.Path(__file__).parent / "programs"
CHOSEN = ("system-3.11", "sid-3.14")
PROMPT = r"^[#$] *$"

pytestmark = pytest.mark.usefixtures("tool")
in_tmux = pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed")


def find_pythons(tags):
    return [python for python in support.find_pythons() if python.tag in tags] or support.find_pythons()[:1]


@pytest.fixture
def one():
    """The interpreter for what does not depend on it."""
    return find_pythons(CHOSEN)[0]


def parametrize_both(test):
    return pytest.mark.parametrize("either", find_pythons(CHOSEN), ids=lambda python: python.tag)(test)


def start_shown(python, args=()):
    return start_program(python.exe, "shown.py", args, cwd=PROGRAMS)


class Terminal:
    """A shell in a tmux of its own."""

    def __init__(self, directory, width=100, height=30):
        self.socket_directory = tempfile.mkdtemp(prefix="pyagent-tmux-")  # sockets have short paths
        self.tmux = ["tmux", "-f", "/dev/null", "-S", self.socket_directory + "/socket", "-u"]
        self.directory = directory
        environment = dict(os.environ, LC_ALL="C.UTF-8", ENV="")
        environment.pop("TMUX", None)
        subprocess.run(self.tmux + ["new-session", "-d", "-x", str(width), "-y", str(height), "sh"], env=environment,
                       cwd=str(directory), check=True)
        self.command("resize-window", "-x", width, "-y", height)

    def command(self, *words):
        command = self.tmux + [str(word) for word in words]
        return subprocess.run(command, env=dict(os.environ, LC_ALL="C.UTF-8"), check=True, stdout=subprocess.PIPE, encoding="utf-8").stdout

    def close(self):
        subprocess.run(self.tmux + ["kill-server"])
        shutil.rmtree(self.socket_directory)

    def lines(self, colours=False):
        return self.command("capture-pane", "-p", *(["-e"] if colours else [])).split("\n")[:-1]

    def press(self, *keys):
        self.command("send-keys", *keys)

    def run(self, command):
        """Types a line for the shell."""
        self.command("send-keys", "-l", command)
        self.press("Enter")

    def wait_for(self, pattern, timeout=30):
        """Waits until the screen matches, and gives the lines."""
        end = time.monotonic() + timeout
        while True:
            lines = self.lines()
            if re.search(pattern, "\n".join(lines), re.MULTILINE):
                return lines
            assert time.monotonic() < end, "%r did not come up:\n%s" % (pattern, "\n".join(lines))
            time.sleep(0.05)

    def state(self):
        """What has to be the same before and after: modes of the terminal, other screen, cursor, title, wrapping."""
        name = "modes-%s" % uuid.uuid4().hex
        self.run("stty -a > %s.part; mv %s.part %s" % (name, name, name))
        path = pathlib.Path(self.directory) / name
        wait_for(path.exists, "the shell")
        screen = self.command("display-message", "-p", "#{alternate_on} #{cursor_flag} #{wrap_flag} #{pane_title}")
        return path.read_text(), screen


@pytest.fixture
def terminal(tmp_path):
    opened = Terminal(tmp_path)
    yield opened
    opened.close()


@pytest.fixture
def target(one):
    with start_shown(one) as program:
        yield program


def start_top(terminal, tool, pid, *options):
    """Types the command, and waits until a table with rows is there."""
    terminal.run(" ".join(shlex.quote(str(word)) for word in (tool, "top", "-p", pid, *options)))
    return terminal.wait_for(r"^ *\d+\.\d\d% +\d+\.\d\d% .*\(")


def top_pid(tool, target):
    """Of the pyagent that looks at `target`."""
    for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().split(b"\0")
        except OSError:
            continue
        if words[:4] == [str(tool).encode(), b"top", b"-p", str(target).encode()]:
            return int(path.parent.name)
    return None


ROW = re.compile(r"^ *([\d.]+)% +([\d.]+)% +([\d.]+)s +([\d.]+)s   (.*)$")


def rows(lines):
    """[(%Own, %Total, OwnTime, TotalTime, function)] as the table shows them."""
    found = [ROW.match(line.rstrip()) for line in lines]
    return [tuple(map(float, match.groups()[:4])) + (match.group(5),) for match in found if match]


def sorted_column(terminal):
    """The words in reverse video."""
    return re.findall(r"\x1b\[7m(.*?)\x1b\[", "\n".join(terminal.lines(colours=True)))


def settle(terminal):
    """The screen once it shows at least three intervals."""
    return terminal.wait_for(r"Total Samples ([6-9]\d|\d{3,})")


@in_tmux
@parametrize_both
def test_the_busy_function_has_the_time_and_recursion_counts_once(terminal, tool, either):
    with start_shown(either) as program:
        start_top(terminal, tool, program.pid, "--delay", "0.3")
        lines = settle(terminal)
        assert re.match(r"Collecting samples from '\S+ shown\.py' \(python v%d\.%d\..*\) pid %d$" % (*either.version, program.pid), lines[0].rstrip())
        shares = re.match(r"GIL: ([\d.]+)%, Active: ([\d.]+)%, Threads: 2, Rate: (\d+)/s, Errors: 0$", lines[2].rstrip())
        assert shares, lines[2]
        gil, active, rate = map(float, shares.groups())
        assert active > 5 and gil > 0.9 * active and rate > 50, lines[2]
        assert lines[4].startswith("  %Own   %Total  OwnTime  TotalTime  Function (filename)")
        first, *others = rows(lines)
        assert first[4] == "burn (shown.py)"
        own, total, own_time, total_time, _ = first
        assert own > 0.9 * active and own <= total <= 1.05 * active + 1
        assert own_time > 0.05 and own_time <= total_time <= own_time * 1.1
        assert {row[4] for row in others} == {"main (shown.py)", "<module> (shown.py)"}
        assert lines[-1].startswith("q quit")
        terminal.press("q")
        terminal.wait_for(PROMPT)


@in_tmux
def test_keys_sort_switch_reset_pause_and_help(terminal, tool, target):
    start_top(terminal, tool, target.pid, "--delay", "0.3")
    for key, name in (("2", "%Total"), ("3", "OwnTime"), ("4", "TotalTime"), ("1", "%Own")):
        terminal.press(key)
        wait_for(lambda: sorted_column(terminal) == [name], "sorting by %s" % name)
    terminal.press("L")
    lines = terminal.wait_for(r"Function \(filename:line\)")
    assert all(re.search(r"\(shown\.py:\d+\)$", row[4]) for row in rows(lines))
    terminal.press("L")
    terminal.wait_for(r"Function \(filename\)")

    before = rows(settle(terminal))[0][3]
    terminal.press("R")
    wait_for(lambda: (rows(terminal.lines()) or [(0,) * 4])[0][3] < before, "times from zero")

    terminal.press("Space")
    paused = terminal.wait_for("Paused")
    time.sleep(0.8)
    assert terminal.lines() == paused
    terminal.press("Space")
    wait_for(lambda: rows(terminal.lines()) != rows(paused), "the table going on")

    terminal.press("?")
    terminal.wait_for("sort by %Own")
    terminal.press("x")
    wait_for(lambda: "sort by %Own" not in "\n".join(terminal.lines()), "the help's end")
    assert rows(terminal.lines())


@in_tmux
def test_a_long_table_scrolls(terminal, tool, one):
    if one.version < (3, 8):
        pytest.skip("code.replace is missing in %s" % one.tag)
    with start_shown(one, ["many"]) as program:
        start_top(terminal, tool, program.pid, "--delay", "0.3", "-r", "500")
        terminal.press("4")
        terminal.wait_for(r"rows 1-24 of 62")
        terminal.press("Down")
        terminal.wait_for(r"rows 2-25 of 62")
        terminal.press("PageDown")
        terminal.wait_for(r"rows 26-49 of 62")
        terminal.press("End")
        terminal.wait_for(r"rows 39-62 of 62")
        terminal.press("k")
        terminal.wait_for(r"rows 38-61 of 62")
        terminal.press("Home")
        terminal.wait_for(r"rows 1-24 of 62")


@in_tmux
def test_a_new_size_is_filled_without_garbage(terminal, tool, target):
    start_top(terminal, tool, target.pid, "--delay", "0.3")
    settle(terminal)
    terminal.press("Space")  # nothing else makes it draw anew
    terminal.wait_for("Paused")
    for width, height in ((50, 12), (140, 40), (36, 9), (20, 4), (100, 30)):
        terminal.command("resize-window", "-x", width, "-y", height)

        def is_drawn():
            lines = terminal.lines()
            return (len(lines) == height and all(len(line) <= width for line in lines) and
                    [line[:3] for line in lines[:4]] == ["Col", "Tot", "GIL", "Pau"] and
                    sum("%Own" in line for line in lines) == (1 if height >= 5 else 0) and
                    [line[:6] == "q quit" for line in lines] == [False] * (height - 1) + [height > 5])

        wait_for(is_drawn, "a screen of %dx%d" % (width, height))
    assert rows(terminal.lines())[0][4] == "burn (shown.py)"


ENDS = {
    "q": lambda terminal, top, target: terminal.press("q"),
    "^C": lambda terminal, top, target: terminal.press("C-c"),
    "^\\": lambda terminal, top, target: terminal.press("C-\\"),
    "SIGTERM": lambda terminal, top, target: os.kill(top, signal.SIGTERM),
    "SIGHUP": lambda terminal, top, target: os.kill(top, signal.SIGHUP),
    "SIGUSR1": lambda terminal, top, target: os.kill(top, signal.SIGUSR1),
    "SIGSEGV": lambda terminal, top, target: os.kill(top, signal.SIGSEGV),
    "SIGABRT": lambda terminal, top, target: os.kill(top, signal.SIGABRT),
    "the target's end": lambda terminal, top, target: os.kill(target, signal.SIGKILL),
}


@in_tmux
@pytest.mark.parametrize("end", ENDS)
def test_every_end_leaves_the_terminal_as_it_was(terminal, tool, target, end):
    before = terminal.state()
    start_top(terminal, tool, target.pid, "--delay", "0.3")
    wait_for(lambda: terminal.command("display-message", "-p", "#{alternate_on} #{cursor_flag}").split() == ["1", "0"], "the screen")
    ENDS[end](terminal, wait_for(lambda: top_pid(tool, target.pid), "pyagent"), target.pid)
    wait_for(lambda: top_pid(tool, target.pid) is None, "pyagent's end")
    terminal.wait_for(PROMPT)
    terminal.run("echo status=$?")
    lines = terminal.wait_for(r"^status=\d")
    is_killed = end in ("SIGUSR1", "SIGSEGV", "SIGABRT")
    assert ("status=0" in [line.strip() for line in lines]) != is_killed, lines
    assert terminal.state() == before
    if end == "the target's end":
        assert rows(lines)[0][4] == "burn (shown.py)"
        assert "pyagent: process %d has ended" % target.pid in [line.rstrip() for line in lines]
    else:
        assert support.thread_states(target.pid)[target.pid] in "RS"
        assert not rows(lines)


@in_tmux
def test_suspended_it_lets_the_target_go_and_gives_the_terminal_back(terminal, tool, target):
    terminal.run("set -m; clear")
    before = terminal.state()
    start_top(terminal, tool, target.pid, "--delay", "0.3")
    for _ in range(2):
        wait_for(lambda: support.status_field(target.pid, "TracerPid") != "0", "the tracer")
        terminal.press("C-z")
        terminal.wait_for(r"Stopped")
        assert terminal.state() == before
        assert support.status_field(target.pid, "TracerPid") == "0"
        terminal.run("clear")
        terminal.run("fg")
        terminal.wait_for(r"^q quit")
        wait_for(lambda: rows(terminal.lines()), "the table")
    # SIGSTOP can't be caught: what it left behind is put right afterwards.
    os.kill(top_pid(tool, target.pid), signal.SIGSTOP)
    terminal.wait_for(r"Stopped")
    terminal.run("fg")
    wait_for(lambda: rows(terminal.lines()) and "Stopped" not in "\n".join(terminal.lines()), "the table")
    terminal.press("q")
    wait_for(lambda: top_pid(tool, target.pid) is None, "pyagent's end")
    assert terminal.state() == before


@in_tmux
def test_text_of_the_target_is_shown_and_not_obeyed(terminal, tool, one):
    if one.version < (3, 8):
        pytest.skip("code.replace is missing in %s" % one.tag)
    before = terminal.state()
    with start_shown(one, ["hostile"]) as program:
        start_top(terminal, tool, program.pid, "--delay", "0.3")
        assert rows(terminal.lines())[0][4] == r"evil\x1b]0;taken\x07name (\x1b[2Jfile\u202e.py)"
        terminal.press("q")
        terminal.wait_for(PROMPT)
    assert terminal.state() == before


@in_tmux
def test_wide_characters_are_cut_where_the_screen_ends(terminal, tool, one):
    if one.version < (3, 8):
        pytest.skip("code.replace is missing in %s" % one.tag)
    with start_shown(one, ["wide"]) as program:
        start_top(terminal, tool, program.pid, "--delay", "0.3", "--full-filenames")
        terminal.wait_for("cafe")
        wide = [line for line in terminal.lines() if "\u8a08" in line]
        assert len(wide) == 1
        cells = sum({"W": 2, "F": 2}.get(unicodedata.east_asian_width(letter), 1) for letter in wide[0])
        assert cells in (99, 100) and wide[0].endswith("\u2026 (\u6587\u4ef6.py)"), wide[0]
        assert any("cafe\u0301 (x.py)" in line for line in terminal.lines())


@in_tmux
def test_keys_are_heard_between_rare_samples(terminal, tool, target):
    start_top(terminal, tool, target.pid, "-r", "0.5", "--delay", "0.1")
    begin = time.monotonic()
    terminal.press("?")
    terminal.wait_for("sort by %Own")
    terminal.press("q")
    terminal.wait_for(PROMPT)
    assert time.monotonic() - begin < 1.5


@in_tmux
def test_a_program_it_starts_is_shown_and_ends_with_it(terminal, tool, one):
    before = terminal.state()
    terminal.run("%s top --delay 0.3 -- %s %s" % (tool, shlex.quote(one.exe), PROGRAMS / "shown.py"))
    lines = terminal.wait_for(r"burn \(shown\.py\)")
    pid = int(re.search(r"pid (\d+)", lines[0]).group(1))
    assert not any("ready" in line for line in lines)
    terminal.press("q")
    terminal.wait_for(PROMPT)
    wait_for(lambda: not pathlib.Path("/proc/%d" % pid).exists(), "the program's end")
    assert terminal.state() == before


@in_tmux
def test_without_standard_input_keys_come_from_the_terminal(terminal, tool, target):
    before = terminal.state()
    terminal.run("%s top -p %d --delay 0.3 < /dev/null" % (tool, target.pid))
    terminal.wait_for(r"burn \(shown\.py\)")
    terminal.press("L")
    terminal.wait_for(r"filename:line")
    terminal.press("q")
    terminal.wait_for(PROMPT)
    assert terminal.state() == before


@in_tmux
def test_a_dumb_terminal_gets_plain_tables(terminal, tool, target):
    terminal.run("TERM=dumb %s top -p %d --delay 0.3" % (tool, target.pid))
    terminal.wait_for(r"burn \(shown\.py\)")
    assert terminal.command("display-message", "-p", "#{alternate_on}").strip() == "0"
    terminal.press("C-c")
    terminal.wait_for(PROMPT)


# --- without a terminal ---


def start_plain(tool, *options, **streams):
    command = [str(word) for word in (tool, "top", "--delay", "0.2", *options)]
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8", **streams)


def read_tables(process, count):
    """Lines up to the end of the table number `count`."""
    lines = []
    while sum(line.startswith("Collecting") for line in lines) < count or lines[-1] != "\n":
        line = process.stdout.readline()
        assert line, "it ended early: " + process.stderr.read()
        lines.append(line)
        if line == "\n" and sum(line.startswith("  %Own") for line in lines) < count:
            lines[-1] = " \n"  # the empty line above the columns
    return lines


@parametrize_both
@pytest.mark.parametrize("number", (signal.SIGINT, signal.SIGTERM, signal.SIGQUIT), ids=lambda number: number.name)
def test_a_pipe_gets_plain_tables_until_a_signal_comes(tool, either, number):
    with start_shown(either) as program:
        process = start_plain(tool, "-p", program.pid)
        lines = read_tables(process, 2)
        process.send_signal(number)
        rest, errors = process.communicate(timeout=20)
        assert process.returncode == 0 and errors == "", errors
        text = "".join(lines) + rest
        assert not re.search(r"[^\n -~]", text)
        assert rows(text.splitlines())[0][4] == "burn (shown.py)"
        assert support.status_field(program.pid, "TracerPid") == "0"


def test_a_pipe_gets_the_last_table_when_the_target_ends(tool, one):
    with start_shown(one) as program:
        process = start_plain(tool, "-p", program.pid)
        read_tables(process, 1)
        os.kill(program.pid, signal.SIGKILL)
        rest, errors = process.communicate(timeout=20)
        assert process.returncode == 0
        assert "burn (shown.py)" in rest
        assert errors == "pyagent: process %d has ended\n" % program.pid


def test_a_reader_that_goes_away_ends_it(tool, target):
    process = start_plain(tool, "-p", target.pid)
    read_tables(process, 1)
    process.stdout.close()
    assert process.wait(timeout=20) == 0


def test_idle_threads_have_wall_time_with_idle_only(tool, target):
    for options, is_shown in ((["--idle"], True), ([], False)):
        process = start_plain(tool, "-p", target.pid, *options)
        lines = read_tables(process, 4)
        process.kill()
        process.communicate()
        last = rows(lines[len(lines) // 2:])
        waiting = [row for row in last if row[4] == "rest (shown.py)"]
        assert bool(waiting) == is_shown
        # A wait is told of each quarter of a second.
        assert not waiting or max(row[3] for row in waiting) > 0.2


def test_subprocesses_share_one_table(tool, one, tmp_path):
    script = tmp_path / "parent.py"
    script.write_text("import subprocess, sys\nchild = subprocess.Popen([sys.executable, %r], stdout=subprocess.DEVNULL)\n"
                      "print('ready', flush=True)\nwhile True:\n  sum(range(1000))\n" % str(PROGRAMS / "shown.py"))
    with start_program(one.exe, script) as program:
        process = start_plain(tool, "-p", program.pid, "-s")
        text = ""
        while not (re.search(r"burn \(shown\.py\)", text) and re.search(r"<module> \(parent\.py\)", text) and "and 1 more" in text):
            text = "".join(read_tables(process, 1))
        process.kill()
        process.communicate()


def test_a_process_without_python_is_refused(tool):
    with subprocess.Popen(["sleep", "100"]) as sleeper:
        done = subprocess.run([str(tool), "top", "-p", str(sleeper.pid)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              encoding="utf-8", timeout=30)
        sleeper.kill()
    assert done.returncode == 1 and done.stdout == "" and done.stderr.startswith("pyagent: ")
