"""`pyagent record`: programs that it starts, what it writes and says. What befalls a process that runs already is in
test_attach_processes.py, the truth of the stacks in test_attach_truth.py.
"""
import os
import pathlib
import pty
import re
import shlex
import signal
import subprocess
import time

import pytest

import support
from support import Recording, load_speedscope, wait_for

PROGRAMS = pathlib.Path(__file__).parent / "programs"
BUSY = PROGRAMS / "busy.py"
CHOSEN = ("system-3.11", "sid-3.14", "3.8")

pytestmark = pytest.mark.usefixtures("tool")


@pytest.fixture
def one():
    """The interpreter for what does not depend on it."""
    return ([python for python in support.find_pythons() if python.tag in CHOSEN] or support.find_pythons())[0]


@pytest.fixture(params=CHOSEN)
def some(request):
    found = [python for python in support.find_pythons() if python.tag == request.param]
    if not found:
        pytest.skip("%s is not here" % request.param)
    return found[0]


def start(cwd, options, command, **more):
    """Starts `pyagent record OPTIONS -- COMMAND`."""
    settings = dict(stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8", cwd=str(cwd))
    words = [str(word) for word in [support.TOOL, "record", *options, "--", *command]]
    return subprocess.Popen(words, **dict(settings, **more))


def launch(cwd, options, command, timeout=60, **more):
    process = start(cwd, options, command, **more)
    stdout, stderr = process.communicate(timeout=timeout)
    profiles = [path for path in cwd.iterdir() if path.suffix in (".json", ".txt")]
    return Recording(process.returncode, stdout, stderr, profiles[0] if profiles else None, 0)


def programs_pid(process):
    """The pid of the program that pyagent started."""
    return wait_for(lambda: pathlib.Path("/proc/%d/task/%d/children" % (process.pid, process.pid)).read_text().split(), "the program")[0]


def nothing_but(directory, *names):
    return sorted(path.name for path in directory.iterdir()) == sorted(names)


# --- the program ---


def test_a_started_program_is_recorded_and_keeps_its_status_and_output(python, tmp_path):
    done = launch(tmp_path, ["-r", "500", "-o", "p.json"], [python.exe, BUSY, 0.5, "exit", 7])
    assert done.returncode == 7 and done.stdout == "arguments ['0.5', 'exit', '7']\n", done
    assert done.stderr.startswith("to stderr\n") and nothing_but(tmp_path, "p.json")
    threads = load_speedscope(done.output)
    burning = sum(sample.weight for samples in threads.values() for sample in samples if sample.names[-3:] == ["<module>", "outer", "burn"])
    print("%s: %.3f s" % (python.tag, burning))
    assert abs(burning - 0.5) <= 0.05
    assert any(re.match(r'Thread \d+ "MainThread"$', name) for name in threads)


@pytest.mark.parametrize("options", [(), ("--attach",), ("--nonblocking",), ("--idle",)], ids=lambda options: " ".join(options) or "default")
def test_it_is_recorded_from_outside_with_any_option(some, options, tmp_path):
    done = launch(tmp_path, ["-o", "p.json", *options], [some.exe, BUSY, 0.5])
    assert done.returncode == 0, done
    assert abs(support.shares(load_speedscope(done.output))["burn"] - 1) < 0.3


@pytest.mark.parametrize("end, status", [("abort", 128 + signal.SIGABRT), ("signal 9", 128 + signal.SIGKILL), ("raise", 1), ("os_exit 3", 3)])
def test_the_end_of_the_program_is_the_end_of_pyagent(one, end, status, tmp_path):
    done = launch(tmp_path, ["-o", "p.json"], [one.exe, BUSY, 0.3, *end.split()])
    assert done.returncode == status, done
    assert "burn" in support.shares(load_speedscope(done.output))


def test_standard_input_is_the_programs(one, tmp_path):
    (tmp_path / "in").write_text("from a file\n")
    with open(tmp_path / "in") as file:
        done = launch(tmp_path, ["-o", "p.json"], [one.exe, "-c", "print(input())"], stdin=file)
    assert done.stdout == "from a file\n"


@pytest.mark.parametrize("command, status, reason", [("/nowhere/program", 127, "No such file"), ("/etc/passwd", 126, "Permission denied"),
                                                     ("no-such-program", 127, "No such file")])
def test_a_program_that_cannot_be_started_is_said_with_the_shells_status(command, status, reason, tmp_path):
    done = launch(tmp_path, [], [command])
    assert done.returncode == status and "pyagent: can't start '%s': %s" % (command, reason) in done.stderr, done
    assert nothing_but(tmp_path)


def test_a_program_without_python_leaves_no_profile_and_its_status(tmp_path):
    done = launch(tmp_path, [], ["sh", "-c", "exit 3"])
    assert done.returncode == 3 and "no Python was seen running in 'sh'" in done.stderr, done
    assert nothing_but(tmp_path)


def test_python_may_come_by_exec(one, tmp_path):
    done = launch(tmp_path, ["-o", "p.json"], ["sh", "-c", "exec %s %s 0.3" % (one.exe, BUSY)])
    assert done.returncode == 0 and "burn" in support.shares(load_speedscope(done.output)), done


def test_when_time_is_up_the_profile_is_there_and_the_program_goes_on(one, tmp_path):
    process = start(tmp_path, ["-d", "0.5", "-o", "p.json"], [one.exe, "-c", "exec(open(%r).read()); input(); exit(9)" % str(BUSY), "0.7"],
                    stdin=subprocess.PIPE)
    wait_for((tmp_path / "p.json").exists, "the profile")
    assert nothing_but(tmp_path, "p.json") and process.poll() is None
    process.communicate("go on\n", timeout=20)
    assert process.returncode == 9
    assert 0.1 < support.total_weight(load_speedscope(tmp_path / "p.json")) < 0.6


# --- signals ---


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
def test_a_signal_to_pyagent_reaches_the_program_and_keeps_the_recording(one, number, tmp_path):
    process = start(tmp_path, ["-o", "p.json"], [one.exe, BUSY, 60])
    wait_for(lambda: support.samples_so_far(tmp_path) > 20, "20 samples")
    process.send_signal(number)
    _, said = process.communicate(timeout=20)
    assert process.returncode == 128 + number and "p.json" in said, said
    assert "burn" in support.shares(load_speedscope(tmp_path / "p.json")) and nothing_but(tmp_path, "p.json")


def test_the_program_may_take_its_time_after_a_signal(one, tmp_path):
    code = ("import signal, sys, time\ndef leave(*_):\n    end = time.time() + 0.5\n    while time.time() < end: pass\n    sys.exit(5)\n"
            "signal.signal(signal.SIGTERM, leave)\nwhile True: pass\n")
    process = start(tmp_path, ["-o", "p.json"], [one.exe, "-c", code])
    wait_for(lambda: support.samples_so_far(tmp_path) > 20, "20 samples")
    process.terminate()
    process.communicate(timeout=20)
    assert process.returncode == 5 and load_speedscope(tmp_path / "p.json")


def test_more_signals_lose_nothing(one, tmp_path):
    with support.start_program(one.exe, PROGRAMS / "told.py") as program:
        with support.start_record(program.pid, tmp_path / "p.json", rate=2000, options=["-i"]) as process:
            wait_for(lambda: support.samples_so_far(tmp_path) > 300, "300 samples")
            while process.poll() is None:
                process.send_signal(signal.SIGINT)
                time.sleep(0.0005)
            assert process.returncode == 0, process.stderr.read()
    assert load_speedscope(tmp_path / "p.json") and nothing_but(tmp_path, "p.json")


def test_what_was_ignored_stays_ignored(one, tmp_path):
    process = start(tmp_path, ["-o", "p.json"], [one.exe, BUSY, 0.7], preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
    wait_for(lambda: support.samples_so_far(tmp_path) > 10, "10 samples")
    process.send_signal(signal.SIGHUP)
    process.communicate(timeout=20)
    assert process.returncode == 0
    assert support.total_weight(load_speedscope(tmp_path / "p.json")) > 0.5


# --- names of files ---


@pytest.mark.parametrize("command, options, name", [
    (["busy.py", "0.1"], [], "pyagent-busy-%d.speedscope.json"), (["busy.py", "0.1"], ["-f", "raw"], "pyagent-busy-%d.raw.txt"),
    (["-m", "busy", "0.1"], [], "pyagent-busy-%d.speedscope.json"), (["busy.py", "0.1"], ["-o", "a-%p.json"], "a-%d.json"),
], ids=["script", "raw", "module", "percent"])
def test_the_profile_is_named_after_program_and_pid(one, command, options, name, tmp_path):
    (tmp_path / "busy.py").write_text("import os; print(os.getpid())\n" + BUSY.read_text())
    done = launch(tmp_path, options, [one.exe, "-B", *command])
    name %= int(done.stdout.split()[0])
    assert nothing_but(tmp_path, "busy.py", name) and name in done.stderr


def test_a_file_of_ours_is_replaced_at_the_end(one, tmp_path):
    (tmp_path / "p.json").write_text("before")
    process = start(tmp_path, ["-o", "p.json"], [one.exe, BUSY, 0.5])
    wait_for(lambda: support.samples_so_far(tmp_path) > 5, "5 samples")
    assert (tmp_path / "p.json").read_text() == "before"
    process.communicate(timeout=20)
    assert load_speedscope(tmp_path / "p.json") and nothing_but(tmp_path, "p.json")


def make_file_of_another_user(path):
    path.write_text("theirs")
    os.chown(str(path), 65534, 65534)


@pytest.mark.parametrize("make, reason", [
    (pathlib.Path.mkdir, "directory"), (lambda path: os.mkfifo(str(path)), "not a regular file"),
    (lambda path: path.symlink_to("/dev/null"), "not a regular file"),
    pytest.param(make_file_of_another_user, "another user", marks=pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")),
], ids=["directory", "pipe", "link", "another_user"])
def test_what_is_not_ours_to_replace_is_refused_and_nothing_started(make, reason, tmp_path):
    make(tmp_path / "p.json")
    done = launch(tmp_path, ["-o", "p.json"], ["touch", "started"])
    assert done.returncode == 1 and reason in done.stderr and "--output" in done.stderr, done
    assert nothing_but(tmp_path, "p.json")


def test_a_profile_that_cannot_be_written_at_the_end_leaves_the_recording(one, tmp_path):
    process = start(tmp_path, ["-o", "p.json"], [one.exe, BUSY, 0.4, "exit", 0])
    wait_for(lambda: support.samples_so_far(tmp_path) > 5, "5 samples")
    (tmp_path / "p.json").mkdir()
    _, said = process.communicate(timeout=20)
    (recording,) = tmp_path.glob("*.pyagent")
    assert process.returncode == 1 and "can't write to p.json" in said and recording.name in said, said
    assert subprocess.run([support.TOOL, "convert", recording, "-o", tmp_path / "late.json"], stderr=subprocess.DEVNULL).returncode == 0
    assert "burn" in support.shares(load_speedscope(tmp_path / "late.json"))


# --- what is in the profile ---


def raw_lines(path):
    return {stack: int(count) for stack, count in (line.rsplit(" ", 1) for line in path.read_text(encoding="utf-8").splitlines())}


@pytest.mark.parametrize("options, pattern", [
    ([], r"<module> \(busy\.py:\d+\);outer \(busy\.py:%(call)d\);burn \(busy\.py:(%(while)d|%(pass)d)\)$"),
    (["-F"], r"<module> \(busy\.py:\d+\);outer \(busy\.py:%(outer)d\);burn \(busy\.py:%(burn)d\)$"),
    (["--nolineno"], r"<module> \(busy\.py\);outer \(busy\.py\);burn \(busy\.py\)$"),
    (["--full-filenames"], r"<module> \(%(path)s:\d+\);outer \(%(path)s:%(call)d\);burn"),
    (["-t"], r"thread \(\d+\): MainThread;<module>"), (["-g"], r"<module> \(busy\.py:\d+\);outer"),
    (["-s"], r'process \d+:"\S+ \S+busy\.py 0\.4";<module>'), (["-s", "-t"], r'process \d+:"\S+ \S+busy\.py 0\.4";thread \(\d+\): MainThread;<module>'),
], ids=lambda value: " ".join(value) if isinstance(value, list) else "")
def test_frames_are_shown_as_asked(some, options, pattern, tmp_path):
    lines = BUSY.read_text().splitlines()
    places = {"burn": lines.index("def burn(seconds):") + 1, "outer": lines.index("def outer(seconds):") + 1, "path": re.escape(str(BUSY))}
    places.update({"call": places["outer"] + 1, "while": places["burn"] + 2, "pass": places["burn"] + 3})
    done = launch(tmp_path, ["-o", "p.txt", *options], [some.exe, BUSY, 0.4])
    found = raw_lines(done.output)
    matching = sum(count for stack, count in found.items() if re.match(pattern % places, stack))
    assert matching >= 0.6 * sum(found.values()), found


def test_waiting_counts_only_when_asked(one, tmp_path):
    code = "import time\ndef wait(): time.sleep(0.6)\nwait()"
    busy = launch(tmp_path, ["-o", "p.txt"], [one.exe, "-c", code])
    assert not any("wait" in stack for stack in raw_lines(busy.output))
    idle = launch(tmp_path, ["-o", "p.txt", "-i"], [one.exe, "-c", code])
    waiting = sum(count for stack, count in raw_lines(idle.output).items() if "wait (" in stack)
    assert 50 <= waiting <= 75


def test_children_stand_on_their_parents(one, tmp_path):
    inner = "import time\nend = time.time() + 0.5\nwhile time.time() < end: pass"
    code = "import subprocess, sys\nsubprocess.run([sys.executable, '-c', %r])\nend = __import__('time').time() + 0.4\nwhile __import__('time').time() < end: pass" % inner
    done = launch(tmp_path, ["-o", "p.txt", "-s", "-r", "200"], ["sh", "-c", "%s -c %s; true" % (one.exe, shlex.quote(code))])
    own = [stack for stack in raw_lines(done.output) if stack.count("process ") == 1 and stack.endswith(("<module> (<string>:3)", "<module> (<string>:4)"))]
    childs = [stack for stack in raw_lines(done.output) if re.match(r'process \d+:".*";process \d+:".*";<module> \(<string>:3\)$', stack)]
    assert own and childs, done
    (tmp_path / "p.txt").unlink()
    done = launch(tmp_path, ["-o", "p.json", "-s"], ["sh", "-c", "%s -c %s; true" % (one.exe, shlex.quote(code))])
    names = set(load_speedscope(done.output))
    assert len(names) == 2 and all(re.match(r'Process \d+ Thread \d+ "MainThread"$', name) for name in names), names


def test_a_process_that_was_only_just_started_is_waited_for(python, tmp_path):
    program = subprocess.Popen([python.exe, str(BUSY), "0.6"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        done = support.record(program.pid, tmp_path / "p.json", rate=200)
    finally:
        program.wait()
    assert done.returncode == 0, done
    assert support.total_shares(load_speedscope(done.output))["burn"] > 0.5


# --- what it says ---


def test_the_summary_counts_samples_and_shows_the_hottest_functions(one, tmp_path):
    done = launch(tmp_path, ["-o", "p.json"], [one.exe, BUSY, 1])
    lines = done.stderr.splitlines()
    (counts,) = [line for line in lines if line.startswith("pyagent: ")]
    samples, flagged = map(int, re.match(r"pyagent: (\d+) samples?, (\d+) flagged.*: p\.json$", counts).groups())
    assert samples >= 50 and flagged <= 1
    own, total = map(float, re.match(r" *([\d.]+) % +([\d.]+) %  burn \(busy\.py\)$", lines[lines.index(counts) + 2]).groups())
    assert 50 < own <= total <= 100


def test_quiet_says_nothing(one, tmp_path):
    done = launch(tmp_path, ["-q", "-o", "p.json"], [one.exe, BUSY, 0.2])
    assert done.stderr == "to stderr\n" and done.output


def test_no_samples_are_a_profile_and_a_hint(one, tmp_path):
    with support.start_program(one.exe, ("-c", "print('ready', flush=True); input()")) as program:
        done = support.record(program.pid, tmp_path / "p.json", seconds=0.3)
    assert done.returncode == 0 and "0 samples" in done.stderr and "--idle" in done.stderr, done
    assert support.total_weight(load_speedscope(done.output)) == 0


def test_on_a_terminal_one_line_shows_how_it_goes(one, tmp_path):
    master, slave = pty.openpty()
    process = start(tmp_path, ["-o", "p.json"], [one.exe, BUSY, 1.2], stdin=slave, stderr=slave)
    os.close(slave)
    shown = b""
    try:
        while True:
            shown += os.read(master, 4096)
    except OSError:  # EIO: nobody has it open any more
        os.close(master)
    process.communicate(timeout=20)
    counts = [int(count) for count in re.findall(rb"\r[\d.]+ s  (\d+) samples  \d+ looks a second  \d+ dropped  \d+ missed", shown)]
    assert len(counts) >= 3 and counts == sorted(counts) and counts[-1] > 50, shown
    assert shown.index(b"\r\x1b[Kpyagent: ") > shown.rindex(b" missed  ("), shown
