"""Names, files, lines and columns of many kinds of stacks, compared with what the interpreter itself said at that moment."""
import collections
import json
import pathlib
import re

import support

PROGRAM = pathlib.Path(__file__).parent / "programs" / "stacks.py"
GAP = re.compile(r"\[(?:(\d+) )?frames left out\]$")


def spin_lines():
    lines = PROGRAM.read_text().splitlines()
    first = lines.index("def spin():") + 1
    return range(first, first + 4)


def clean(text):
    """Lone surrogates are shown as U+FFFD."""
    return re.sub("[\ud800-\udfff]", "\ufffd", text)


def read_seen(run):
    """What the program printed: stacks of (name, file, line, column or None), root first."""
    stacks = [json.loads(line) for line in run.stdout.splitlines()]
    return [tuple((clean(name), clean(file), line, column) for name, file, line, column in stack) for stack in stacks]


def callers_of_spin(threads):
    """{callers: weight} of all samples whose leaf is spin(), callers as (name, file, line) and a list of columns apart."""
    found = collections.OrderedDict()
    for samples in threads.values():
        for sample in samples:
            leaf = sample.stack[-1]
            if leaf.name == "spin" and leaf.file.endswith("stacks.py"):
                assert leaf.line in spin_lines(), leaf
                callers = tuple((frame.name, frame.file or "", frame.line) for frame in sample.stack[:-1])
                weight, columns = found.get(callers, (0.0, None))
                found[callers] = (weight + sample.weight, tuple(frame.col for frame in sample.stack[:-1]))
    return found


def is_same(stack, seen):
    """True if `seen` is `stack`, whole or with gaps that keep both ends and say truly how many frames they hide.

    A stack may have two gaps: one of the recording, with its number, and one of the speedscope file, without.
    """
    if seen == stack:
        return True
    gaps = [at for at, frame in enumerate(seen) if GAP.match(frame[0])]
    if not gaps or len(seen) >= len(stack) + len(gaps):
        return False
    root, leaf = seen[:gaps[0]], seen[gaps[-1] + 1:]
    left_out = len(stack) - (len(seen) - len(gaps))
    said = [int(GAP.match(seen[at][0]).group(1) or 0) for at in gaps]
    is_truth = sum(said) == left_out if all(said) else sum(said) <= left_out
    return is_truth and bool(root and leaf) and stack[:len(root)] == root and stack[-len(leaf):] == leaf


def show(stack):
    lines = ["%s (%s:%s)" % frame[:3] for frame in stack]
    return "\n    ".join(ascii(line) for line in (lines if len(lines) < 40 else lines[:10] + ["..."] + lines[-10:]))


def test_stacks_are_those_the_interpreter_shows(python, agent, tmp_path):
    run = support.run_agent(python.exe, PROGRAM, "rate=250,full-filenames", [0.04], cwd=tmp_path)
    assert run.returncode == 0, run.stderr
    expected = read_seen(run)
    assert len(expected) >= 71
    found = callers_of_spin(support.load_speedscope(run.profile))
    missing, unseen = [], set(found)
    columns = 0
    for stack in expected:
        plain = tuple(frame[:3] for frame in stack)
        same = [seen for seen in found if is_same(plain, seen)]
        if not same:
            missing.append(plain)
            continue
        unseen -= set(same)
        for seen in same:
            if seen == plain:
                wrong = [(frame, column) for frame, column in zip(stack, found[seen][1])
                         if frame[3] is not None and column is not None and frame[3] != column]
                assert not wrong, wrong
                columns += sum(column is not None for column in found[seen][1])
    print("%s: %d stacks, %d found, %d columns compared, %.2f s in spin()" % (
        python.tag, len(expected), len(expected) - len(missing), columns, sum(weight for weight, _ in found.values())))
    assert not missing and not unseen, "missing:\n  %s\nunexpected:\n  %s" % (
        "\n  ".join(map(show, missing[:3])), "\n  ".join(show(stack) for stack in list(unseen)[:3]))
    assert columns > 100 or python.version < (3, 11)


def test_deep_stacks_keep_both_ends_and_say_how_much_is_missing(python, agent, tmp_path):
    run = support.run_agent(python.exe, PROGRAM, "rate=250,full-filenames", [0.1, "deep 5000"], cwd=tmp_path)
    assert run.returncode == 0, run.stderr
    (stack,) = [tuple(frame[:3] for frame in stack) for stack in read_seen(run)]
    assert len(stack) > 5000
    found = callers_of_spin(support.load_speedscope(run.profile))
    assert len(found) == 1, [len(seen) for seen in found]
    (seen,) = found
    print("%s: %d of %d frames" % (python.tag, len(seen), len(stack)))
    assert is_same(stack, seen), show(seen)
    assert len(seen) >= 1000
