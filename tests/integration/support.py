"""Runs Python programs under the agent or beside `pyagent record`, and reads the profiles they leave."""
import collections
import contextlib
import functools
import json
import os
import pathlib
import re
import select
import signal
import struct
import subprocess
import sys
import tempfile
import time
from typing import NamedTuple

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
BUILD = pathlib.Path(os.environ.get("PYAGENT_BUILD") or ROOT / "build").resolve()
AGENT = BUILD / "agent" / "libpyagent.so"
TOOL = BUILD / "tools" / "pyagent"


# --- interpreters ---


class Python(NamedTuple):
    tag: str  # as tests/pythons/setup lists it: system-3.11, 3.8, sid-3.14d, 3.13t
    exe: str

    @property
    def version(self):
        """(3, 14) for sid-3.14d."""
        major, minor = re.search(r"(\d+)\.(\d+)", self.tag).groups()
        return int(major), int(minor)

    @property
    def is_debug(self):
        return self.tag.endswith("d")

    @property
    def is_free_threaded(self):
        return self.tag.endswith("t")


@functools.lru_cache(maxsize=None)
def list_pythons():
    """What PYAGENT_PYTHONS lists (TAG<TAB>EXECUTABLE lines), else what is found here."""
    listed = os.environ.get("PYAGENT_PYTHONS")
    if listed:
        text = pathlib.Path(listed).read_text()
    else:
        text = subprocess.run([ROOT / "tests/pythons/setup", "--present"], stdout=subprocess.PIPE, text=True, check=True).stdout
    return [Python(*line.split("\t")) for line in text.splitlines() if line.strip()]


def find_pythons():
    """Those that pyagent supports: not 2.7."""
    return [python for python in list_pythons() if python.version >= (3, 5)]


# --- running ---


class Run(NamedTuple):
    returncode: int
    stdout: str
    stderr: str
    profiles: list  # paths of the files written, the program's own first, then its children's
    cwd: pathlib.Path

    @property
    def profile(self):
        """The path of the only profile."""
        assert len(self.profiles) == 1, "expected one profile, found %s\n%s" % (self.profiles, self.stderr)
        return self.profiles[0]


def option_text(options):
    """{"rate": 500, "idle": True, "gil": False} -> "rate=500,idle"; text stays as it is."""
    if isinstance(options, str):
        return options
    return ",".join(name if value is True else "%s=%s" % (name, value) for name, value in options.items() if value is not False)


def agent_environment(options="", env=None, agent=AGENT):
    """os.environ, plus the agent with its options, plus `env` (a None there unsets)."""
    merged = dict(os.environ, LD_PRELOAD=str(agent), PYAGENT=option_text(options))
    for name, value in (env or {}).items():
        merged.pop(name, None)
        if value is not None:
            merged[name] = str(value)
    return merged


def run_agent(exe, script, options="", args=(), cwd=None, env=None, timeout=120, agent=AGENT):
    """Runs `exe script args...` under the agent and collects what it leaves.

    script   a path; or ("-c", code)
    options  PYAGENT as text or dict; without `output` in it the profile is profile.json in `cwd`
    cwd      where to run; a fresh temporary directory if not given
    env      variables to set, or to unset with None
    """
    cwd = pathlib.Path(cwd or tempfile.mkdtemp(prefix="pyagent-test-"))
    options = option_text(options)
    output = re.search(r"(?:^|,)output=([^,]*)", options)
    if not output:
        options += ("," if options else "") + "output=profile.json"
    pattern = pathlib.Path(output.group(1) if output else "profile.json")
    where = cwd / pattern.parent
    before = set(where.iterdir()) if where.is_dir() else set()

    start = list(script) if isinstance(script, (tuple, list)) else [str(script)]
    command = [str(exe)] + start + [str(arg) for arg in args]
    # In a session of its own, so that a timeout ends its children too.
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=str(cwd),
                               env=agent_environment(options, env, agent), encoding="utf-8", errors="backslashreplace",
                               start_new_session=True)
    try:
        stdout, stderr = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        stdout, stderr = process.communicate()
        raise AssertionError("%s did not end within %s s\nstdout: %s\nstderr: %s" % (command, timeout, stdout, stderr)) from None

    # A child's file has the child's pid added to the name, so everything that begins alike is ours;
    # a recording (.pyagent) that was not converted is not a profile.
    stem = pattern.name.split(".")[0].split("%")[0]
    written = where.iterdir() if where.is_dir() else ()
    written = [path for path in written if path not in before and path.name.startswith(stem) and path.suffix != ".pyagent"]
    own = pattern.name.replace("%p", str(process.pid))
    profiles = sorted(written, key=lambda path: (path.name != own, path.name))
    return Run(process.returncode, stdout, stderr, profiles, cwd)


