"""No impossible stacks from outside: the programs of families_check.py, attached to with `pyagent record -p`.

By default a running thread is stopped while it is read, and every stack must be possible. With --nonblocking nothing is
stopped: one stack in a thousand may be impossible, of all programs and versions. What could not be proven is dropped and
counted, and is no part of that: of these programs, which do nothing but call, most.
"""
import re

import pytest

import families_check
import support
import truth

RATE = 2000
SECONDS = {"default": 0.5, "nonblocking": 0.5}
LONG_SECONDS = {"default": 4.0, "nonblocking": 2.0}  # 100,000 ticks of each version by default
OPTIONS = {"default": (), "nonblocking": ("--nonblocking",)}
# The rest differs little in what a reader can meet.
NONBLOCKING_KINDS = {"plain", "generators", "genexprs", "coroutines", "exceptions", "recursion250", "threads"}
MOST_IMPOSSIBLE = 0.001  # of all programs and versions
# Of one program: all are built to change in a microsecond, some just as fast as frames can be read twice.
MOST_IMPOSSIBLE_OF_ONE = 0.03
MOST_LOST = 0.01  # of the samples of threads that are stopped
FEWEST = {"default": 0.05, "nonblocking": 0.01}  # of the ticks that are due; a busy machine misses many


@pytest.fixture(scope="module")
def tables(request):
    """{mode: rows}; printed when the last test of this file is done."""
    rows = {mode: [] for mode in OPTIONS}
    yield rows
    for mode in OPTIONS:
        truth.print_table(request, rows[mode], mode)


def read_counts(stderr):
    """(samples, flagged, dropped) of pyagent's line at the end."""
    samples = re.search(r"(\d+) samples?\b", stderr)
    assert samples, stderr
    others = [re.search(r"(\d+) " + word, stderr) for word in ("flagged", "dropped")]
    return (int(samples.group(1)),) + tuple(int(found.group(1)) if found else 0 for found in others)


def is_rare(impossible, samples, most=MOST_IMPOSSIBLE):
    """Within three standard deviations of what is allowed, where there are too few samples to be strict."""
    allowed = samples * most
    return impossible <= allowed + 3 * allowed ** 0.5


def record(program, known, kind, python, mode, seconds, tmp_path):
    """A row of the table, and the reasons of what is impossible."""
    done = support.record(program.pid, tmp_path / (mode + ".json"), min(RATE, kind.rate), seconds, OPTIONS[mode] + ("--full-filenames",))
    assert done.returncode == 0, done.stderr
    assert program.process.poll() is None, "the program ended"
    samples, flagged, dropped = read_counts(done.stderr)
    marked, impossible, reasons = truth.judge(known, truth.read_threads(done.output))
    return truth.Row(python.tag, kind.name, samples, flagged, marked, dropped, impossible), reasons, done.stderr


@pytest.mark.parametrize("kind", families_check.KINDS, ids=lambda kind: kind.name)
def test_a_program_with_known_stacks_shows_no_other(python, kind, tool, tables, request, tmp_path):
    known = families_check.load(kind, python.version)
    if not known.supported:
        pytest.skip("%s needs Python %d.%d" % ((kind.name,) + known.since))
    seconds = LONG_SECONDS if request.config.getoption("--long") else SECONDS
    with support.start_program(python.exe, known.path, [10000] + kind.arguments) as program:
        row, reasons, said = record(program, known, kind, python, "default", seconds["default"], tmp_path)
        tables["default"].append(row)
        print(row)
        assert row.impossible == 0, "%d impossible stacks in %d samples:\n%s" % (row.impossible, row.samples, truth.examples(reasons))
        assert row.samples > FEWEST["default"] * min(RATE, kind.rate) * seconds["default"], said
        late = re.search(r"(\d+) not stopped in time", said)  # for want of a processor
        assert row.flagged + row.dropped - (int(late.group(1)) if late else 0) <= max(2, row.samples * MOST_LOST), said
        if kind.name in NONBLOCKING_KINDS or request.config.getoption("--long"):
            row, reasons, said = record(program, known, kind, python, "nonblocking", seconds["nonblocking"], tmp_path)
            tables["nonblocking"].append(row)
            print(row)
            assert is_rare(row.impossible, row.samples, MOST_IMPOSSIBLE_OF_ONE), truth.examples(reasons)
            # Dropping everything would be no art.
            assert row.samples > FEWEST["nonblocking"] * min(RATE, kind.rate) * seconds["nonblocking"], said


def test_nonblocking_shows_at_most_one_impossible_stack_in_a_thousand(tables):
    samples, impossible = (sum(getattr(row, column) for row in tables["nonblocking"]) for column in ("samples", "impossible"))
    if samples < 20000:
        pytest.skip("there are only %d samples" % samples)
    assert is_rare(impossible, samples)
