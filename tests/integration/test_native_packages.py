"""Native frames in other people's code: numpy, OpenBLAS's assembler, ctypes callbacks, greenlets, C++ exceptions."""
import collections
import json
import re
import subprocess
import sys

import pytest

import support

PROGRAM = """
import ctypes, sys, time
end = time.process_time() + 1
def running():
    return time.process_time() < end
"""

SORT = PROGRAM + """
import numpy
values = numpy.random.default_rng(1).random(200_000)
def sort():
    while running():
        numpy.sort(values)
sort()
"""

MULTIPLY = PROGRAM + """
import numpy
left = numpy.random.default_rng(1).random((300, 300))
def multiply():
    while running():
        left @ left
multiply()
"""

CALLBACK = PROGRAM + """
import numpy
def callback(value):
    total = 0
    for i in range(300):
        total += i
    return total + value
apply = numpy.frompyfunc(callback, 1, 1)
values = numpy.arange(200)
def run():
    while running():
        apply(values)
run()
"""

QSORT = PROGRAM + """
library = ctypes.CDLL(None)
numbers = (ctypes.c_int * 500)()
def compare(left, right):
    return left[0] - right[0]
Compare = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_int), ctypes.POINTER(ctypes.c_int))
wrapped = Compare(compare)
def sort():
    while running():
        for i in range(500):
            numbers[i] = i * 7919 % 503
        library.qsort(numbers, 500, 4, wrapped)
sort()
"""

GREENLETS = PROGRAM + """
import greenlet
def inner(depth):
    if depth:
        return inner(depth - 1)
    while running():
        for i in range(200):
            i * i
        main.switch()
def outer():
    while running():
        for i in range(200):
            i * i
        for each in children:
            each.switch()
main = greenlet.getcurrent()
children = [greenlet.greenlet(inner) for _ in range(3)]
for number, each in enumerate(children):
    each.switch(number * 3)
outer()
"""


def needs(*modules):
    for module in modules:
        pytest.importorskip(module)


def record(code, tmp_path, *, env=None):
    """The samples of all threads, and what the profile says of its native stacks."""
    run = support.run_agent(sys.executable, ("-c", code), "native,rate=250", cwd=tmp_path, env=dict(OPENBLAS_NUM_THREADS="1", **(env or {})))
    assert run.returncode == 0, run.stderr
    samples = [sample for thread in support.load_speedscope(run.profile).values() for sample in thread]
    assert len(samples) > 20, run.stderr  # equal neighbours are one
    return samples


def where(samples, function):
    """The samples with a Python function on the stack, each as names from that function in."""
    found = [sample.names[sample.names.index(function):] for sample in samples if function in sample.names]
    assert len(found) > 0.4 * len(samples), collections.Counter(map(tuple, (sample.names[:3] for sample in samples))).most_common(3)
    return found


def share(stacks, condition):
    return sum(1 for stack in stacks if condition(stack)) / len(stacks)


def test_numpys_sort_is_seen_below_the_function_that_calls_it(tmp_path):
    needs("numpy")
    stacks = where(record(SORT, tmp_path), "sort")
    assert share(stacks, lambda stack: any("sort" in name.lower() for name in stack[2:])) > 0.9, stacks[:3]
    assert share(stacks, lambda stack: "[truncated]" in stack) == 0


def test_assembler_without_unwind_rules_is_crossed(tmp_path):
    # OpenBLAS's kernels have no call frame information: gdb and libunwind stop at their first frame.
    needs("numpy")
    stacks = where(record(MULTIPLY, tmp_path), "multiply")
    assert share(stacks, lambda stack: any("gemm" in name for name in stack)) > 0.8, stacks[:3]
    assert share(stacks, lambda stack: any("matmul" in name.lower() or "cblas" in name for name in stack)) > 0.8, stacks[:3]
    assert share(stacks, lambda stack: "[truncated]" in stack) < 0.02


def test_a_ufunc_calls_back(tmp_path):
    needs("numpy")
    stacks = where(record(CALLBACK, tmp_path), "run")
    called = [stack[:stack.index("callback")] for stack in stacks if "callback" in stack]
    assert len(called) > 0.8 * len(stacks)
    assert share(called, lambda stack: any("PyUFunc" in name or "ufunc" in name for name in stack[1:])) > 0.95, called[:3]


def test_qsort_calls_a_python_comparison(tmp_path):
    stacks = where(record(QSORT, tmp_path), "sort")
    compared = [stack[:stack.index("compare")] for stack in stacks if "compare" in stack]
    assert len(compared) > 0.1 * len(stacks)
    assert share(compared, lambda stack: any("qsort" in name or "msort" in name for name in stack)) > 0.95, compared[:3]


def test_greenlets_keep_their_own_stacks(tmp_path):
    needs("greenlet")
    samples = record(GREENLETS, tmp_path)
    names = [[name for name in sample.names if name in ("inner", "outer")] for sample in samples]
    # A greenlet's Python frames end where it began: never below the one that switched to it.
    assert not [each for each in names if "inner" in each and "outer" in each]
    assert sum(1 for each in names if "inner" in each) > 10 and sum(1 for each in names if "outer" in each) > 10


def test_the_summary_says_how_whole_the_native_stacks_are(tmp_path):
    run = support.run_agent(sys.executable, ("-c", QSORT), "native,rate=250", cwd=tmp_path)
    exact = int(re.search(r"native stacks: (\d+) exact", run.stderr).group(1))
    assert exact > 0.95 * int(re.search(r"(\d+) samples", run.stderr).group(1)), run.stderr


def test_the_agents_stack_of_a_parked_thread_is_the_commands(tmp_path):
    program = "import threading, time\ndef park():\n    event.wait()\nevent = threading.Event()\nthread = threading.Thread(target=park)\n" \
              "thread.start()\nprint('ready', flush=True)\ninput()\nevent.set()\nthread.join()\n"
    environment = support.agent_environment("native,idle,quiet,output=%s" % (tmp_path / "p.json"))
    with support.start_program(sys.executable, ("-c", program), env=environment) as process:
        support.wait_for(lambda: support.samples_so_far(tmp_path) >= 0, "the start")
        dumps = []
        for _ in range(3):
            done = subprocess.run([str(support.TOOL), "dump", "-n", "--json", "-p", str(process.pid)], stdout=subprocess.PIPE, check=True, timeout=60)
            dumps.append([[frame["name"] for frame in thread["frames"]] for thread in json.loads(done.stdout) if any(
                frame["name"] == "park" for frame in thread["frames"])])
        process.tell("")
        process.process.wait(30)
    assert dumps[0] == dumps[1] == dumps[2] and len(dumps[0]) == 1
    parked = [sample.names for thread in support.load_speedscope(tmp_path / "p.json").values() for sample in thread if "park" in sample.names]
    assert list(reversed(dumps[0][0])) in parked, (dumps[0][0], parked[:3])
