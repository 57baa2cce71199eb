"""Shares of CPU time: a program that knows how much each of its functions burnt, at the default rate."""
import json
import pathlib

import pytest

import report
import support

PROGRAM = pathlib.Path(__file__).parent / "programs" / "shares.py"
# With 100 ticks a second and slices of a few ticks, a share's standard error is about 0.5 points in 20 s and 0.9 in 6 s.
SECONDS, TOLERANCE = 6, 0.035
LONG_SECONDS, LONG_TOLERANCE = 20, 0.02
FUNCTIONS = ("sixty", "thirty", "ten")


@pytest.fixture(scope="module")
def table(request):
    rows = []
    yield rows
    def percents(shares):
        return " ".join("%.2f" % (100 * share) for share in shares)

    lines = ["%-12s %8s %20s %20s %12s %10s" % ("version", "CPU s", "true shares %", "profile's shares %", "worst error", "total")]
    for tag, total, true, seen, ratio in rows:
        worst = max(abs(share - expected) for share, expected in zip(seen, true))
        lines.append("%-12s %8.2f %20s %20s %11.2f%% %+9.2f%%" % (tag, total, percents(true), percents(seen), 100 * worst, 100 * (ratio - 1)))
    report.write_lines(request, lines)


def test_shares_and_total_are_those_the_program_measured(python, agent, table, request, tmp_path):
    is_long = request.config.getoption("--long")
    seconds, tolerance = (LONG_SECONDS, LONG_TOLERANCE) if is_long else (SECONDS, TOLERANCE)
    run = support.run_agent(python.exe, PROGRAM, "rate=100", [seconds], cwd=tmp_path)
    assert run.returncode == 0, run.stderr
    measured = json.loads(run.stdout)
    burnt = sum(measured[name] for name in FUNCTIONS)
    weights = dict.fromkeys(FUNCTIONS, 0.0)
    in_main = 0.0
    for samples in support.load_speedscope(run.profile).values():
        for sample in samples:
            if "main" in sample.names:
                in_main += sample.weight
            for name in FUNCTIONS:
                if name in sample.names:
                    weights[name] += sample.weight
    true = [measured[name] / burnt for name in FUNCTIONS]
    seen = [weights[name] / (sum(weights.values()) or 1) for name in FUNCTIONS]
    table.append((python.tag, measured["total"], true, seen, in_main / measured["total"]))
    print(table[-1])
    for name, share, expected in zip(FUNCTIONS, seen, true):
        assert abs(share - expected) <= tolerance, "%s: %.2f %% instead of %.2f %%" % (name, 100 * share, 100 * expected)
    assert abs(in_main / measured["total"] - 1) <= 0.02, "%.3f s in the profile, %.3f s by getrusage" % (in_main, measured["total"])
