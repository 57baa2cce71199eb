"""Layouts against what the interpreters themselves say: their headers, and the table inside them since 3.13."""
import json
import pathlib
import subprocess

import pytest

import support

OFFSETS = support.ROOT / "tests" / "pythons" / "offsets"
NO_HEADERS = 77  # exit status of OFFSETS

# Other builds of the same headers, and the versions in which such a build exists. 3.7's do not compile with Py_TRACE_REFS alone.
BUILDS = {
    "as built": ([], lambda version: True),
    "debug": (["Py_DEBUG"], lambda version: True),
    "trace refs": (["Py_TRACE_REFS"], lambda version: version < (3, 13) and version != (3, 7)),
    "debug and trace refs": (["Py_DEBUG", "Py_TRACE_REFS"], lambda version: version < (3, 13)),
    "free-threaded": (["Py_GIL_DISABLED"], lambda version: version >= (3, 13)),
    "free-threaded debug": (["Py_GIL_DISABLED", "Py_DEBUG"], lambda version: version >= (3, 13)),
}

CASES = [pytest.param(python, build, id=f"{python.tag}-{build}")
         for python in support.find_pythons() for build, (_, exists) in BUILDS.items() if exists(python.version)]
WITH_TABLE = [pytest.param(python, id=python.tag) for python in support.find_pythons() if python.version >= (3, 13)]

DESCRIBE = """
import json, sys, sysconfig
print(json.dumps({"version": "%d.%d.%d" % sys.version_info[:3],
                  "files": sorted({line.split(None, 5)[5].strip() for line in open("/proc/self/maps") if line.count("/")})}))
"""


@pytest.fixture(scope="session")
def print_layout(tmp_path_factory):
    program = tmp_path_factory.mktemp("layout") / "print_layout"
    subprocess.run(["g++", "-std=c++20", f"-I{support.ROOT / 'include'}", support.ROOT / "tests" / "pythons" / "print_layout.cpp",
                    "-o", program], check=True)
    return program


def layout_lines(print_layout, *arguments):
    output = subprocess.run([print_layout, *arguments], stdout=subprocess.PIPE, text=True, check=True).stdout
    return dict(line.split() for line in output.splitlines())


@pytest.mark.parametrize("interpreter, build", CASES)
def test_a_layout_has_the_offsets_of_the_headers(interpreter, build, print_layout):
    defines, _ = BUILDS[build]
    command = [OFFSETS, interpreter.exe, "--layout", print_layout] + [f"--define={define}" for define in defines]
    result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if result.returncode == NO_HEADERS:
        pytest.skip(result.stdout.strip())
    assert result.returncode == 0, "\n".join(line for line in result.stdout.splitlines() if "!=" in line or ":" in line)
    compared = int(result.stdout.rsplit(": ", 1)[1].split()[0])
    assert compared > 45, "most fields did not compile at all"
    print(result.stdout.splitlines()[-1])


@pytest.mark.parametrize("interpreter", WITH_TABLE)
def test_a_layout_has_the_offsets_of_the_table_inside_the_interpreter(interpreter, print_layout, tmp_path):
    described = json.loads(subprocess.run([interpreter.exe, "-c", DESCRIBE], stdout=subprocess.PIPE, text=True, check=True).stdout)
    table = tmp_path / "table"
    for path in filter(pathlib.Path.is_file, map(pathlib.Path, described["files"])):
        subprocess.run(["objcopy", "-O", "binary", "--only-section=.PyRuntime", path, table], stderr=subprocess.DEVNULL)
        if table.exists() and table.read_bytes().startswith(b"xdebugpy"):
            break
    else:
        pytest.fail(f"no file mapped by {interpreter.tag} has a section .PyRuntime")

    flags = ["free_threaded"] if interpreter.is_free_threaded else []
    static = layout_lines(print_layout, described["version"], *flags)
    stated = layout_lines(print_layout, table)
    assert static.keys() == stated.keys()
    for field in ("interpreter.size", "thread.size"):  # a Layout has the least of a version's micro releases and builds
        assert int(static.pop(field)) <= int(stated.pop(field))
    assert static == stated