# --- attaching ---


class Program:
    """A program that runs beside the test. It reads commands from standard input and answers each with a line."""

    def __init__(self, process):
        self.process = process
        self.pid = process.pid  # of the interpreter, as seen from here
        self.left = b""

    def read_line(self, timeout=60):
        """The next line of its standard output."""
        end = time.monotonic() + timeout
        while b"\n" not in self.left:
            if not select.select([self.process.stdout], [], [], max(0, end - time.monotonic()))[0]:
                raise AssertionError("process %d printed nothing for %s s" % (self.pid, timeout))
            read = os.read(self.process.stdout.fileno(), 65536)
            assert read, "process %d closed its standard output, status %s" % (self.pid, self.process.poll())
            self.left += read
        line, self.left = self.left.split(b"\n", 1)
        return line.decode()

    def tell(self, command):
        self.process.stdin.write((command + "\n").encode())
        self.process.stdin.flush()

    def ask(self, command, timeout=60):
        self.tell(command)
        return self.read_line(timeout)


@contextlib.contextmanager
def start_program(exe, script, args=(), env=None, cwd=None, prefix=(), timeout=60):
    """Starts `prefix... exe script args...`, gives it as a Program once it prints `ready`, and kills it and its children."""
    start = list(script) if isinstance(script, (tuple, list)) else [str(script)]
    command = [str(part) for part in (*prefix, exe, *start, *args)]
    environment = dict(os.environ, **(env or {}))
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=cwd and str(cwd),
                               env=environment, start_new_session=True)
    try:
        program = Program(process)
        line = program.read_line(timeout)
        assert line == "ready", line
        yield program
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        with contextlib.suppress(BrokenPipeError):
            process.communicate()


class Recording(NamedTuple):
    returncode: int
    stdout: str
    stderr: str
    output: pathlib.Path
    seconds: float  # from the start of pyagent to its end


def record_command(pid, output, rate=1000, seconds=None, options=(), tool=TOOL):
    command = [tool, "record", "-p", pid, "-r", rate, "-o", output, *(["-d", seconds] if seconds is not None else []), *options]
    return [str(part) for part in command]


def record(pid, output, rate=1000, seconds=None, options=(), prefix=(), timeout=60, cwd=None, tool=TOOL):
    """Runs `pyagent record -p PID` to its end."""
    begin = time.monotonic()
    command = [str(part) for part in prefix] + record_command(pid, output, rate, seconds, options, tool)
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8",
                          errors="backslashreplace", timeout=timeout, cwd=cwd and str(cwd))
    return Recording(done.returncode, done.stdout, done.stderr, pathlib.Path(output), time.monotonic() - begin)


