"""A version that nobody described: a 3.15 that says it is a 3.16 while the agent looks (libpretend.cpp)."""
import pathlib
import shutil

import pytest

import support

PROGRAM = pathlib.Path(__file__).parent / "programs" / "families" / "plain.py"


@pytest.fixture
def newest(pythons):
    found = [python for python in pythons if python.version == (3, 15) and not python.is_debug]
    if not found:
        pytest.skip("no 3.15 that could pretend to be a 3.16")
    return found[0]


def run(newest, agent, build_dir, tmp_path, env):
    # The file's name tells its version too; the copy finds its library where the original lies.
    copy = shutil.copy(newest.exe, str(tmp_path / "python3.16"))
    preload = {"LD_PRELOAD": "%s:%s" % (agent, build_dir / "tests" / "libpretend.so"),
               "PYTHONHOME": str(pathlib.Path(newest.exe).resolve().parent.parent)}
    return support.run_agent(copy, PROGRAM, "rate=1000,clock=monotonic", [0.5], cwd=tmp_path, env=dict(preload, **env))


def test_an_unknown_newer_version_is_sampled_after_the_self_check(newest, agent, build_dir, tmp_path):
    done = run(newest, agent, build_dir, tmp_path, {})
    assert done.returncode == 0, done.stderr
    names = {name for samples in support.load_speedscope(done.profile).values() for sample in samples for name in sample.names}
    assert {"main", "a_run", "b_run"} <= names, (names, done.stderr)


def test_an_unknown_newer_version_that_fails_the_self_check_gives_no_profile(newest, agent, build_dir, tmp_path):
    done = run(newest, agent, build_dir, tmp_path, {"PRETEND_WRONG": "1"})
    assert done.returncode == 0 and done.profiles == [], done
    assert "not known" in done.stderr and "self-check" in done.stderr, done.stderr
