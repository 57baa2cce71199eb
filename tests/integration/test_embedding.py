"""Programs that are not started as Python: interpreters loaded late, and processes in which the agent has to stay inert."""
import os
import pathlib
import shutil
import subprocess

import pytest

import support

CODE = """
import time
def embedded():
    end = time.perf_counter() + 0.3
    while time.perf_counter() < end:
        sum(range(1000))
embedded()
"""


def test_an_interpreter_that_is_loaded_late_is_sampled(python, agent, build_dir, tmp_path):
    home = pathlib.Path(python.exe).resolve().parent.parent
    libraries = sorted(home.glob("lib/libpython%d.%d*.so.1.0" % python.version))
    if not libraries:
        pytest.skip("%s has no libpython to load" % python.tag)
    environment = support.agent_environment("rate=250,output=profile.json", {"PYTHONHOME": str(home)})
    done = subprocess.run([str(build_dir / "tests" / "late_python"), str(libraries[0]), CODE], env=environment, cwd=str(tmp_path),
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60)
    assert done.returncode == 0, done.stderr
    threads = support.load_speedscope(tmp_path / "profile.json")
    weight = sum(sample.weight for samples in threads.values() for sample in samples if any("embedded" in name for name in sample.names))
    print("%s: %.3f s of 0.6" % (python.tag, weight))
    assert 0.1 <= weight <= 0.65, done.stderr


def test_a_second_copy_of_the_agent_stays_inert(python, agent, tmp_path):
    copy = shutil.copy(str(agent), str(tmp_path / "libother.so"))
    done = support.run_agent(python.exe, ("-c", CODE), "rate=250,output=prof-%p.json", cwd=tmp_path,
                             env={"LD_PRELOAD": "%s:%s" % (agent, copy)})
    assert done.returncode == 0 and len(done.profiles) == 1 and done.stderr.count("pyagent: ") == 1, done


@pytest.mark.parametrize("program", [["/bin/true"], ["/bin/sh", "-c", "echo hello; exit 3"], ["/usr/bin/perl", "-e", "print 1"]], ids=lambda p: p[0])
def test_other_programs_show_nothing_of_it(program, agent, tmp_path):
    if not os.access(program[0], os.X_OK):
        pytest.skip("no %s here" % program[0])
    bare = subprocess.run(program, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    done = subprocess.run(program, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=str(tmp_path), env=support.agent_environment("rate=nonsense"))
    assert (done.returncode, done.stdout, done.stderr) == (bare.returncode, bare.stdout, bare.stderr)
    assert list(tmp_path.iterdir()) == []
