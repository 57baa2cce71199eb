"""Processes: forks, multiprocessing, subprocesses, exec, and every way to end; each Python process has a profile of its own."""
import pathlib
import re
import signal
import subprocess

import pytest

import support

PROGRAMS = pathlib.Path(__file__).parent / "programs"
SECONDS = 0.15


def functions_in(path):
    """Seconds of CPU time in the functions of processes.py and busy.py."""
    threads = support.load_speedscope(path)
    found = {}
    for samples in threads.values():
        for sample in samples:
            for name in {"in_parent", "in_child", "in_grandchild", "outer"} & set(sample.names):
                found[name] = found.get(name, 0) + sample.weight
    return found


def run(python, tmp_path, *args, options="rate=250"):
    done = support.run_agent(python.exe, PROGRAMS / "processes.py", options, (SECONDS,) + args, cwd=tmp_path)
    contents = [(path.name, functions_in(path)) for path in done.profiles]
    print(python.tag, args, contents)
    return done, contents


def near(found, expected):
    return set(found) == set(expected) and all(abs(found[name] - expected[name]) <= 0.06 for name in expected)


def test_a_forked_child_has_a_file_of_its_own_with_its_pid(python, agent, tmp_path):
    done, contents = run(python, tmp_path, "fork")
    assert done.returncode == 0 and done.stdout == "done\n", done
    assert len(contents) == 2
    assert contents[0][0] == "profile.json" and near(contents[0][1], {"in_parent": 2 * SECONDS})
    assert re.match(r"profile\.\d+\.json$", contents[1][0]) and near(contents[1][1], {"in_child": SECONDS})
    assert done.stderr.count("pyagent: ") == 2, done.stderr


def test_children_of_children_that_end_by_os_exit_are_profiled(python, agent, tmp_path):
    done, contents = run(python, tmp_path, "nested", options="rate=250,output=prof-%p.json")
    assert done.returncode == 0, done.stderr
    found = sorted((functions for _, functions in contents), key=sorted)
    assert len(found) == 3
    for functions, name in zip(found, ("in_child", "in_grandchild", "in_parent")):
        assert near(functions, {name: SECONDS}), found
    assert all(re.match(r"prof-\d+(\.\d+)?\.json$", name) for name, _ in contents)


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_multiprocessing_children_are_profiled(python, agent, tmp_path, method):
    if method != "fork":
        text = subprocess.run([python.exe, "-s", "-c", "import sys; print(sys.executable)"], stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL).stdout.decode().strip()
        if not text:
            pytest.skip("%s takes no options, which multiprocessing's %s needs" % (python.tag, method))
    done, contents = run(python, tmp_path, "multiprocessing", method)
    assert done.returncode == 0 and done.stdout == "done\n", done
    # It competes with three children, and how the scheduler lets the four meet the tick is not in our hands.
    assert contents[0][1].get("in_parent", 0) > 0, contents
    children = [functions for _, functions in contents[1:] if "in_child" in functions]
    assert len(children) == 3 and all(functions["in_child"] > 0 for functions in children), contents


def test_subprocesses_have_their_own_files_and_other_programs_none(python, agent, tmp_path):
    done, contents = run(python, tmp_path, "subprocess", python.exe, options="rate=250,output=prof-%p.json")
    assert done.returncode == 0, done.stderr
    assert "arguments ['0.15']" in done.stdout and "from the shell" in done.stdout and done.stdout.endswith("done\n")
    found = sorted((functions for _, functions in contents), key=sorted)
    assert len(found) == 2 and near(found[0], {"in_parent": SECONDS}) and near(found[1], {"outer": SECONDS}), contents


def test_a_subprocess_does_not_overwrite_its_parents_file(python, agent, tmp_path):
    done, contents = run(python, tmp_path, "subprocess", python.exe)
    assert done.returncode == 0, done.stderr
    assert len(contents) == 2, contents
    assert near(contents[0][1], {"in_parent": SECONDS}) and near(contents[1][1], {"outer": SECONDS}), contents


def test_exec_leaves_the_profile_of_what_ran_before_and_after(python, agent, tmp_path):
    done, contents = run(python, tmp_path, "exec", python.exe)
    assert done.returncode == 5 and "arguments ['0.15', 'exit', '5']" in done.stdout, done
    found = sorted((functions for _, functions in contents), key=sorted)
    assert len(found) == 2 and near(found[0], {"in_parent": SECONDS}) and near(found[1], {"outer": SECONDS}), contents


def test_sampling_goes_on_after_a_failed_exec(python, agent, tmp_path):
    done, contents = run(python, tmp_path, "failed_exec")
    assert done.returncode == 0 and done.stdout == "exec failed: 2\ndone\n", done
    assert len(contents) == 1 and near(contents[0][1], {"in_parent": 2 * SECONDS}), contents


@pytest.mark.parametrize("how, status", [
    ("return", 0), ("exit 7", 7), ("raise", 1), ("os_exit 3", 3), ("abort", -signal.SIGABRT),
    ("signal %d" % signal.SIGTERM, -signal.SIGTERM), ("signal %d" % signal.SIGKILL, -signal.SIGKILL),
], ids=lambda value: str(value).replace(" ", "-"))
def test_exit_status_and_output_are_those_without_the_agent(python, agent, tmp_path, how, status):
    arguments = ["0.1"] + how.split()
    plain = subprocess.run([python.exe, PROGRAMS / "busy.py"] + arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                           stdin=subprocess.DEVNULL, cwd=tmp_path, encoding="utf-8")
    done = support.run_agent(python.exe, PROGRAMS / "busy.py", "rate=250", arguments, cwd=tmp_path)
    own = "".join(line for line in done.stderr.splitlines(True) if not line.startswith("pyagent: "))
    assert (done.returncode, done.stdout, own) == (plain.returncode, plain.stdout, plain.stderr)
    assert done.returncode == status
    if status >= 0:
        assert abs(functions_in(done.profile)["outer"] - 0.1) <= 0.03
        assert done.stderr.count("pyagent: ") == 1
        assert not list(tmp_path.glob("*.pyagent")), "the recording is still there"
    elif not done.profiles:
        assert list(tmp_path.glob("*.pyagent")), "neither a profile nor a recording"


@pytest.fixture(scope="module")
def convert(tmp_path_factory, root):
    """A program that makes a speedscope file of a recording, built from the headers."""
    program = tmp_path_factory.mktemp("convert") / "convert_recording"
    subprocess.run(["g++", "-std=c++20", "-O1", "-I%s/include" % root, "%s/tests/integration/convert_recording.cpp" % root, "-o", program],
                   check=True)
    return program


def test_sigkill_leaves_a_recording_that_can_be_read(python, agent, convert, tmp_path):
    done = support.run_agent(python.exe, PROGRAMS / "busy.py", "rate=250", ["0.4", "signal", str(int(signal.SIGKILL))], cwd=tmp_path)
    assert done.returncode == -signal.SIGKILL and not done.profiles
    (recording,) = tmp_path.glob("*.pyagent")
    converted = subprocess.run([convert, recording, tmp_path / "converted.json"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8")
    assert converted.returncode == 0, converted.stdout
    weight = functions_in(tmp_path / "converted.json")["outer"]
    print(python.tag, "%.3f s of 0.4 s after SIGKILL;" % weight, recording.stat().st_size, "bytes")
    assert abs(weight - 0.4) <= 0.03
