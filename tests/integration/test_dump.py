"""pyagent dump: threads, frames and values as the interpreter itself sees them, and as py-spy does where it can.

programs/locals.py parks threads in all kinds of frames and says what is in them.
"""
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import time

import pytest

import support
from support import start_program, wait_for

PROGRAMS = pathlib.Path(__file__).parent / "programs"
LOCALS = PROGRAMS / "locals.py"
PY_SPY = pathlib.Path(os.environ.get("PY_SPY") or shutil.which("py-spy") or
                      pathlib.Path.home() / ".cache/pyagent-tests/venv/bin/py-spy")
NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")

pytestmark = pytest.mark.usefixtures("tool")
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")


def run_dump(pid, *options, prefix=(), status=0):
    done = subprocess.run([*prefix, str(support.TOOL), "dump", "-p", str(pid), *options], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8", timeout=60)
    assert done.returncode == status, (done.returncode, done.stdout[:2000], done.stderr)
    assert status != 0 or done.stderr == ""
    return done.stderr if status else done.stdout


def dump_json(pid, *options):
    return {thread["thread_id"]: thread for thread in json.loads(run_dump(pid, "--json", *options))}


def find_python(*tags):
    found = [python for tag in tags for python in support.find_pythons() if python.tag == tag]
    if not found:
        pytest.skip("none of %s is here" % (tags,))
    return found[0]


@pytest.fixture
def one():
    """The interpreter for what does not depend on it."""
    return find_python("system-3.11", "3.11", "3.12", "3.13")


# --- compared with the program ---


def is_main(thread):
    return thread["os_thread_id"] == thread["pid"]


def parked(threads):
    return [thread for thread in threads.values() if not is_main(thread)]


def short_name(frame):
    return frame["name"].rsplit(".", 1)[-1]


def places(frames):
    return [(short_name(frame), frame["filename"], frame["line"]) for frame in frames]


def differences(truth, thread):
    """What is wrong in one thread of a dump, in words."""
    wrong = []
    if places(thread["frames"]) != places(truth["frames"]):
        return ["frames %s, not %s" % (places(thread["frames"]), places(truth["frames"]))]
    for frame, seen in zip(truth["frames"], thread["frames"]):
        shown = {local["name"]: local for local in seen["locals"]}
        if shown.keys() != frame["locals"].keys():
            wrong.append("%s has %s, not %s" % (frame["name"], sorted(shown), sorted(frame["locals"])))
        for name in shown.keys() & frame["locals"].keys():
            texts, is_argument = frame["locals"][name]
            if shown[name]["repr"] not in texts or shown[name]["arg"] != is_argument:
                seen_here = shown[name]["repr"], shown[name]["arg"]
                wrong.append("%s.%s: %s %s, not %s %s" % ((frame["name"], name) + seen_here + (texts, is_argument)))
    return wrong


def assert_is_truth(report, dumped):
    assert {str(ident) for ident in dumped} == report.keys()
    wrong, values = [], 0
    for ident, thread in dumped.items():
        truth = report[str(ident)]
        assert thread["thread_name"] == truth["name"]
        assert truth["tid"] in (None, thread["os_thread_id"])
        if is_main(thread):
            assert [short_name(frame) for frame in thread["frames"]] == ["serve", "<module>"]
            continue
        assert (thread["active"], thread["owns_gil"]) == (False, False), thread["thread_name"]
        wrong += ["%s: %s" % (truth["name"], what[:1000]) for what in differences(truth, thread)]
        values += sum(len(frame["locals"]) for frame in thread["frames"])
    assert not wrong, "%d differences:\n%s" % (len(wrong), "\n".join(wrong[:20]))
    return values


def assert_text_is_json(text, pid, dumped):
    """The text has the same threads and frames, and nothing of the target that a terminal would obey."""
    head = r'Process %d: .*locals.py\nPython v3\.\d+\.\d+\w* \(/.+\)\n\nThread %d \(\w+(\+gil)?\): "MainThread"\n'
    assert re.match(head % (pid, pid), text)
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", text)
    for thread in dumped.values():
        name = thread["thread_name"].replace("\x1b", "\\x1b")
        assert 'Thread %d (%s): "%s"' % (thread["os_thread_id"], "idle", name) in text or is_main(thread)
        for frame in thread["frames"]:
            assert "\n    %s (%s:%d)\n" % (frame["name"], frame["short_filename"], frame["line"]) in text
    assert "\n        Arguments:\n            zero: 0\n            minus: -1\n            rest: ('rest', 2)\n" in text
    assert re.search(r"\n            named: \{'key': \[1\]\}\n        Locals:\n            small: 7\n", text)


def assert_is_what_py_spy_says(pid, dumped):
    done = subprocess.run([str(PY_SPY), "dump", "--json", "--nonblocking", "-p", str(pid)], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, encoding="utf-8", timeout=60)
    if done.returncode != 0:
        return "py-spy can't: %s" % (done.stderr.strip().splitlines() or ["?"])[0]
    for other in json.loads(done.stdout):
        ours = dumped[other["thread_id"]]
        assert ours.keys() == other.keys()
        fields = ["pid", "owns_gil", "process_info"]
        fields += ["os_thread_id", "active"] if other["os_thread_id"] is not None else []  # py-spy has it from 3.11 on
        fields += ["thread_name"] if other["thread_name"] is not None else []
        for field in fields:
            assert ours[field] == other[field], (field, ours["thread_name"])
        assert len(ours["frames"]) == len(other["frames"])
        for mine, its in zip(ours["frames"], other["frames"]):
            assert mine.keys() == its.keys()
            assert short_name(mine) == short_name(its)
            for field in ("filename", "module", "short_filename", "line"):
                assert mine[field] == its[field], (field, mine, its)
    return "as py-spy"


def ask_report(program):
    """What the program says of its threads, which are all at rest then."""
    report = json.loads(program.ask("report"))
    wait_for(lambda: set(support.thread_states(program.pid).values()) == {"S"}, "a pause")
    return report


def test_threads_frames_and_values_are_those_the_interpreter_sees(python):
    with start_program(python.exe, LOCALS) as program:
        report = ask_report(program)
        dumped = dump_json(program.pid, "-lll")
        values = assert_is_truth(report, dumped)
        assert values > 130
        again = dump_json(program.pid, "--nonblocking", "-lll")
        assert [again[ident] for ident in dumped if not is_main(again[ident])] == parked(dumped)
        plain = dump_json(program.pid)
        assert all(frame["locals"] is None for thread in plain.values() for frame in thread["frames"])
        assert_text_is_json(run_dump(program.pid, "--locals"), program.pid, dumped)
        spied = assert_is_what_py_spy_says(program.pid, plain)
        print("%s: %d threads, %d values; %s" % (python.tag, len(dumped), values, spied))


@as_root
@pytest.mark.parametrize("version", ["3.13", "3.14", "3.14d", "3.15", "3.15d"])
def test_a_process_in_a_chroot_is_dumped(version):
    root = pathlib.Path(find_python("sid-" + version).exe).parents[2]
    with start_program("/usr/bin/python" + version, ("-c", LOCALS.read_text()), prefix=("chroot", root), cwd="/") as program:
        report = ask_report(program)
        assert assert_is_truth(report, dump_json(program.pid, "-lll")) > 130


# --- states ---

STATES = """
import sys, threading, time, gc
lock = threading.Lock()
lock.acquire()
def burn():
    while True:
        pass
def wait():
    lock.acquire()
for target in (burn, burn, wait):
    threading.Thread(target=target, name=target.__name__, daemon=True).start()
print("ready", flush=True)
time.sleep(1000)
"""


def test_states_tell_who_runs_who_holds_the_gil_and_who_waits_for_it(one):
    seen = set()
    with start_program(one.exe, ("-c", STATES)) as program:
        def look():
            text = run_dump(program.pid)
            seen.update(re.findall(r'^Thread \d+ (\(.*?\)): "(\w+)"(.*)$', text, re.MULTILINE))
            return seen >= {("(active+gil)", "burn", ""), ("(idle)", "burn", " (waiting for the GIL)"), ("(idle)", "wait", ""),
                            ("(idle)", "MainThread", "")}

        wait_for(look, "a thread with the GIL and one that waits for it")
        holders = [sum(thread["owns_gil"] for thread in dump_json(program.pid).values()) for _ in range(5)]
    assert not any("wait" == name and state != "(idle)" for state, name, _ in seen)
    assert max(holders) == 1


def test_a_thread_that_collects_garbage_says_so():
    python = find_python("3.13", "3.12", "3.10")
    code = "import gc\nx = [[i] for i in range(2000000)]\nprint('ready', flush=True)\nwhile True: gc.collect()\n"
    with start_program(python.exe, ("-c", code)) as program:
        wait_for(lambda: '(active+gil): "MainThread" (garbage collecting)' in run_dump(program.pid), "a collection")


# --- limits ---

DEEP = """
import sys, threading
sys.setrecursionlimit(20000)
threading.stack_size(256 << 20)
def park(): input()
def dive(n, text):
    if n: dive(n - 1, text)
    else:
        print("ready", flush=True)
        park()
thread = threading.Thread(target=dive, args=(10000, "long " * 1000), daemon=True)
thread.start()
thread.join()
"""


def test_a_stack_that_is_too_deep_says_how_many_frames_it_leaves_out(one):
    with start_program(one.exe, ("-c", DEEP)) as program:
        text = run_dump(program.pid)
        frames = next(thread["frames"] for thread in dump_json(program.pid, "-l").values() if not is_main(thread))
    left_out = int(re.search(r"^    \[(\d+) frames left out\]$", text, re.MULTILINE).group(1))
    assert text.count("    dive (") + left_out == 10001
    assert [frame["name"] for frame in frames].count("[%d frames left out]" % left_out) == 1
    dives = [frame for frame in frames if frame["name"] == "dive"]
    assert [local["repr"] for local in dives[0]["locals"]][:1] == ["0"] and dives[-1]["locals"][0]["repr"] == "10000"
    assert all(140 > len(local["repr"]) > 120 for frame in dives for local in frame["locals"] if local["name"] == "text")


LIES = """
import ctypes, gc, sys
gc.disable()  # it would believe the lengths
def lie(value, length):
    ctypes.c_uint64.from_address(id(value) + 16).value = length  # ob_size, length or ma_used
    return value
def park():
    print("ready", flush=True)
    sys.stdin.read()
    import os; os._exit(0)
def hold():
    lists = [lie([1, 2], length) for length in (2 ** 62, 2 ** 63, 2 ** 64 - 1, 2 ** 32)]
    text, data, pair, word = lie("text" * 3, 2 ** 61 - 1), lie(b"data" * 3, 2 ** 62), lie((1, 2), 2 ** 63), lie("more" * 3, 2 ** 63)
    number, table = lie(10 ** 30, 2 ** 62), lie({"a": 1}, 2 ** 62)
    deep = []
    for _ in range(100000): deep = [deep, deep, deep]
    park()
hold()
"""


def test_values_that_lie_about_their_length_cost_no_more_than_others(one):
    with start_program(one.exe, ("-c", LIES)) as program:
        begin = time.monotonic()
        threads = dump_json(program.pid, *["-l"] * 20)
        assert time.monotonic() - begin < 10
    (hold,) = [frame for thread in threads.values() for frame in thread["frames"] if frame["name"] == "hold"]
    shown = {local["name"]: local["repr"] for local in hold["locals"]}
    assert re.match(r"\[(<unreadable list at 0x\w+>, ){3}", shown["lists"]), shown["lists"]
    for name, kind in (("text", "str"), ("data", "bytes"), ("pair", "tuple"), ("word", "str"), ("number", "int")):
        assert shown[name].startswith("<unreadable %s at 0x" % kind), (name, shown[name])
    assert shown["table"] == "{'a': 1}"
    assert len(shown["deep"]) < 10 ** 6 and "..." in shown["deep"]


# --- trees ---

PARENT = """
import subprocess, sys, time
inner = "import time; print('ready', flush=True); time.sleep(1000)"
child = subprocess.Popen(["sh", "-c", sys.executable + " -c \\"" + inner + "\\"; true"], stdout=subprocess.PIPE)
child.stdout.readline()
print("ready", flush=True)
time.sleep(1000)
"""


def test_subprocesses_are_dumped_with_their_parents_even_below_a_shell(one):
    with start_program(one.exe, ("-c", PARENT)) as program:
        text = run_dump(program.pid, "-s")
        pids = {thread["pid"] for thread in json.loads(run_dump(program.pid, "--json", "--subprocesses"))}
        alone = run_dump(program.pid)
    assert len(pids) == 2 and program.pid in pids
    assert [int(pid) for pid in re.findall(r"^Process (\d+):", text, re.MULTILINE)] == [program.pid, max(pids - {program.pid})]
    assert text.count("\nPython v3") == 2 and alone.count("\nPython v3") == 1


# --- what goes wrong ---


def test_a_process_that_is_not_there_or_not_python_is_an_error_with_a_reason(tool):
    gone = subprocess.Popen(["true"])
    gone.wait()
    assert re.match(r"pyagent: .*%d" % gone.pid, run_dump(gone.pid, status=1))
    sleeper = subprocess.Popen(["sleep", "1000"])
    try:
        wait_for(lambda: pathlib.Path("/proc/%d/comm" % sleeper.pid).read_text() == "sleep\n", "exec")
        assert "Python" in run_dump(sleeper.pid, status=1)
        assert "Python" in run_dump(sleeper.pid, "--json", "-s", status=1)
    finally:
        sleeper.kill()
        sleeper.wait()


@as_root
def test_another_users_process_is_refused_with_advice(one, tool, tmp_path):
    with start_program(one.exe, ("-c", "print('ready', flush=True); input()")) as program:
        copy = tmp_path / "pyagent"
        shutil.copy(str(tool), str(copy))
        for path in (copy, *copy.parents):
            if path.owner() == "root" and path != pathlib.Path("/") and not path.stat().st_mode & 0o005:
                path.chmod(path.stat().st_mode | 0o055)
        done = subprocess.run([*NOBODY, str(copy), "dump", "-p", str(program.pid)], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              encoding="utf-8")
        assert done.returncode == 1 and done.stdout == ""
        assert re.match(r"pyagent: .*%d.*\n  \S" % program.pid, done.stderr), done.stderr


def test_a_stopped_process_is_dumped_and_stays_stopped(one):
    with start_program(one.exe, LOCALS) as program:
        report = ask_report(program)
        os.kill(program.pid, signal.SIGSTOP)
        wait_for(lambda: set(support.thread_states(program.pid).values()) == {"T"}, "the stop")
        assert_is_truth(report, dump_json(program.pid, "-lll"))
        assert set(support.thread_states(program.pid).values()) == {"T"}


def test_the_program_goes_on_after_a_dump(one):
    code = "import sys\nprint('ready', flush=True)\nfor line in sys.stdin: print(line, end='', flush=True)\n"
    with start_program(one.exe, ("-c", code)) as program:
        for _ in range(5):
            run_dump(program.pid, "-l")
            assert program.ask("hello") == "hello"
        assert set(support.thread_states(program.pid).values()) <= {"S", "R"}


def test_output_that_nobody_takes_is_an_error(one, tool):
    with start_program(one.exe, ("-c", "print('ready', flush=True); input()")) as program, open("/dev/full", "w") as full:
        done = subprocess.run([str(tool), "dump", "-p", str(program.pid)], stdout=full, stderr=subprocess.PIPE, encoding="utf-8")
        assert (done.returncode, done.stderr) == (1, "pyagent: standard output can't be written\n")


def test_a_dump_takes_a_moment(one):
    with start_program(one.exe, LOCALS) as program:
        begin = time.monotonic()
        run_dump(program.pid, "--locals")
        assert time.monotonic() - begin < 2
