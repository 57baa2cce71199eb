"""Native stacks of the same moments, by pyagent's rules, by libunwind, and as they truly are."""
import subprocess

import pytest

NO_LIBUNWIND = 77
REQUIRED = 0.999

# The stack is rewritten in place while libgcc jumps to a handler; in those few instructions it has no truth.
STEPS_BEFORE_HANDLERS = 20_000

# Without rules a scan can't tell what earlier calls left on the stack from what is there: only the outer frames are sure.
GUESSED = {"bare kernel on a used stack"}


def run(build_dir, program, *arguments):
    """{name of the workload: its numbers}; what differed is printed."""
    done = subprocess.run([str(build_dir / "tests" / program), *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          encoding="utf-8", errors="replace", timeout=100)
    print(done.stdout, done.stderr)
    if done.returncode == NO_LIBUNWIND:
        pytest.skip("no libunwind.so.8, or not x86-64")
    assert done.returncode == 0
    lines = (line.split(" ", count_of_numbers(program)) for line in done.stdout.splitlines())
    return {words[-1]: [int(word) for word in words[:-1]] for words in lines}


def count_of_numbers(program):
    return 3 if program == "unwind_sampled" else 4


def share(rows, column, names):
    return sum(rows[name][column] for name in names) / sum(rows[name][0] for name in names)


def test_samples_are_unwound_as_libunwind_does(build_dir, pytestconfig):
    samples = 5_000 if pytestconfig.getoption("--long", False) else 400
    rows = run(build_dir, "unwind_sampled", samples)
    assert share(rows, 1, rows) >= REQUIRED
    assert sum(row[2] for row in rows.values()) < 0.01 * sum(row[0] for row in rows.values()), "libunwind got lost"


def test_each_instruction_is_unwound_to_the_true_callers(build_dir):
    rows = run(build_dir, "unwind_stepped", STEPS_BEFORE_HANDLERS)
    assert sum(row[0] for row in rows.values()) > 50_000
    for name in rows.keys() - GUESSED:
        assert share(rows, 1, [name]) >= REQUIRED, name
    for name in rows:
        assert share(rows, 2, [name]) >= REQUIRED, name


def test_pc_and_stack_pointer_alone_nearly_always_do(build_dir):
    rows = run(build_dir, "unwind_stepped", STEPS_BEFORE_HANDLERS)
    assert share(rows, 3, [name for name in rows if not name.startswith("bare")]) >= 0.9


def test_a_look_up_that_is_off_by_one_is_noticed(build_dir):
    # With 1 added, callers are looked up at their return address: behind a last call that is another function.
    stepped = run(build_dir, "unwind_stepped", 2000, 1)
    assert share(stepped, 1, ["last call"]) < 0.9
    assert share(stepped, 1, stepped.keys() - GUESSED) < REQUIRED
    sampled = run(build_dir, "unwind_sampled", 50, 1)
    assert share(sampled, 1, ["last call"]) < 0.9
    assert share(sampled, 1, sampled) < REQUIRED
