"""Shares of a program that works and sleeps by turns, in less than the time between two samples, from outside."""
import json
import pathlib
import subprocess

import pytest

import support

PROGRAM = pathlib.Path(__file__).parent / "programs" / "work_and_rest.py"
CHOSEN = ("3.8", "3.11", "3.13t", "sid-3.15")
SECONDS = 3
# Of the whole. What is not stopped may have been woken without having a processor yet; then it stands where it slept.
TOLERANCE = {"default": 0.08, "nonblocking": 0.2}


def weigh(output):
    """Seconds of samples whose innermost frame is that function."""
    seen = {"work": 0.0, "rest": 0.0}
    for samples in support.load_speedscope(output).values():
        for sample in samples:
            if sample.names[-1] in seen:
                seen[sample.names[-1]] += sample.weight
    return seen


@pytest.fixture(params=[python for python in support.find_pythons() if python.tag in CHOSEN] or support.find_pythons()[:1],
                ids=lambda python: python.tag)
def some_python(request):
    return request.param


@pytest.mark.parametrize("mode", ["default", "nonblocking"])
@pytest.mark.parametrize("time", ["wall", "cpu"])
def test_work_and_sleep_weigh_the_time_they_took(some_python, mode, time, tmp_path):
    output = tmp_path / "p.json"
    options = (["--nonblocking"] if mode == "nonblocking" else []) + (["--idle"] if time == "wall" else [])
    with support.start_program(some_python.exe, PROGRAM, [SECONDS]) as program:
        recorder = subprocess.Popen(support.record_command(program.pid, output, 100, options=options), stderr=subprocess.PIPE)
        support.wait_for(lambda: list(tmp_path.glob("*.pyagent")), "the recording")
        taken = json.loads(program.ask("go"))
        assert recorder.wait(60) == 0, recorder.stderr.read()
    seen, most = weigh(output), TOLERANCE[mode]
    print(taken, seen)
    if time == "wall":
        # Time without a processor is spent in either, and counts as work.
        slack = most * (taken["work"] + taken["rest"])
        assert taken["cpu"] - slack <= seen["work"] <= taken["work"] + taken["delay"] + slack, (taken, seen)
        assert taken["rest"] - taken["delay"] - slack <= seen["rest"] <= taken["rest"] + slack, (taken, seen)
    else:
        assert abs(seen["work"] - taken["cpu"]) <= most * taken["cpu"], (taken, seen)
        assert seen["rest"] <= most * taken["cpu"], (taken, seen)
