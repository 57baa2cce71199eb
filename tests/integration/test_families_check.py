"""The checker of impossible stacks believes what the interpreter's own tracer shows, and nothing that was cut or mixed."""
import json
import subprocess
import sys

import pytest

import families_check
from families_check import Frame, Kind

TRACER = families_check.HERE + "/programs/trace_families.py"
KINDS = [kind for kind in families_check.KINDS if not kind.arguments] + [Kind("recursion30", "recursion.py", ["30"], 0)]


def trace_stacks(python, kind, program):
    """Every stack that sys.settrace shows at a call while the program runs, root first."""
    run = subprocess.run([python.exe, TRACER, program.path, "0.02"] + kind.arguments, stdout=subprocess.PIPE, timeout=120, check=True)
    return [tuple(Frame(*frame) for frame in json.loads(line)) for line in run.stdout.decode().splitlines()
            if line != "ready"]


def spoiled(stack):
    """The stack with one frame left out, for each frame but the leaf; only the leaf missing is a possible stack."""
    for at in range(len(stack) - 1):
        yield stack[:at] + stack[at + 1:]


def of_program(stack, program):
    return any(frame.file == program.path for frame in stack)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_the_checker_accepts_what_the_tracer_shows_and_rejects_it_cut(python, kind):
    program = families_check.load(kind, python.version)
    if not program.supported:
        pytest.skip("%s needs Python %d.%d" % ((kind.name,) + program.since))
    stacks = [stack for stack in trace_stacks(python, kind, program) if of_program(stack, program)]
    wrong = [(program.check(stack), stack) for stack in stacks if program.check(stack)]
    assert not wrong, "%d of %d, as: %s" % (len(wrong), len(stacks), wrong[0])

    stacks = stacks[:200]
    known, cut, accepted = set(stacks), 0, []
    for stack in stacks:
        inner = [frame for frame in stack if frame.file == program.path or frame.file.startswith(("<a_", "<b_"))]
        if len(inner) < len(stack) and kind.name in ("asyncio_tasks", "threads"):
            stack = tuple(inner)  # without the library's frames there is no legal way in, other than from main
            if all(frame.name in ("<module>", "main", "run_short") for frame in stack):
                continue
        for other in list(spoiled(stack))[:50]:
            if not of_program(other, program):
                continue  # only the library's frames are left, of which the checker knows nothing
            cut += 1
            if program.check(other) is None and other not in known:
                accepted.append(other)
    print("%s %s: %d traced, %d cut, %d of these accepted" % (python.tag, kind.name, len(stacks), cut, len(accepted)))
    assert len(accepted) <= cut * 0.01, accepted[:3]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_the_checker_rejects_the_leaf_of_one_family_under_the_other(kind):
    """With the stacks of the interpreter that runs this test."""
    version = sys.version_info[:2]
    program = families_check.load(kind, version)

    class Self:
        exe = sys.executable

    stacks = [stack for stack in trace_stacks(Self, kind, program) if of_program(stack, program)]
    by_family = {"a": [], "b": []}
    for stack in stacks:
        letters = {families_check.family(frame.name) for frame in stack} - {None}
        if len(letters) == 1 and families_check.family(stack[-1].name):
            by_family[letters.pop()].append(stack)
    assert by_family["a"] and by_family["b"]
    for a in by_family["a"][:40]:
        for b in by_family["b"][:40]:
            for mixed in (a + b[-1:], b + a[-1:]):
                assert program.check(mixed), mixed


def test_a_line_that_calls_something_else_is_rejected():
    program = families_check.load(families_check.KINDS[0], (3, 12))
    path = program.path
    lines = {name: min(program.edges[name, callee]) for name, callee in
             [("<module>", "main"), ("main", "a_run"), ("a_run", "a_one"), ("a_one", "a_two")]}
    good = [Frame("<module>", path, lines["<module>"]), Frame("main", path, lines["main"]), Frame("a_run", path, lines["a_run"]),
            Frame("a_one", path, lines["a_one"]), Frame("a_two", path, program.nodes["a_two"].first)]
    assert program.check(good) is None
    assert "does not call" in program.check([good[0], good[1]._replace(line=min(program.edges["main", "b_run"]))] + good[2:])
    assert "has no line" in program.check(good[:-1] + [good[-1]._replace(line=1)])
    assert "begins with" in program.check(good[1:])
    assert "no such frame" in program.check(good[:-1] + [good[-1]._replace(name="gone")])


def test_the_library_alone_is_possible_only_before_and_after_the_program_and_in_new_threads():
    program = families_check.load(KINDS[0], (3, 12))
    library = (Frame("_find_and_load", "<frozen importlib._bootstrap>", 1),)
    thread = (Frame("Thread._bootstrap", "/usr/lib/python3.12/threading.py", 1),)
    own = (Frame("<module>", program.path, 1),)
    assert list(program.check_order([library, own, own, library, library])) == []
    assert list(program.check_order([library, own, library, own])) == [library]
    assert list(program.check_order([own, thread, own])) == []
    assert list(program.check_order([library, library])) == []
    assert program.check(library) is None
