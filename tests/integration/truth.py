"""Judges the stacks of a profile by what families_check.py says of the program, and prints what came out as a table."""
import collections
import json
import pathlib

import report
from families_check import Frame

Row = collections.namedtuple("Row", "tag kind samples flagged marked dropped impossible")


def print_table(request, rows, title=""):
    """A line for each version, and with --long or -v one for each program of it."""
    heads = ("version", title or "program", "samples", "flagged", "marked", "dropped", "impossible")
    lines = ["%-12s %-17s %9s %8s %7s %8s %11s" % heads]
    if request.config.getoption("--long") or request.config.getoption("verbose") > 0:
        lines += ["%-12s %-17s %9d %8d %7d %8d %11d" % row for row in rows]
    for tag in collections.OrderedDict.fromkeys(row.tag for row in rows):
        own = [row for row in rows if row.tag == tag]
        sums = tuple(sum(getattr(row, column) for row in own) for column in Row._fields[2:])
        lines.append("%-12s %-17s %9d %8d %7d %8d %11d" % ((tag, "all %d" % len(own)) + sums))
    report.write_lines(request, lines)


def examples(reasons):
    """Some of judge's reasons, with a stack for each."""
    return "\n".join("%d x %s\n    %s" % (count, reason, shorten(stack)) for reason, (count, stack) in list(reasons.items())[:5])


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
