"""sampler/read_stack.hpp, in a library that a Python loads to read itself, and that this test loads to read others."""
import ctypes
import functools
import json
import pathlib
import subprocess

import support

LIBRARY = support.BUILD / "tests" / "libreadself.so"
PROGRAM = support.ROOT / "tests/integration/programs/read_self.py"
HOLDS_GIL, OFF_CPU = 1, 2  # recording::SampleFlag


def difference(python, expected, read):
    """What is wrong with the frames `read`, or None. Names are not qualified before 3.11 unless a class is known."""
    if len(expected) != len(read):
        return "%d frames, not %d" % (len(read), len(expected))
    for (name, *place), (read_name, *read_place) in zip(expected, read):
        if python.version < (3, 11):
            read_name = read_name.rpartition(".")[2]
        if [name, *place] != [read_name, *read_place]:
            return "%s, not %s" % ([read_name, *read_place], [name, *place])
    return None


def without_elided(expected, stack):
    """The expected frames, less those in the middle that a deep stack leaves out."""
    return expected[:stack["elided_at"]] + expected[stack["elided_at"] + stack["elided"]:] if stack["elided"] else expected


@functools.lru_cache(maxsize=None)
def run_program(python):
    done = subprocess.run([python.exe, str(PROGRAM), str(LIBRARY)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, encoding="utf-8", timeout=120)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_library_reads_stacks_of_its_own_process_as_the_interpreter_sees_them(python):
    told = run_program(python)
    wrong, places = [], {}
    for place, expected, read in told["rows"]:
        assert isinstance(read, list) and len(read) == 1, (place, read)
        places.setdefault(place, []).append(read[0])
        what = difference(python, without_elided(expected, read[0]), read[0]["frames"])
        if what:
            wrong.append("%s: %s" % (place, what))
    assert not wrong, "%d of %d stacks are wrong:\n%s" % (len(wrong), len(told["rows"]), "\n".join(wrong[:10]))
    others = places.pop("another thread")
    assert len(others) == 2 and all(stack["flags"] == OFF_CPU for stack in others)
    assert len(places) == 22 and all(len(stacks) == 4 for stacks in places.values())
    assert all(stack["elided"] > 500 for stack in places.pop("deep recursion"))
    # Called through ctypes.CDLL, which lets go of the GIL, and through PyDLL.
    assert {tuple(stack["flags"] for stack in stacks) for stacks in places.values()} == {(0, 0, HOLDS_GIL, HOLDS_GIL)}

    every = {stack["name"]: stack for stack in told["every"]}
    assert {name: [stack["ident"], stack["tid"]] for name, stack in every.items()} == told["ids"]
    assert told["every"][0]["name"] == "MainThread" and every["parked"]["frames"] == others[0]["frames"]
    assert told["gone"] == "not found"


def test_threads_of_the_own_process_run_on_while_they_are_read(python):
    told = run_program(python)
    for samples, failures in told["counted"]:
        assert samples >= 10 and failures == 0
    read = [stack["frames"] for stack in told["spinner"] if stack["is_read"]]
    stacks = {tuple(frame[0].rpartition(".")[2] for frame in frames) for frames in read}
    base = ("spin", "run", "_bootstrap_inner", "_bootstrap")
    assert stacks <= {base, ("step", *base)} and len(read) >= 20, (stacks, len(read))
    print("%s: %d of %d looks at a running thread" % (python.tag, len(read), len(told["spinner"])))


# --- another process ---

BUSY = """
import sys, threading
def spin():
    while True:
        step()
def step():
    return sum(range(20))
def wait():
    print("ready", flush=True)
    for line in sys.stdin:
        print("here", flush=True)
threading.Thread(target=spin, daemon=True).start()
wait()
"""


def read_stacks(pid, tid=0, stop_threads=True):
    library = ctypes.CDLL(str(LIBRARY))
    room = ctypes.create_string_buffer(1 << 20)
    library.read_stacks_json.restype = ctypes.c_size_t
    size = library.read_stacks_json(pid, tid, stop_threads, room, ctypes.c_size_t(len(room)))
    text = room.raw[:size].decode("utf-8")
    return json.loads(text) if text.startswith("[") else text


def test_stacks_of_another_process_are_read_and_it_goes_on(python):
    with support.start_program(python.exe, ("-c", BUSY)) as program:
        call = pathlib.Path("/proc/%d/syscall" % program.pid)
        support.wait_for(lambda: call.read_text().startswith("0 0x0 "), "read(2) of standard input")
        for stop in (True, False):
            main, spinner = read_stacks(program.pid, 0, stop)
            names = [frame[0] for frame in spinner["frames"]]
            assert names[-4:] == ["spin", "Thread.run", "Thread._bootstrap_inner", "Thread._bootstrap"]
            assert names[:-4] in ([], ["step"])
            lines = [frame[2] for frame in spinner["frames"] if frame[1] == "<string>"]
            assert lines in ([4], [5], [6, 5], [7, 5])
            assert [frame[:3] for frame in main["frames"][-2:]] == [["wait", "<string>", 10], ["<module>", "<string>", 13]]
            assert main["flags"] == OFF_CPU and [main] == read_stacks(program.pid, program.pid, stop)
        assert {support.status_field(tid, "TracerPid") for tid in support.thread_states(program.pid)} == {"0"}
        assert program.ask("hello") == "here"
        assert read_stacks(program.pid, program.pid + 1000000) == "not found"
    assert read_stacks(program.pid) == "there is no such process"
