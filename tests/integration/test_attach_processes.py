"""What happens to a process that is recorded from outside, and what pyagent says when it can't: exec, exit, fork, stops,
debuggers, signals, kills, namespaces, other users. Where the layout does not matter, one or two interpreters do.
"""
import ctypes
import json
import os
import pathlib
import random
import re
import shutil
import signal
import stat
import subprocess
import tempfile
import time

import pytest

import support
from support import record, start_program, start_record, status_field, thread_states, wait_for

PROGRAMS = pathlib.Path(__file__).parent / "programs"
TOLD = PROGRAMS / "told.py"
NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
CHOSEN = ("system-3.11", "sid-3.14")

pytestmark = pytest.mark.usefixtures("tool")
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")


def find_python(tag):
    found = [python for python in support.find_pythons() if python.tag == tag]
    if not found:
        pytest.skip("%s is not here" % tag)
    return found[0]


@pytest.fixture
def one():
    """The interpreter for what does not depend on it."""
    return (([python for python in support.find_pythons() if python.tag in CHOSEN] or support.find_pythons())[0])


@pytest.fixture(params=CHOSEN)
def either(request):
    return find_python(request.param)


def names_in(path):
    """Every function on any stack of a profile."""
    threads = support.load_speedscope(path)
    return {name for samples in threads.values() for sample in samples for name in sample.names}


def profiles_in(directory):
    return sorted(path for path in directory.iterdir() if path.suffix == ".json")


def traced_by(tid):
    return int(status_field(tid, "TracerPid"))


def assert_runs_on(program):
    """No thread is stopped, nobody traces it, and every burning thread gets on."""
    wait_for(lambda: not set(thread_states(program.pid).values()) & set("Tt"), "a target that runs", timeout=5)
    assert {traced_by(tid) for tid in thread_states(program.pid)} == {0}
    assert_gets_on(program)


def assert_gets_on(program):
    before = program.ask("count").split()

    def all_moved():
        return all(int(now) > int(then) for now, then in zip(program.ask("count").split(), before))
    wait_for(all_moved, "progress of every thread")


# --- the target changes ---


def test_a_target_that_exits_leaves_its_profile_and_its_status(either, tmp_path):
    with start_program(either.exe, TOLD) as program, start_record(program.pid, tmp_path / "p.json") as recorder:
        program.tell("exit 7")
        assert program.process.wait(10) == 7
        _, said = recorder.communicate(timeout=10)
        assert recorder.returncode == 0 and "end" in said, said
    assert "burn" in names_in(tmp_path / "p.json")


def test_a_target_that_is_killed_leaves_its_profile(one, tmp_path):
    with start_program(one.exe, TOLD) as program, start_record(program.pid, tmp_path / "p.json") as recorder:
        program.process.kill()
        assert program.process.wait(10) == -signal.SIGKILL
        _, said = recorder.communicate(timeout=10)
        assert recorder.returncode == 0, said
    assert "burn" in names_in(tmp_path / "p.json")


@pytest.mark.parametrize("becomes", ["python", "sleep"])
def test_what_was_recorded_before_an_exec_is_kept(one, becomes, tmp_path):
    with start_program(one.exe, TOLD) as program, start_record(program.pid, tmp_path / "p.json", seconds=2) as recorder:
        if becomes == "python":
            other = find_python("sid-3.14")
            assert program.ask("exec %s %s 1" % (other.exe, TOLD)) == "ready"
        else:
            program.tell("exec /bin/sleep 100")
        _, said = recorder.communicate(timeout=20)
        assert recorder.returncode == 0, said
        assert re.search("exec|another program", said), said
        assert program.process.poll() is None, "the new program did not survive"
        assert pathlib.Path("/proc/%d/comm" % program.pid).read_text().startswith(("sleep", "python"))
        wait_for(lambda: not set(thread_states(program.pid).values()) & set("DTt"), "a new program that runs", 5)
        if becomes == "python":
            assert_runs_on(program)
    assert "burn" in names_in(tmp_path / "p.json")


# A program that executes another ends its other threads first, and waits until their tracer has taken notice; who seizes a
# thread meanwhile waits for the program. Nobody would ever get on.


