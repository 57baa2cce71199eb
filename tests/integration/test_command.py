"""The command line of pyagent: help, version, short forms, what it says about mistakes, completions, and convert."""
import os
import pathlib
import re
import shutil
import subprocess
import sys

import pytest

import support

PROGRAMS = pathlib.Path(__file__).parent / "programs"
COMMANDS = ["record", "dump", "top", "convert", "completions"]

# py-spy 0.4 record --help, dump --help, top --help: what scripts written for it may use
PY_SPY_OPTIONS = {
    "record": "-p --pid -o --output -f --format -d --duration -r --rate -s --subprocesses -F --function --nolineno -t --threads -g --gil "
              "-i --idle -n --native --nonblocking --full-filenames -h --help",
    "dump": "-p --pid -l --locals -j --json -s --subprocesses -n --native --nonblocking --full-filenames -h --help",
    "top": "-p --pid -r --rate -s --subprocesses -g --gil -i --idle --delay -n --native --nonblocking --full-filenames -h --help",
}


@pytest.fixture
def pyagent(tool, tmp_path):
    """Runs pyagent in a directory of its own."""
    def run(*words, **more):
        settings = dict(stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8", cwd=str(tmp_path), timeout=60)
        return subprocess.run([str(tool), *map(str, words)], **dict(settings, **more))
    return run


def assert_complaint(done, status, *words):
    """One `pyagent: ` line on standard error, perhaps with indented lines below it, and nothing on standard output."""
    assert (done.returncode, done.stdout) == (status, ""), done
    lines = done.stderr.splitlines()
    assert lines and lines[0].startswith("pyagent: ") and all(line.startswith("  ") for line in lines[1:]), done.stderr
    for word in words:
        assert word in done.stderr, done.stderr


# --- help ---


def test_the_version_is_the_projects(pyagent, root):
    version = re.search(r"project\(pyagent VERSION (\S+)", (root / "CMakeLists.txt").read_text()).group(1)
    for option in ["--version", "-V"]:
        assert (pyagent(option).returncode, pyagent(option).stdout) == (0, "pyagent %s\n" % version)


def test_the_help_names_every_command(pyagent):
    texts = {pyagent(*words).stdout for words in [["--help"], ["-h"], ["help"]]}
    (text,) = texts
    assert [name for name in COMMANDS if re.search(r"^  %s +\w" % name, text, re.MULTILINE)] == COMMANDS
    nothing = pyagent()
    assert (nothing.returncode, nothing.stdout, nothing.stderr) == (2, "", text)


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_has_help(pyagent, command):
    done = pyagent(command, "--help")
    assert done.returncode == 0 and done.stderr == ""
    assert done.stdout == pyagent(command, "-h").stdout == pyagent("help", command).stdout
    assert "Usage: pyagent %s" % command in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 120


@pytest.mark.parametrize("command", sorted(PY_SPY_OPTIONS))
def test_options_are_called_as_in_py_spy(pyagent, command):
    options = set(re.findall(r"(?<!\S)(--?\w[\w-]*)", pyagent(command, "--help").stdout.split("Options:")[1]))
    assert set(PY_SPY_OPTIONS[command].split()) <= options


@pytest.mark.parametrize("short, command", [("r", "record"), ("rec", "record"), ("d", "dump"), ("t", "top"), ("conv", "convert"), ("com", "completions")])
def test_commands_may_be_shortened(pyagent, short, command):
    assert pyagent(short, "--help").stdout == pyagent(command, "--help").stdout


def test_output_that_cannot_be_written_is_an_error(pyagent):
    with open("/dev/full", "w") as full:
        assert pyagent("--help", stdout=full).returncode == 1


# --- mistakes ---


@pytest.mark.parametrize("words, expected", [
    (["co"], ["convert", "completions"]), (["frobnicate"], ["frobnicate"]), (["--frobnicate"], ["--frobnicate"]), (["help", "x"], ["x"]),
    (["record"], ["--pid"]), (["dump"], ["--pid"]), (["top"], ["--pid"]), (["dump", "4711"], ["4711", "--pid"]),
    (["record", "-p", "1", "--", "sleep", "1"], ["sleep"]), (["record", "-x"], ["-x"]), (["record", "--frob=3"], ["--frob"]),
    (["record", "--no"], ["--nolineno", "--nonblocking"]), (["record", "--idle=3"], ["--idle", "no value"]), (["record", "-o"], ["FILE"]),
    (["record", "-p", "0"], ["pid"]), (["record", "-p", "-5"], ["pid"]), (["record", "-p", "0x"], ["pid"]), (["record", "-p", "12z"], ["pid"]),
    (["record", "-p", "99999999999"], ["pid"]), (["record", "-p", "1", "-r", "0"], ["rate"]), (["record", "-p", "1", "-r", "fast"], ["rate"]),
    (["record", "-p", "1", "-r", "nan"], ["rate"]), (["record", "-p", "1", "-r", "1e9"], ["rate"]), (["record", "-p", "1", "-d", "0"], ["duration"]),
    (["record", "-p", "1", "-d", "-1"], ["duration"]), (["record", "-p", "1", "-d", "3 days"], ["duration"]),
    (["record", "-p", "1", "-d", "inf"], ["duration"]), (["record", "-p", "1", "-f", "svg"], ["svg", "speedscope", "raw"]),
    (["record", "-p", "1", "-o", ""], ["output"]), (["record", "-p", "1", "-n", "--nonblocking"], ["--native", "--nonblocking"]), (["dump", "-p", "1", "-n", "--symbols", ""], ["symbols"]), (["top", "-p", "1", "--delay", "0"], ["delay"]),
    (["convert"], ["recording"]), (["convert", "x.pyagent"], ["--output"]), (["completions"], ["bash", "zsh", "fish"]), (["completions", "tcsh"], ["bash"]),
], ids=lambda value: " ".join(value))
def test_what_cannot_be_meant_is_said_with_status_2(pyagent, words, expected, tmp_path):
    assert_complaint(pyagent(*words), 2, *expected)
    assert not list(tmp_path.iterdir())


# --- completions ---


def complete_in_bash(tool, script, words):
    """What bash offers for the last of `words`."""
    line = "source %s; complete -p pyagent >&2; COMP_WORDS=(%s); COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _pyagent 2>&-; printf '%%s\\n' \"${COMPREPLY[@]}\""
    quoted = " ".join("'%s'" % word for word in words)
    done = subprocess.run(["bash", "--norc", "-c", line % (script, quoted)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8",
                          cwd=str(script.parent))
    assert "complete -F _pyagent pyagent" in done.stderr, done.stderr
    return done.stdout.split()


def test_bash_completes(tool, pyagent, tmp_path):
    script = tmp_path / "pyagent.bash"
    script.write_text(pyagent("completions", "bash").stdout)

    def offers(*words):
        return complete_in_bash(tool, script, ["pyagent", *words])

    assert offers("") == COMMANDS + ["--help", "--version"]
    assert offers("re") == ["record"]
    assert offers("record", "--no") == ["--nolineno", "--nonblocking"]
    for command, options in PY_SPY_OPTIONS.items():
        assert set(options.split()) <= set(offers(command, "-"))
    assert offers("record", "-f", "") == offers("convert", "--format", "=", "") == ["speedscope", "raw"]
    assert offers("record", "--pid", str(os.getpid()))[0] == str(os.getpid())
    assert offers("convert", "pyagent.b") == ["pyagent.bash"]
    assert offers("record", "-r", "") == []
    assert "bash" in offers("record", "--", "bas") and "bash" in offers("top", "bas")
    assert offers("record", "--", "python", "pyagent.") == ["pyagent.bash"]
    assert offers("completions", "") == ["bash", "zsh", "fish"]


def test_zsh_completes(pyagent, tmp_path):
    if not shutil.which("zsh"):
        pytest.skip("zsh is not here")
    script = tmp_path / "pyagent.zsh"
    script.write_text(pyagent("completions", "zsh").stdout)
    # zpty is zsh's own terminal: a shell in it is given keys, Tab among them. Its pyagent shows what it was given.
    talk = r"""
      zmodload zsh/zpty
      zpty shell zsh -f -i
      zpty -w shell 'PS1=; autoload -Uz compinit; compinit -D -u; source ./pyagent.zsh; pyagent() { print "got <$*>" }; print loa''ded'
      zpty -r -m shell text '*loaded*'
      zpty -w shell $'pyagent rec\t--nolin\t-f r\t-- basena\tpyagent.z\t'
      zpty -r -m shell text '*got <*>*'
      print -r -- ${text#*got }
    """
    done = subprocess.run(["zsh", "-f", "-c", talk], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8", cwd=str(tmp_path), timeout=60)
    assert "<record --nolineno -f raw -- basename pyagent.zsh>" in done.stdout, done.stdout


def test_fish_completes(pyagent, tmp_path):
    if not shutil.which("fish"):
        pytest.skip("fish is not here")
    script = tmp_path / "pyagent.fish"
    script.write_text(pyagent("completions", "fish").stdout)

    def offers(line):
        done = subprocess.run(["fish", "--no-config", "-c", "source %s; complete -C '%s'" % (script, line)], stdout=subprocess.PIPE, check=True,
                              encoding="utf-8", cwd=str(tmp_path))
        return [found.split("\t")[0] for found in done.stdout.splitlines()]

    assert set(COMMANDS) <= set(offers("pyagent "))
    assert set(offers("pyagent record --no")) == {"--nolineno", "--nonblocking"}
    assert set(offers("pyagent record -f ")) == {"raw", "speedscope"}
    assert set(offers("pyagent completions ")) == {"bash", "zsh", "fish"}
    assert "pyagent.fish" in offers("pyagent convert pyagent")


# --- convert ---


@pytest.fixture(scope="module")
def recording(tool, tmp_path_factory):
    """The recording that pyagent leaves when it is killed, of a program whose names would disturb a terminal."""
    directory = tmp_path_factory.mktemp("recording")
    script = directory / "loud.py"
    script.write_text("print('ready', flush=True)\ncode = 'import time\\ndef burn():\\n while True:\\n  time.perf_counter()\\nburn()\\n'\n"
                      "exec(compile(code, '/tmp/evil\\x1b]0;title\\x07\\x1b[2J\\u202e.py', 'exec'))\n", encoding="utf-8")
    with support.start_program(sys.executable, script) as program:
        with support.start_record(program.pid, directory / "out.json", rate=500, tool=tool) as process:
            support.wait_for(lambda: support.samples_so_far(directory) > 50, "50 samples")
            process.kill()
            process.wait()
    (path,) = directory.glob("*.pyagent")
    assert re.match(r"out\.json\.%d-\d+\.pyagent$" % program.pid, path.name)
    return path


def counted(line):
    return int(re.search(r"(\d+) samples", line).group(1))


def test_what_a_killed_pyagent_left_becomes_a_profile(pyagent, recording, tmp_path):
    done = pyagent("convert", recording, "-o", "out.json")
    assert done.returncode == 0 and done.stdout == "" and counted(done.stderr) > 50, done.stderr
    (samples,) = support.load_speedscope(tmp_path / "out.json").values()
    burning = [sample for sample in samples if sample.names[-1] == "burn"]
    assert sum(sample.weight for sample in burning) > 0.9 * sum(sample.weight for sample in samples)
    assert burning[0].stack[-1].file == "evil\x1b]0;title\x07\x1b[2J\u202e.py"
    assert recording.exists()


def test_the_format_comes_from_the_option_or_else_from_the_name(pyagent, recording, tmp_path):
    pyagent("convert", recording, "-o", "a.txt")
    pyagent("convert", recording, "-o", "b.json", "-f", "raw")
    pyagent("convert", recording, "-o", "c.txt", "-f", "speedscope")
    raw = (tmp_path / "a.txt").read_text()
    assert raw == (tmp_path / "b.json").read_text() and re.search(r"burn \(.*\) \d+$", raw, re.MULTILINE)
    assert support.load_speedscope(tmp_path / "c.txt")


@pytest.mark.parametrize("options, pattern", [
    ([], r"^<module> \(loud\.py:3\);<module> \(evil.*\.py:5\);burn \(evil.*\.py:4\) \d+$"),
    (["--function"], r"^<module> \(loud\.py:1\);<module> \(evil.*\.py:1\);burn \(evil.*\.py:2\) \d+$"),
    (["--nolineno"], r"^<module> \(loud\.py\);<module> \(evil.*\.py\);burn \(evil.*\.py\) \d+$"),
    (["--full-filenames"], r"^<module> \(/.*/loud\.py:3\);<module> \(/tmp/evil.*\.py:5\);burn \(/tmp/evil"),
    (["--threads"], r"^thread \(\d+\): MainThread;<module> \(loud"),
    (["--gil"], r"^<module> \(loud\.py:3\)"), (["--idle"], r"^<module> \(loud\.py:3\)"),
], ids=lambda value: " ".join(value) if isinstance(value, list) else "")
def test_frames_are_shown_as_asked(pyagent, recording, options, pattern):
    done = pyagent("convert", recording, "-o", "/dev/stdout", "-f", "raw", *options)
    assert done.returncode == 0 and re.search(pattern, done.stdout, re.MULTILINE), done.stdout


def test_a_damaged_recording_gives_what_is_readable(pyagent, recording, tmp_path):
    whole = counted(pyagent("convert", recording, "-o", "whole.json").stderr)
    damaged = tmp_path / "damaged.pyagent"
    content = bytearray(recording.read_bytes())
    content[20 * 1024:] = b"\xff" * (len(content) - 20 * 1024)
    damaged.write_bytes(content)
    done = pyagent("convert", damaged, "-o", "part.txt")
    assert done.returncode == 0 and "damaged.pyagent is damaged: what stands behind byte" in done.stderr, done.stderr
    assert (tmp_path / "part.txt").exists() and whole > 50


def test_what_is_no_recording_is_refused_and_the_rest_converted(pyagent, recording, tmp_path):
    (tmp_path / "text").write_text("not a recording\n" * 9000)
    (tmp_path / "empty").write_text("")
    for name in ["text", "empty", "missing", "."]:
        done = pyagent("convert", name, "-o", "out.json")
        assert done.returncode == 1 and "pyagent: %s can't be read" % name in done.stderr, done.stderr
        assert not (tmp_path / "out.json").exists()
    done = pyagent("convert", "text", recording, "-o", "out.json")
    assert done.returncode == 0 and "text can't be read" in done.stderr
    assert support.load_speedscope(tmp_path / "out.json")


def test_a_recording_is_not_replaced_by_its_profile(pyagent, recording, tmp_path):
    copy = tmp_path / "copy.pyagent"
    shutil.copy(str(recording), str(copy))
    assert_complaint(pyagent("convert", copy, "-o", "./copy.pyagent"), 1, "copy.pyagent")
    assert copy.read_bytes() == recording.read_bytes()


@pytest.mark.parametrize("output", ["missing/out.json", ".", "/dev/full"])
def test_a_profile_that_cannot_be_written_is_an_error(pyagent, recording, output, tmp_path):
    done = pyagent("convert", recording, "-o", output)
    assert_complaint(done, 1, output)
    assert not list(tmp_path.iterdir())


def test_names_from_the_program_reach_the_terminal_escaped(pyagent, recording, tool, tmp_path):
    script = tmp_path / "loud.py"
    script.write_text("import time\nend = time.time() + 0.7\n"
                      "code = 'def burn():\\n while time.time() < end: pass\\nburn()\\n'\n"
                      "exec(compile(code, 'evil\\x1b]0;title\\x07\\x1b[2J\\u202e\\n\\x9b.py', 'exec'))\n", encoding="utf-8")
    done = pyagent("record", "-r", "500", "-o", "out.json", "--", sys.executable, script)
    assert done.returncode == 0
    assert r"burn (evil\x1b]0;title\x07\x1b[2J\u202e\n\x9b.py)" in done.stderr, ascii(done.stderr)
    assert all(letter == "\n" or " " <= letter <= "~" for letter in done.stderr), ascii(done.stderr)
