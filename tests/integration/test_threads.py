"""Threads: their names and numbers, time off the CPU (`idle`), the GIL (`gil`), and a root frame for each (`threads`)."""
import json
import pathlib
import re

import support

PROGRAMS = pathlib.Path(__file__).parent / "programs"
# CPython numbers unnamed threads; from 3.10 on the target's name stands behind. Renamed ones show what they are called now.
NAMES = {
    "in_main": r"MainThread",
    "in_named": r"worker",
    "in_unicode": "\u03a9 \"quoted\" \U0001f600",
    "in_unnamed": r"Thread-\d+( \(in_unnamed\))?",
    "in_renamed": r"after",
    "in_starter": r"starter",
    "in_late": r"late",
    "in_foreign": r".+",
}


def run(python, name, options, seconds, tmp_path):
    done = support.run_agent(python.exe, PROGRAMS / name, options, [seconds], cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    return support.load_speedscope(done.profile), json.loads(done.stdout)


def weight_of(threads, function):
    return sum(sample.weight for samples in threads.values() for sample in samples if function in sample.names)


def test_each_thread_has_its_profile_with_its_number_and_name(python, agent, tmp_path):
    threads, tids = run(python, "threads.py", "rate=250", 0.15, tmp_path)
    for function, tid in tids.items():
        own = {name for name, samples in threads.items() if any(function in sample.names for sample in samples)}
        assert len(own) == 1, "%s is in %s" % (function, own)
        (name,) = own
        assert re.match('Thread %d "%s"$' % (tid, NAMES[function]), name), "%s: %s" % (function, name)
        weight = weight_of(threads, function)
        assert abs(weight - 0.15) <= 0.05, "%s: %.3f s" % (function, weight)
    print(python.tag, sorted(threads))


def test_the_main_thread_is_called_so_without_threading(python, agent, tmp_path):
    done = support.run_agent(python.exe, PROGRAMS / "busy.py", "rate=250", [0.1], cwd=tmp_path)
    threads = support.load_speedscope(done.profile)
    print(python.tag, list(threads))
    assert [re.sub(r"\d+", "N", name) for name in threads] == ['Thread N "MainThread"']


def test_idle_shows_waiting_threads_with_their_wall_time(python, agent, tmp_path):
    threads, took = run(python, "parked.py", "rate=100,idle", 1.5, tmp_path)
    for function in ("sleeper", "waiter", "runner"):
        weight = weight_of(threads, function)
        print("%s %s: %.3f s in the profile, %.3f s on the clock" % (python.tag, function, weight, took[function]))
        assert abs(weight - took[function]) <= 0.05 * took[function], "%s: %.3f s, not %.3f" % (function, weight, took[function])
    assert not any("pyagent" in name for name in threads), list(threads)


def test_without_idle_waiting_threads_weigh_nothing(python, agent, tmp_path):
    threads, took = run(python, "parked.py", "rate=100", 0.5, tmp_path)
    waited = weight_of(threads, "sleeper") + weight_of(threads, "waiter")
    ran = weight_of(threads, "runner")
    print("%s: %.3f s waiting, %.3f s running" % (python.tag, waited, ran))
    assert waited <= 0.02
    assert abs(ran - took["runner's CPU"]) <= 0.03, took


def test_gil_keeps_only_samples_that_hold_it(python, agent, tmp_path):
    all_threads, taken = run(python, "gil.py", "rate=100", 1.0, tmp_path)
    every = weight_of(all_threads, "releasing")
    (tmp_path / "gil").mkdir()
    threads, _ = run(python, "gil.py", "rate=100,gil", 1.0, tmp_path / "gil")
    holding, releasing = weight_of(threads, "holding"), weight_of(threads, "releasing")
    print("%s: releasing %.3f s without `gil`; with it holding %.3f s, releasing %.3f s" % (python.tag, every, holding, releasing))
    assert abs(every - taken["releasing"]) <= 0.05
    assert abs(holding - taken["holding"]) <= 0.15
    assert releasing <= 0.3 * every  # it takes the GIL for a moment in each round


def test_threads_puts_a_frame_for_the_thread_below_each_stack(python, agent, tmp_path):
    threads, tids = run(python, "threads.py", "rate=250,threads", 0.05, tmp_path)
    for name, samples in threads.items():
        tid, title = re.match(r'Thread (\d+) "(.*)"$', name).groups()
        for sample in samples:
            assert sample.names[0] == "thread (%s): %s" % (tid, title)
    assert {int(re.match(r"Thread (\d+)", name).group(1)) for name in threads} >= set(tids.values())