def test_a_program_with_threads_can_execute_another_as_soon_as_it_is_recorded(one, request, tmp_path):
    for number in range(200 if request.config.getoption("--long") else 15):
        directory = tmp_path / str(number)
        directory.mkdir()
        with start_program(one.exe, TOLD) as program, start_record(program.pid, directory / "p.json") as recorder:
            assert program.ask("exec %s %s" % (one.exe, TOLD), timeout=10) == "ready", "exec %d" % number
            recorder.send_signal(signal.SIGINT)
            recorder.communicate(timeout=10)
            assert recorder.returncode == 0
            assert_runs_on(program)


def test_a_program_with_threads_can_execute_another_again_and_again(one, request, tmp_path):
    chance = random.Random(1)
    with start_program(one.exe, TOLD, [4]) as program, start_record(program.pid, tmp_path / "p.json", options=("-s",)) as recorder:
        for _ in range(300 if request.config.getoption("--long") else 30):
            assert program.ask("exec %s %s 4" % (one.exe, TOLD), timeout=10) == "ready"
            time.sleep(chance.uniform(0, 0.05))
        assert recorder.poll() is None, recorder.communicate()
        assert_gets_on(program)
        recorder.send_signal(signal.SIGINT)
        _, said = recorder.communicate(timeout=10)
        assert recorder.returncode == 0, said
    assert "burn" in names_in(tmp_path / "p.json")


def test_a_fork_goes_its_own_way(either, tmp_path):
    with start_program(either.exe, TOLD) as program, start_record(program.pid, tmp_path / "p.json") as recorder:
        assert program.ask("fork 0.3") == "5"
        assert_gets_on(program)
        recorder.send_signal(signal.SIGINT)
        _, said = recorder.communicate(timeout=10)
    names = names_in(tmp_path / "p.json")
    assert "burn" in names and "in_child" not in names, said


def test_children_are_recorded_when_asked(either, tmp_path):
    with start_program(either.exe, TOLD) as program, \
            start_record(program.pid, tmp_path / "p.json", options=("--subprocesses",)) as recorder:
        assert program.ask("children %s 0.5" % either.exe) == "done"
        recorder.send_signal(signal.SIGINT)
        _, said = recorder.communicate(timeout=10)
        assert_runs_on(program)
    found = {path.name: names_in(path) for path in profiles_in(tmp_path)}
    everything = set().union(*found.values())
    assert {"burn", "in_child", "outer"} <= everything, (found, said)


def test_a_target_can_be_stopped_and_continued_while_it_is_recorded(either, tmp_path):
    with start_program(either.exe, TOLD, [3]) as program, start_record(program.pid, tmp_path / "p.json") as recorder:
        def cpu():
            """CPU time in clock ticks."""
            text = pathlib.Path("/proc/%d/stat" % program.pid).read_text()
            return sum(map(int, text.rsplit(")", 1)[1].split()[11:13]))
        for _ in range(3):
            os.kill(program.pid, signal.SIGSTOP)
            wait_for(lambda: set(thread_states(program.pid).values()) <= set("Tt"), "a stopped target")
            time.sleep(0.05)
            before = cpu()
            time.sleep(0.3)
            assert set(thread_states(program.pid).values()) <= set("Tt"), "pyagent let a stopped program run"
            assert cpu() - before <= 1
            os.kill(program.pid, signal.SIGCONT)
            before, samples = cpu(), support.samples_so_far(tmp_path)
            wait_for(lambda: cpu() - before > 10, "progress")
            wait_for(lambda: support.samples_so_far(tmp_path) > samples + 20, "more samples")
        recorder.send_signal(signal.SIGINT)
        _, said = recorder.communicate(timeout=10)
        assert recorder.returncode == 0, said
        assert_runs_on(program)
    assert "burn" in names_in(tmp_path / "p.json")


