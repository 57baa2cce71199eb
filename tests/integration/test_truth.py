"""No impossible stacks: programs whose every legal stack is known (families_check.py), sampled at 10 kHz.

The handler is driven by a monotonic timer, since the CPU clock ticks too slowly for this. A sample that the agent could not
read whole is flagged: its stack begins with a frame in brackets. Everything else must be a possible stack.
"""
import collections
import json
import pathlib
import re

import pytest

import families_check
import report
import support
from families_check import Frame

SECONDS = 1.25
LONG_SECONDS = 3.0  # more than 100,000 samples for each version
MOST_FLAGGED = 0.001

Row = collections.namedtuple("Row", "tag kind samples flagged marked impossible")


@pytest.fixture(scope="module")
def table(request):
    """Rows of what was measured; printed when the last test of this file is done."""
    rows = []
    yield rows
    lines = ["%-12s %-17s %9s %8s %7s %11s" % ("version", "program", "samples", "flagged", "marked", "impossible")]
    if request.config.getoption("--long") or request.config.getoption("verbose") > 0:
        lines += ["%-12s %-17s %9d %8d %7d %11d" % row for row in rows]
    for tag in collections.OrderedDict.fromkeys(row.tag for row in rows):
        own = [row for row in rows if row.tag == tag]
        sums = tuple(sum(getattr(row, column) for row in own) for column in Row._fields[2:])
        lines.append("%-12s %-17s %9d %8d %7d %11d" % ((tag, "all %d" % len(own)) + sums))
    report.write_lines(request, lines)


def read_counts(stderr):
    """(samples, flagged, dropped) of the agent's line at the end."""
    match = re.search(r"pyagent: (\d+) samples?, (\d+) flagged(?:, (\d+) dropped)?", stderr)
    assert match, stderr
    return tuple(int(number or 0) for number in match.groups())


def read_threads(path):
    """Stacks of each thread in order of time, as tuples of Frame, root first; equal stacks are one object."""
    document = json.loads(pathlib.Path(path).read_text(encoding="utf-8"))
    frames = [Frame(frame["name"], frame.get("file", ""), frame.get("line", 0)) for frame in document["shared"]["frames"]]
    stacks = {}
    for profile in document["profiles"]:
        yield [stacks.setdefault(tuple(sample), tuple(frames[index] for index in sample)) for sample in profile["samples"]]


def judge(program, threads):
    """(marked, impossible, {reason: (count, an example)}) of the stacks of all threads."""
    marked, reasons = 0, {}
    for stacks in threads:
        counts = collections.Counter(map(id, stacks))
        once = {id(stack): stack for stack in stacks}
        lost = [("begins in the library: " + stack[0].name, stack, 1) for stack in program.check_order(
            [stack for stack in stacks if not is_marked(stack)])]
        for key, stack in once.items():
            if is_marked(stack):
                marked += counts[key]
            elif program.check(stack):
                lost.append((program.check(stack), stack, counts[key]))
        for reason, stack, count in lost:
            before = reasons.get(reason, (0, stack))
            reasons[reason] = (before[0] + count, before[1])
    return marked, sum(count for count, _ in reasons.values()), reasons


def is_marked(stack):
    """True for a sample that says of itself that it is not whole."""
    return bool(stack) and stack[0].name.startswith("[")


def shorten(stack):
    lines = ["%s (%s:%s)" % (frame.name, pathlib.PurePath(frame.file).name, frame.line) for frame in stack]
    return "\n    ".join(lines if len(lines) < 30 else lines[:12] + ["... %d frames" % (len(lines) - 24)] + lines[-12:])


@pytest.mark.parametrize("kind", families_check.KINDS, ids=lambda kind: kind.name)
def test_a_program_with_known_stacks_shows_no_other(python, kind, agent, table, request, tmp_path):
    program = families_check.load(kind, python.version)
    if not program.supported:
        pytest.skip("%s needs Python %d.%d" % ((kind.name,) + program.since))
    seconds = LONG_SECONDS if request.config.getoption("--long") else SECONDS
    run = support.run_agent(python.exe, program.path, "rate=%d,clock=monotonic,full-filenames" % kind.rate,
                            [seconds] + kind.arguments, cwd=tmp_path, timeout=60 + 20 * seconds)
    assert run.returncode == 0, run.stderr
    samples, flagged, dropped = read_counts(run.stderr)

    marked, impossible, reasons = judge(program, read_threads(run.profile))
    row = Row(python.tag, kind.name, samples, flagged, marked, impossible)
    table.append(row)
    print(row, "dropped", dropped)
    examples = ["%d x %s\n    %s" % (count, reason, shorten(stack)) for reason, (count, stack) in list(reasons.items())[:5]]
    assert not reasons, "%d impossible stacks in %d samples:\n%s" % (impossible, samples, "\n".join(examples))
    assert samples > 0.1 * kind.rate * seconds, run.stderr
    # One is allowed whatever the number of samples is.
    assert flagged <= max(1, samples * MOST_FLAGGED), run.stderr
    assert dropped <= max(1, samples * MOST_FLAGGED), run.stderr
