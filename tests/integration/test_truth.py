"""No impossible stacks: programs whose every legal stack is known (families_check.py), sampled at 10 kHz.

The handler is driven by a monotonic timer, since the CPU clock ticks too slowly for this. A sample that the agent could not
read whole is flagged: its stack begins with a frame in brackets. Everything else must be a possible stack.
"""
import re

import pytest

import families_check
import support
import truth

SECONDS = 1.25
LONG_SECONDS = 3.0  # more than 100,000 samples for each version
MOST_FLAGGED = 0.001


@pytest.fixture(scope="module")
def table(request):
    """Rows of what was measured; printed when the last test of this file is done."""
    rows = []
    yield rows
    truth.print_table(request, rows)


def read_counts(stderr):
    """(samples, flagged, dropped) of the agent's line at the end."""
    match = re.search(r"pyagent: (\d+) samples?, (\d+) flagged(?:, (\d+) dropped)?", stderr)
    assert match, stderr
    return tuple(int(number or 0) for number in match.groups())


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

    marked, impossible, reasons = truth.judge(program, truth.read_threads(run.profile))
    row = truth.Row(python.tag, kind.name, samples, flagged, marked, dropped, impossible)
    table.append(row)
    print(row)
    assert not reasons, "%d impossible stacks in %d samples:\n%s" % (impossible, samples, truth.examples(reasons))
    assert samples > 0.1 * kind.rate * seconds, run.stderr
    # One is allowed whatever the number of samples is.
    assert flagged <= max(1, samples * MOST_FLAGGED), run.stderr
    assert dropped <= max(1, samples * MOST_FLAGGED), run.stderr