@pytest.mark.parametrize("options", [(), ("--nonblocking",), ("--idle",)], ids=" ".join)
def test_a_stopped_target_stays_stopped(one, options, tmp_path):
    with start_program(one.exe, TOLD, [3]) as program:
        os.kill(program.pid, signal.SIGSTOP)
        wait_for(lambda: set(thread_states(program.pid).values()) == {"T"}, "a stopped target")
        dump = subprocess.run([str(support.TOOL), "dump", "-p", str(program.pid)] + [o for o in options if o == "--nonblocking"],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8", timeout=20)
        assert dump.returncode == 0 and "burn" in dump.stdout, dump
        done = record(program.pid, tmp_path / "p.json", seconds=0.5, options=options)
        assert done.returncode == 0 and done.seconds < 5, done
        assert set(thread_states(program.pid).values()) == {"T"}
        os.kill(program.pid, signal.SIGCONT)
        assert_runs_on(program)


def test_a_stopped_target_can_end(one, tmp_path):
    """SIGCONT and SIGKILL reach a program that was stopped while it was recorded."""
    with start_program(one.exe, TOLD) as program, start_record(program.pid, tmp_path / "p.json") as recorder:
        os.kill(program.pid, signal.SIGSTOP)
        wait_for(lambda: set(thread_states(program.pid).values()) <= set("Tt"), "a stopped target")
        program.process.kill()
        assert program.process.wait(10) == -signal.SIGKILL
        recorder.communicate(timeout=10)
    assert "burn" in names_in(tmp_path / "p.json")


# --- debuggers ---


def test_a_target_under_strace_is_recorded_without_stopping_it(one, tmp_path):
    if not shutil.which("strace"):
        pytest.skip("strace is not installed")
    with start_program(one.exe, TOLD, [2]) as program:
        tracer = subprocess.Popen(["strace", "-f", "-e", "trace=none", "-o", "/dev/null", "-p", str(program.pid)],
                                  stderr=subprocess.DEVNULL)
        try:
            wait_for(lambda: traced_by(program.pid) == tracer.pid, "strace")
            done = record(program.pid, tmp_path / "p.json", seconds=0.5)
            assert done.returncode == 0, done.stderr
            assert str(tracer.pid) in done.stderr and "strace" in done.stderr, done.stderr
            assert "burn" in names_in(tmp_path / "p.json"), done.stderr
            assert traced_by(program.pid) == tracer.pid
        finally:
            tracer.terminate()
            tracer.wait()
        assert_runs_on(program)


def test_a_target_that_gdb_holds_can_be_dumped(one, tmp_path):
    if not shutil.which("gdb"):
        pytest.skip("gdb is not installed")
    with start_program(one.exe, TOLD, [2]) as program:
        tracer = subprocess.Popen(["gdb", "-q", "-nx", "-iex", "set debuginfod enabled off", "-iex", "set auto-load no", "-p",
                                   str(program.pid)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                                  encoding="utf-8", errors="replace")
        try:
            wait_for(lambda: traced_by(program.pid) == tracer.pid and set(thread_states(program.pid).values()) == {"t"}, "gdb")
            dump = subprocess.run([str(support.TOOL), "dump", "-p", str(program.pid)], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                  encoding="utf-8", timeout=20)
            assert dump.returncode == 0 and "burn" in dump.stdout, dump
            done = record(program.pid, tmp_path / "p.json", seconds=0.3)
            assert "gdb" in done.stderr, done
            assert set(thread_states(program.pid).values()) == {"t"}
        finally:
            tracer.communicate("detach\nquit\n", timeout=60)
        assert_runs_on(program)


# --- killed at any moment ---


@pytest.mark.parametrize("threads", [4])
def test_pyagent_killed_at_any_moment_leaves_the_target_running(one, threads, tool, request, tmp_path):
    rounds = 2000 if request.config.getoption("--long") else 300
    chance = random.Random(threads)
    left = samples = 0
    with start_program(one.exe, TOLD, [threads]) as program:
        for number in range(rounds):
            directory = tmp_path / str(number)
            directory.mkdir()
            recorder = subprocess.Popen(support.record_command(program.pid, directory / "p.json", rate=1000, seconds=10),
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            time.sleep(chance.uniform(0, 0.12))
            recorder.kill()
            assert recorder.wait() == -signal.SIGKILL
            wait_for(lambda: not set(thread_states(program.pid).values()) & set("Tt"), "a target that runs, after kill %d" % number, 5)
            if number % 20 == 0:
                assert_runs_on(program)
            recordings = list(directory.glob("*.pyagent"))
            for recording in recordings:
                left += 1
                samples += support.samples_so_far(directory)
                done = subprocess.run([str(tool), "convert", str(recording), "-o", str(directory / "c.json"), "-f", "speedscope"],
                                      stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8", timeout=20)
                # Killed before the file's header was written, there is nothing to convert.
                if recording.stat().st_size > 0 and support.samples_so_far(directory) > 0:
                    assert done.returncode == 0, (number, done)
                    assert "burn" in names_in(directory / "c.json")
            shutil.rmtree(str(directory))
        assert_runs_on(program)
    print("%d kills, %d recordings left with %d samples" % (rounds, left, samples))
    assert left > rounds / 4 and samples > rounds, "the kills came too early to mean anything"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
def test_a_signal_ends_the_recording_and_keeps_it(one, number, tmp_path):
    with start_program(one.exe, TOLD) as program, start_record(program.pid, tmp_path / "p.json") as recorder:
        recorder.send_signal(number)
        _, said = recorder.communicate(timeout=10)
        assert recorder.returncode == 0, said
        assert_runs_on(program)
    assert "burn" in names_in(tmp_path / "p.json")
    assert [path.name for path in tmp_path.iterdir()] == ["p.json"], "the recording was not removed"


# --- what the target notices ---


@pytest.mark.parametrize("options", [(), ("--idle",), ("--nonblocking", "--idle")], ids=lambda options: " ".join(options) or "default")
def test_waiting_system_calls_are_not_interrupted(either, options, request, tmp_path):
    seconds = 20 if request.config.getoption("--long") else 2
    with start_program(either.exe, PROGRAMS / "eintr.py") as program:
        before = json.loads(program.ask("count"))
        done = record(program.pid, tmp_path / "p.json", 1000, seconds, options)
        assert done.returncode == 0, done.stderr
        after = json.loads(program.ask("count"))
        program.tell("end")
        program.process.wait(10)
    print(after)
    assert all(after[name][0] > before[name][0] + 5 for name in after), after
    interrupted = {name: count for name, count in after.items() if count[1] or count[2]}
    assert not interrupted, "[calls, interrupted, other errors]: %s of %s" % (interrupted, after)
    assert "wait_often" in names_in(tmp_path / "p.json")


def test_every_signal_that_arrives_meanwhile_is_handled(either, request, tmp_path):
    number, many = signal.SIGRTMIN + 3, 100000 if request.config.getoption("--long") else 20000
    libc = ctypes.CDLL(None, use_errno=True)
    with start_program(either.exe, PROGRAMS / "signals.py", [int(number)]) as program, \
            start_record(program.pid, tmp_path / "p.json") as recorder:
        sent, taken = 0, support.samples_so_far(tmp_path)
        while sent < many:
            if libc.sigqueue(program.pid, int(number), None) == 0:  # a real-time signal is queued, not merged
                sent += 1
                if sent % 20 == 0:
                    time.sleep(0.001)
            else:
                time.sleep(0.001)
        wait_for(lambda: int(program.ask("count")) >= sent, "the last signal")
        assert support.samples_so_far(tmp_path) > taken + 50, "they did not meet"
        recorder.send_signal(signal.SIGINT)
        recorder.communicate(timeout=10)
        assert int(program.ask("count")) == sent


# --- who may ---


@pytest.fixture
def public(tool):
    """A directory that anybody may enter, with a copy of the command and of the programs."""
    with tempfile.TemporaryDirectory(prefix="pyagent-test-") as name:
        directory = pathlib.Path(name)
        directory.chmod(0o755)
        for path in (tool, TOLD):
            shutil.copy(str(path), name)
        (directory / "theirs").mkdir()
        (directory / "theirs").chmod(0o777)
        yield directory


def for_anybody(python):
    if not os.stat(os.path.realpath(python.exe)).st_mode & stat.S_IXOTH or subprocess.run(
            [*NOBODY, python.exe, "-c", ""], stderr=subprocess.DEVNULL).returncode:
        pytest.skip("%s can't be run by everybody" % python.exe)
    return python


@as_root
def test_a_user_without_privileges_records_a_process_of_their_own(one, public):
    with start_program(for_anybody(one).exe, public / "told.py", prefix=NOBODY) as program:
        done = record(program.pid, public / "theirs" / "p.json", seconds=0.5, prefix=NOBODY, tool=public / "pyagent")
        assert done.returncode == 0, done.stderr
        assert_runs_on(program)
    assert "burn" in names_in(public / "theirs" / "p.json")


@as_root
@pytest.mark.parametrize("command", ["record", "dump"])
def test_another_users_process_is_refused_with_advice(one, public, command):
    with start_program(one.exe, TOLD) as program:
        arguments = ["-o", "p.json", "-d", "1"] if command == "record" else []
        done = subprocess.run([*NOBODY, str(public / "pyagent"), command, "-p", str(program.pid), *arguments], cwd=str(public / "theirs"),
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8", timeout=20)
        assert done.returncode == 1, done
        assert all(word in done.stderr for word in (str(program.pid), "belongs to", "root", "sudo")), done.stderr
        assert list((public / "theirs").iterdir()) == []
        assert_runs_on(program)


def ended_pid():
    child = subprocess.Popen(["true"])
    child.wait()
    return child.pid


def assert_refused(pid, tmp_path, pattern):
    done = record(pid, tmp_path / "p.json", seconds=1, timeout=20)
    assert done.returncode == 1, done
    assert re.search(pattern, done.stderr), done.stderr
    assert str(pid) in done.stderr, done.stderr
    assert list(tmp_path.iterdir()) == []
    assert done.seconds < 5, done


def test_a_process_that_does_not_exist_is_refused(tmp_path):
    assert_refused(ended_pid(), tmp_path, "no (such )?process")


def test_a_kernel_thread_is_refused(tmp_path):
    kernel = [int(path.parent.name) for path in pathlib.Path("/proc").glob("[0-9]*/comm") if path.read_text() == "kthreadd\n"]
    if not kernel:
        pytest.skip("kernel threads are not to be seen here")
    assert_refused(kernel[0], tmp_path, "kernel")


def test_a_zombie_is_refused(tmp_path):
    child = subprocess.Popen(["true"])
    wait_for(lambda: thread_states(child.pid).get(child.pid) == "Z", "a zombie")
    try:
        assert_refused(child.pid, tmp_path, "zombie|has ended|no (such )?process")
    finally:
        child.wait()


def test_a_process_without_python_is_refused(tmp_path):
    child = subprocess.Popen(["sleep", "100"])
    try:
        assert_refused(child.pid, tmp_path, "no Python|not a Python|Python")
        assert child.poll() is None
    finally:
        child.kill()
        child.wait()


def test_python_2_7_is_refused_by_name(tmp_path):
    old = [python for python in support.list_pythons() if python.version == (2, 7)]
    if not old:
        pytest.skip("no Python 2.7")
    code = "import sys, time\nsys.stdout.write('ready\\n')\nsys.stdout.flush()\ntime.sleep(100)"
    with start_program(old[0].exe, ("-c", code)) as program:
        assert_refused(program.pid, tmp_path, r"2\.7")


# --- the output ---


def fastest_refusal(pid, output, pattern, prefix=(), tool=support.TOOL, cwd=None):
    """Seconds until pyagent gave up; the least of five, since others use this machine too."""
    took = []
    for _ in range(5):
        done = record(pid, output, seconds=5, prefix=prefix, tool=tool, cwd=cwd)
        assert done.returncode == 1, done
        assert re.search(pattern, done.stderr, re.IGNORECASE) and str(output) in done.stderr, done.stderr
        took.append(done.seconds)
    return min(took)


def test_an_output_that_cannot_be_written_ends_it_at_once(one, tmp_path):
    (tmp_path / "taken").mkdir()
    (tmp_path / "file").write_text("")
    with start_program(one.exe, TOLD) as program:
        for output, pattern in ((tmp_path / "absent" / "p.json", "no such file or directory"), (tmp_path / "taken", "directory"),
                                (tmp_path / "file" / "p.json", "not a directory"), (pathlib.Path("/proc/p.json"), "")):
            assert fastest_refusal(program.pid, output, pattern) < 0.1, output
        assert_runs_on(program)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "taken"]


@as_root
def test_an_output_in_somebody_elses_directory_ends_it_at_once(one, public):
    with start_program(for_anybody(one).exe, public / "told.py", prefix=NOBODY) as program:
        assert fastest_refusal(program.pid, public / "p.json", "permission denied", prefix=NOBODY, tool=public / "pyagent") < 0.1
    assert not (public / "p.json").exists()


def test_a_full_disk_ends_it_at_once(one, tmp_path):
    full = tmp_path / "full"
    full.mkdir()
    if os.geteuid() != 0 or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8k", "tmpfs", str(full)]).returncode:
        pytest.skip("a small file system can't be mounted here")
    try:
        (full / "filler").write_bytes(b"x" * 4096)
        with start_program(one.exe, TOLD) as program:
            assert fastest_refusal(program.pid, full / "p.json", "space") < 0.1
            assert_runs_on(program)
        assert [path.name for path in full.iterdir()] == ["filler"]
    finally:
        subprocess.run(["umount", str(full)], check=True)


# --- arguments ---


def test_durations_may_be_fractions_and_pids_hexadecimal(one, tmp_path):
    with start_program(one.exe, TOLD) as program:
        done = record(hex(program.pid), tmp_path / "p.json", seconds=0.25)
    assert done.returncode == 0, done.stderr
    assert 0.25 <= done.seconds < 2, done.seconds
    assert 0 < support.total_weight(support.load_speedscope(tmp_path / "p.json")) < 0.6
    assert "burn" in names_in(tmp_path / "p.json")


# --- where the target lives ---


def child_of(pid):
    path = pathlib.Path("/proc/%d/task/%d/children" % (pid, pid))
    return [int(word) for word in path.read_text().split()]


def test_a_target_in_another_pid_namespace_is_recorded(either, tmp_path):
    alone = ("unshare", "--pid", "--fork", "--mount-proc", "--kill-child")
    if subprocess.run([*alone, "true"], stderr=subprocess.DEVNULL).returncode:
        pytest.skip("unshare is not permitted")
    with start_program(either.exe, TOLD, [2], prefix=alone) as program:
        (program.pid,) = child_of(program.pid)
        assert status_field(program.pid, "NSpid").split()[-1] == "1"
        done = record(program.pid, tmp_path / "p.json", seconds=0.5, options=("--idle",))
        assert done.returncode == 0, done.stderr
        assert_runs_on(program)
        tids = {str(tid) for tid in thread_states(program.pid)}
    threads = support.load_speedscope(tmp_path / "p.json")
    assert len(threads) == 3 and {"burn", "main"} <= names_in(tmp_path / "p.json"), threads.keys()
    assert {re.match(r"Thread (\d+)", name).group(1) for name in threads} == tids, "threads are named by the ids they have here"


@as_root
def test_a_target_in_a_chroot_is_recorded(tmp_path):
    python = find_python("sid-3.14")
    root = pathlib.Path(python.exe).parents[2]
    inner = "/" + str(pathlib.Path(python.exe).relative_to(root)).replace("-host", "")
    with start_program(inner, ("-c", TOLD.read_text()), prefix=("chroot", root), cwd="/") as program:
        done = record(program.pid, tmp_path / "p.json", seconds=0.5)
        assert done.returncode == 0, done.stderr
        assert_runs_on(program)
    assert "burn" in names_in(tmp_path / "p.json")


def test_a_target_whose_files_were_deleted_is_recorded(either, tmp_path):
    binary = os.path.realpath(either.exe)
    copy = tmp_path / ("python%d.%d" % either.version)
    shutil.copy(binary, str(copy))
    home = pathlib.Path(binary).parent.parent
    output = tmp_path / "out"
    output.mkdir()
    with start_program(copy, TOLD, env={"PYTHONHOME": str(home)}) as program:
        copy.unlink()
        done = record(program.pid, output / "p.json", seconds=0.5)
        assert done.returncode == 0, done.stderr
        assert_runs_on(program)
    assert "burn" in names_in(output / "p.json")