@contextlib.contextmanager
def start_record(pid, output, rate=1000, seconds=None, options=(), tool=TOOL):
    """Starts `pyagent record -p PID` and gives its Popen once it has taken a sample; kills it at the end."""
    output = pathlib.Path(output)
    process = subprocess.Popen(record_command(pid, output, rate, seconds, options, tool), stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8", errors="backslashreplace")
    try:
        wait_for(lambda: process.poll() is not None or samples_so_far(output.parent) > 0, "the first sample")
        assert process.poll() is None, "pyagent ended early with status %s\n%s" % (process.returncode, process.stderr.read())
        yield process
    finally:
        process.kill()
        process.communicate()


def samples_so_far(directory):
    """Samples in the recordings that are being written in a directory; see include/pyagent/recording/file_format.hpp."""
    total = 0
    for path in pathlib.Path(directory).glob("*.pyagent"):
        with contextlib.suppress(OSError), open(str(path), "rb") as file:
            head = file.read(struct.calcsize("<8sIIQQ"))
            if len(head) == struct.calcsize("<8sIIQQ"):
                total += struct.unpack("<8sIIQQ", head)[4]
    return total


def wait_for(condition, what, timeout=30):
    """Waits until `condition()` is true, and gives what it gave."""
    end = time.monotonic() + timeout
    while True:
        found = condition()
        if found:
            return found
        assert time.monotonic() < end, "%s did not come within %s s" % (what, timeout)
        time.sleep(0.005)


def thread_states(pid):
    """{thread id: state letter of /proc}: R, S, D, T stopped, t traced, Z."""
    states = {}
    for task in pathlib.Path("/proc/%d/task" % pid).iterdir():
        with contextlib.suppress(OSError):
            states[int(task.name)] = (task / "stat").read_text(errors="replace").rsplit(")", 1)[1].split()[0]
    return states


def status_field(pid, name):
    """A line of /proc/PID/status, without its name."""
    text = pathlib.Path("/proc/%d/status" % pid).read_text(errors="replace")
    return re.search(r"^%s:\s*(.*)$" % name, text, re.MULTILINE).group(1)


# --- speedscope files ---


class Frame(NamedTuple):
    name: str
    file: str
    line: int  # None where the file has none
    col: int = None


class Sample(NamedTuple):
    stack: tuple  # of Frame, root first
    weight: float  # seconds

    @property
    def names(self):
        return [frame.name for frame in self.stack]


def load_speedscope(path):
    """{the profile's name: [Sample, ...]}, one entry for each thread; profiles of one name are put together."""
    document = json.loads(pathlib.Path(path).read_text(encoding="utf-8"))
    assert document["$schema"] == "https://www.speedscope.app/file-format-schema.json"
    frames = [Frame(frame["name"], frame.get("file"), frame.get("line"), frame.get("col")) for frame in document["shared"]["frames"]]
    threads = collections.OrderedDict()
    for profile in document["profiles"]:
        assert profile["type"] == "sampled" and profile["unit"] == "seconds", (profile["type"], profile["unit"])
        assert len(profile["samples"]) == len(profile["weights"])
        stacks = [tuple(frames[index] for index in sample) for sample in profile["samples"]]
        threads.setdefault(profile["name"], []).extend(map(Sample, stacks, profile["weights"]))
    return threads


def total_weight(threads):
    """Seconds in all samples of all threads."""
    return sum(sample.weight for samples in threads.values() for sample in samples)


def shares(threads, key=lambda frame: frame.name):
    """{function: share of all weight in which it is the leaf}, largest first."""
    weights = collections.Counter()
    for samples in threads.values():
        for sample in samples:
            weights[key(sample.stack[-1]) if sample.stack else None] += sample.weight
    total = sum(weights.values()) or 1
    return collections.OrderedDict((name, weight / total) for name, weight in weights.most_common())


def total_shares(threads, key=lambda frame: frame.name):
    """{function: share of all weight in which it is anywhere on the stack}, largest first."""
    weights = collections.Counter()
    for samples in threads.values():
        for sample in samples:
            for name in {key(frame) for frame in sample.stack}:
                weights[name] += sample.weight
    total = total_weight(threads) or 1
    return collections.OrderedDict((name, weight / total) for name, weight in weights.most_common())


if __name__ == "__main__":  # support.py PROFILE...: what is in it
    for name in sys.argv[1:]:
        for thread, samples in load_speedscope(name).items():
            print(thread, "%.3f s" % sum(sample.weight for sample in samples))
            for function, share in list(shares({thread: samples}).items())[:10]:
                print("  %5.1f %%  %s" % (100 * share, function))
