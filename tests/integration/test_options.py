"""What PYAGENT may ask for, and what happens when it asks for something that can't be."""
import os
import pathlib
import re
import subprocess

import pytest

import support

PROGRAMS = pathlib.Path(__file__).parent / "programs"
BUSY = PROGRAMS / "busy.py"


def burn_lines():
    """The lines of burn() and of the calls that lead to it, from the text of busy.py."""
    lines = BUSY.read_text().splitlines()
    burn = lines.index("def burn(seconds):") + 1
    outer = lines.index("def outer(seconds):") + 1
    call = lines.index("outer(float(sys.argv[1]))") + 1
    return burn, outer, call


def agent_lines(run):
    return [line for line in run.stderr.splitlines() if line.startswith("pyagent: ")]


@pytest.mark.parametrize("options, word", [
    ("rate=0", "rate"), ("rate=-5", "rate"), ("rate=fast", "rate"), ("rate", "rate"), ("rate=1e9", "rate"), ("rate=nan", "rate"),
    ("format=svg", "format"), ("format", "format"), ("duration=0", "duration"), ("duration=soon", "duration"), ("output=", "output"),
    ("idel", "idel"), ("idle=yes", "idle"), ("frobnicate=1", "frobnicate"), ("=", "option"), ("rate=100,nonsense", "nonsense"),
    ("output=missing/directory/profile.json", "missing/directory"), ("output=/proc/profile.json", "/proc"),
    ("output=.", "directory"), ("x" * 9000, "8192"),
], ids=lambda value: value if len(value) < 50 else "long")
def test_a_bad_option_is_one_line_and_the_program_runs_unprofiled(pythons, agent, tmp_path, options, word):
    python = pythons[0]
    plain = subprocess.run([python.exe, BUSY, "0.05", "exit", "7"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=tmp_path,
                           stdin=subprocess.DEVNULL, encoding="utf-8")
    env = support.agent_environment(options)
    done = subprocess.run([python.exe, BUSY, "0.05", "exit", "7"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=tmp_path,
                          stdin=subprocess.DEVNULL, encoding="utf-8", env=env)
    print(ascii(done.stderr[:300]))
    assert (done.returncode, done.stdout) == (plain.returncode, plain.stdout) == (7, plain.stdout)
    assert plain.stderr in done.stderr
    said = done.stderr.replace(plain.stderr, "")
    assert said.startswith("pyagent: ") and said.count("pyagent: ") == 1, said
    assert word in said, said
    # A second line, indented, may say what to do.
    assert all(line.startswith("  ") for line in said.splitlines()[1:]) and len(said.splitlines()) <= 2, said
    assert not list(tmp_path.iterdir())


def test_a_bad_option_says_so_on_every_version(python, agent, tmp_path):
    done = support.run_agent(python.exe, BUSY, "rate=none", [0.02, "exit", 7], cwd=tmp_path)
    assert done.returncode == 7 and not done.profiles
    assert len(agent_lines(done)) == 1, done.stderr


def test_without_options_the_file_is_named_after_program_and_pid(python, agent, tmp_path):
    env = support.agent_environment(env={"PYAGENT": None})
    process = subprocess.Popen([python.exe, BUSY, "0.2"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=str(tmp_path),
                               stdin=subprocess.DEVNULL, env=env)
    error = process.communicate()[1].decode()
    assert process.returncode == 0
    (path,) = tmp_path.iterdir()
    print(path.name, ascii(error))
    assert re.match(r"pyagent-busy(\.py)?-%d\.speedscope\.json$" % process.pid, path.name), path.name
    assert path.name in error
    (samples,) = support.load_speedscope(path).values()
    assert abs(sum(sample.weight for sample in samples if "burn" in sample.names) - 0.2) <= 0.03


def test_percent_p_is_the_pid_and_directories_are_kept(pythons, agent, tmp_path):
    (tmp_path / "sub").mkdir()
    done = support.run_agent(pythons[0].exe, BUSY, "output=sub/prof-%p-%p.json", [0.05], cwd=tmp_path)
    assert re.match(r"prof-(\d+)-\1\.json$", done.profile.name), done.profile
    assert done.profile.parent == tmp_path / "sub"


def test_a_comma_in_a_file_name_is_written_with_a_backslash(pythons, agent, tmp_path):
    env = support.agent_environment(r"output=a\,b=c.json,rate=250")
    subprocess.run([pythons[0].exe, BUSY, "0.05"], env=env, cwd=tmp_path, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    assert [path.name for path in tmp_path.iterdir()] == ["a,b=c.json"]


def test_quiet_says_nothing_but_writes_the_file(python, agent, tmp_path):
    done = support.run_agent(python.exe, BUSY, "rate=250,quiet", [0.1], cwd=tmp_path)
    assert done.stderr == "to stderr\n"
    assert done.profile.stat().st_size > 0


def test_the_last_line_counts_samples_and_names_the_file(python, agent, tmp_path):
    done = support.run_agent(python.exe, BUSY, "rate=100", [0.5], cwd=tmp_path)
    (line,) = agent_lines(done)
    print(python.tag, line)
    samples, flagged = map(int, re.match(r"pyagent: (\d+) samples?, (\d+) flagged", line).groups())
    assert 20 <= samples <= 80 and flagged <= 1
    assert line.endswith("profile.json")


def test_duration_ends_sampling_and_the_program_goes_on(python, agent, tmp_path):
    done = support.run_agent(python.exe, BUSY, "rate=250,duration=0.5", [1.2, "exit", 7], cwd=tmp_path)
    assert done.returncode == 7
    weight = support.total_weight(support.load_speedscope(done.profile))
    print("%s: %.3f s" % (python.tag, weight))
    assert 0.05 <= weight <= 0.6  # of wall time; how much of it was CPU time depends on who else runs
    assert len(agent_lines(done)) == 1


def test_raw_lines_are_root_to_leaf_with_counts_of_samples(python, agent, tmp_path):
    done = support.run_agent(python.exe, BUSY, "rate=100,format=raw,output=profile.txt,full-filenames", [1.0], cwd=tmp_path)
    burn, outer, call = burn_lines()
    total = 0
    for line in done.profile.read_text(encoding="utf-8").splitlines():
        stack, count = line.rsplit(" ", 1)
        if "burn (" not in stack:
            continue
        total += int(count)
        match = re.match(r"<module> \((.*?):(\d+)\);outer \((.*?):(\d+)\);burn \((.*?):(\d+)\)$", stack)
        assert match, line
        assert {match.group(1), match.group(3), match.group(5)} == {str(BUSY)}
        assert (int(match.group(2)), int(match.group(4))) == (call, outer + 1)
        assert burn <= int(match.group(6)) <= burn + 3
    print("%s: %d samples in 1 s at 100 Hz" % (python.tag, total))
    assert abs(total - 100) <= 6


def frames_with(python, options, tmp_path):
    done = support.run_agent(python.exe, BUSY, "rate=250," + options, [0.2], cwd=tmp_path)
    (samples,) = support.load_speedscope(done.profile).values()
    return {frame for sample in samples if "burn" in sample.names for frame in sample.stack if frame.name in ("burn", "outer")}


def test_function_shows_the_first_lines_of_functions(python, agent, tmp_path):
    burn, outer, _ = burn_lines()
    frames = frames_with(python, "function", tmp_path)
    assert {(frame.name, frame.line) for frame in frames} == {("burn", burn), ("outer", outer)}


def test_nolineno_shows_no_lines(python, agent, tmp_path):
    frames = frames_with(python, "nolineno", tmp_path)
    assert {(frame.name, frame.line, frame.col) for frame in frames} == {("burn", None, None), ("outer", None, None)}


def test_file_names_are_short_unless_full_ones_are_asked_for(python, agent, tmp_path):
    (tmp_path / "full").mkdir()
    short = {frame.file for frame in frames_with(python, "idle", tmp_path)}
    full = {frame.file for frame in frames_with(python, "full-filenames", tmp_path / "full")}
    print(python.tag, short, full)
    assert full == {str(BUSY)}
    assert len(short) == 1 and str(BUSY).endswith(short.pop())


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_directory_that_is_not_writable_is_said_at_once(pythons, agent, tmp_path):
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o500)
    done = support.run_agent(pythons[0].exe, BUSY, "output=%s/profile.json" % closed, [0.05, "exit", 7], cwd=tmp_path)
    assert done.returncode == 7 and len(agent_lines(done)) == 1 and "closed" in done.stderr


def test_a_file_of_an_earlier_run_is_replaced(pythons, agent, tmp_path):
    (tmp_path / "old.json").write_text("old")
    os.utime(str(tmp_path / "old.json"), (1000000000, 1000000000))
    done = support.run_agent(pythons[0].exe, BUSY, "rate=250,output=old.json", [0.05], cwd=tmp_path)
    (line,) = agent_lines(done)
    assert line.endswith("old.json"), line
    assert support.load_speedscope(tmp_path / "old.json")


@pytest.mark.parametrize("command", [["/bin/true"], ["/bin/sh", "-c", "exit 3"], ["/bin/echo", "text"]], ids=lambda command: command[0])
def test_programs_that_are_not_python_are_left_alone(agent, tmp_path, command):
    plain = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=tmp_path, env=support.agent_environment("rate=nonsense"))
    assert (done.returncode, done.stdout, done.stderr) == (plain.returncode, plain.stdout, plain.stderr)
    assert not list(tmp_path.iterdir())
