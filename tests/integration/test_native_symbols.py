"""Names, files and lines of native code: against readelf, llvm-symbolizer and c++filt, with real debug files and Cython.

print_native_symbols.cpp asks pyagent; the answers are compared with what others say of the same addresses.
"""
import bisect
import collections
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

import pytest

import support

PRINT = support.BUILD / "tests" / "print_native_symbols"


def need(*commands):
    for command in commands:
        if not shutil.which(command):
            pytest.skip("%s is not installed" % command)


def run(*command, text=None, cwd=None):
    done = subprocess.run([str(part) for part in command], input=text, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8",
                          errors="surrogateescape", cwd=cwd)
    assert done.returncode == 0, "%s\n%s" % (command, done.stderr)
    return done.stdout


def ask(path, addresses, *options):
    """[[location, ...], ...] for the addresses, and the remarks."""
    lines = run(PRINT, *options, path, text="".join("%x\n" % address for address in addresses)).splitlines()
    answers = [json.loads(line) for line in lines]
    return answers[:-1], answers[-1]


def names_of(answers):
    return [[location["name"] for location in locations] for locations in answers]


# --- symbol tables ---


def read_symbols(path):
    """{(start, size): names} of the functions and assembler's labels in both symbol tables, as readelf prints them."""
    found = collections.defaultdict(set)
    for line in run("readelf", "-sW", path).splitlines():
        match = re.match(r" *\d+: ([0-9a-f]+) +(\w+) (FUNC|IFUNC|NOTYPE) +(\w+) +\w+ (?:\[.*?\] )? *\d+ (\S+)", line)
        if match and (match[3] != "NOTYPE" or match[4] != "LOCAL"):
            found[int(match[1], 16), int(match[2], 0)].add(re.sub("@.*", "", match[5]))
    return found


def library_of(command):
    return pathlib.Path(run("gcc", "-print-file-name=" + command).strip()).resolve()


def some_libraries():
    yield library_of("libc.so.6")
    yield library_of("libstdc++.so.6")
    for python in support.find_pythons():
        libraries = re.findall(r"=> (\S*libpython\S*)", run("ldd", python.exe)) if python.tag in ("3.8", "3.13") else ()
        yield from (pathlib.Path(library) for library in libraries)


def test_functions_are_found_by_each_address_in_them_and_gaps_are_nameless():
    need("readelf")
    for library in some_libraries():
        symbols = read_symbols(library)
        assert len(symbols) > 1000
        extents = sorted((start, start + size) for start, size in symbols if size)
        unsized = {name for (_, size), names in symbols.items() if not size for name in names}
        starts, reach = [start for start, _ in extents], []
        for _, end in extents:
            reach.append(max(end, reach[-1] if reach else 0))
        questions = sorted({address for start, end in extents for address in (start - 1, start, (start + end) // 2, end - 1, end)})
        answers = [json.loads(line) for line in
                   run(PRINT, "--symbols-only", 1, library, text="".join("%x\n" % q for q in questions)).splitlines()]
        wrong, gaps = [], 0
        for address, answer in zip(questions, answers):
            at = bisect.bisect_right(starts, address) - 1
            holding = []
            while at >= 0 and reach[at] > address:
                if extents[at][1] > address:
                    holding.append((extents[at][0], -extents[at][1]))
                at -= 1
            if holding:
                start, end = max(holding)
                expected = symbols[start, -end - start]
                if answer.get("name") not in expected or (answer["start"], answer["end"]) != (start, -end):
                    wrong.append((hex(address), answer, expected))
            else:
                gaps += 1
                if answer and answer["name"] not in unsized:
                    wrong.append((hex(address), answer, "nothing"))
        print("%s: %d functions, %d questions, %d in gaps, %d wrong" % (library.name, len(symbols), len(questions), gaps, len(wrong)))
        assert not wrong, wrong[:10]
        assert gaps > 100


def test_names_are_those_of_cxxfilt_without_parameters():
    need("readelf", "c++filt")
    library = library_of("libstdc++.so.6")
    symbols = {start: names for (start, size), names in read_symbols(library).items() if size}
    mangled = sorted({name for names in symbols.values() for name in names})
    bare = dict(zip(mangled, run("c++filt", "-i", "-p", text="\n".join(mangled)).splitlines()))
    whole = dict(zip(mangled, run("c++filt", "-i", text="\n".join(mangled)).splitlines()))
    answers, _ = ask(library, symbols)
    wrong, same = [], 0
    for (start, names), locations in zip(symbols.items(), answers):
        name = locations[-1]["name"]
        if name in {bare[symbol] for symbol in names}:
            same += 1  # -p has no short forms: std::string
        elif not any(name + "(" in whole[symbol] or name == whole[symbol] for symbol in names):
            wrong.append((hex(start), name, sorted(whole[symbol] for symbol in names)))
    print("%d functions: %d as c++filt -p, %d wrong" % (len(symbols), same, len(wrong)))
    assert not wrong, wrong[:10]
    assert same > 0.85 * len(symbols)


# --- debug files ---

LIBRARY = """
#include <vector>
#include <string>
namespace shapes {
struct Square { double side; __attribute__((noinline)) double area() const; };
static inline double twice(double x) {
  double sum = 0;
  for (volatile int i = 0; i < 2; ++i) sum += x;
  return sum;
}
double Square::area() const { return twice(side) * side; }
namespace { __attribute__((noinline)) double hidden(double x) { return twice(x) + 1; } }
template <class T> __attribute__((noinline)) T largest(const std::vector<T>& values) {
  T best = values[0];
  for (const T& value : values) best = best < value ? value : best;
  return best;
}
}
extern "C" double entry(double x) {
  shapes::Square square{x};
  return square.area() + shapes::hidden(x) + shapes::largest(std::vector<double>{x, 2 * x});
}
"""


class Library:
    """The library built with -g, and a stripped copy of it somewhere else."""

    def __init__(self, directory, *options, source=LIBRARY):
        need("g++", "objcopy", "strip", "readelf")
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "shapes.cpp").write_text(source)
        self.whole = directory / "whole" / "libshapes.so"
        self.stripped = directory / "stripped" / "libshapes.so"
        self.debug = directory / "libshapes.so.debug"
        for path in (self.whole, self.stripped):
            path.parent.mkdir()
        run("g++", "-g", "-O2", "-shared", "-fPIC", *options, directory / "shapes.cpp", "-o", self.whole)
        run("objcopy", "--only-keep-debug", self.whole, self.debug)
        run("strip", "--strip-all", "-o", self.stripped, self.whole)
        self.functions = {name: (start, size) for (start, size), names in read_symbols(self.whole).items() for name in names if size}
        self.addresses = sorted({address for name, (start, size) in self.functions.items() if "shapes" in name or name == "entry"
                                 for address in range(start, start + size)})
        self.answers, self.remarks = ask(self.whole, self.addresses)

    @property
    def build_id(self):
        match = re.search("Build ID: ([0-9a-f]+)", run("readelf", "-n", self.whole))
        return match[1] if match else None

    def link(self):
        """Adds .gnu_debuglink to the stripped copy."""
        run("objcopy", "--add-gnu-debuglink=" + str(self.debug), self.stripped)


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    return Library(tmp_path_factory.mktemp("with-id"), "-Wl,--build-id")


def test_names_and_lines_are_those_of_llvm_symbolizer(library):
    need("llvm-symbolizer", "c++filt")
    text = run("llvm-symbolizer", "--functions=linkage", "--no-demangle", "--inlines", "--obj=%s" % library.whole,
               text="".join("0x%x\n" % address for address in library.addresses))
    wrong = []
    for block, address, ours in zip(run("c++filt", "-p", text=text).strip().split("\n\n"), library.addresses, library.answers):
        lines = block.splitlines()
        theirs = [(name, re.sub(r":(\d+):\d+$", r":\1", place)) for name, place in zip(lines[::2], lines[1::2])]
        mine = [(location["name"], "%s:%d" % (location["file"], location["line"])) for location in ours]
        # Of a function without linkage name, a static one, llvm-symbolizer gives the last part.
        if len(mine) != len(theirs) or any(place != their_place or (name != their_name and not name.endswith("::" + their_name))
                                           for (name, place), (their_name, their_place) in zip(mine, theirs)):
            wrong.append((hex(address), mine, theirs))
    print("%d addresses, %d differ" % (len(library.addresses), len(wrong)))
    assert len(wrong) <= 0.02 * len(library.addresses), wrong[:5]
    names = {name for names in names_of(library.answers) for name in names}
    assert {"entry", "shapes::Square::area", "shapes::(anonymous namespace)::hidden", "shapes::largest<double>"} <= names


def test_a_stripped_module_names_functions_by_where_they_start(library):
    answers, remarks = ask(library.stripped, library.addresses)
    exported = {name for locations in answers for name in [locations[0]["name"]]}
    inner = next(start for name, (start, _) in library.functions.items() if "hidden" in name)
    assert "libshapes.so+0x%x" % inner in exported
    assert "shapes::Square::area" in exported  # in .dynsym
    assert not remarks
    assert all(len(locations) == 1 and not locations[0]["file"] for locations in answers)


@pytest.mark.parametrize("place", ["beside/.build-id/{0}/{1}.debug", "beside/{0}/{1}.debug", "beside/libshapes.so.debug",
                                   "beside/libshapes.so"])
def test_a_debug_file_is_found_by_build_id_where_the_user_says(library, tmp_path, place):
    path = tmp_path / place.format(library.build_id[:2], library.build_id[2:])
    path.parent.mkdir(parents=True)
    shutil.copy(library.debug, path)
    answers, remarks = ask(library.stripped, library.addresses, "--symbols", tmp_path / "beside")
    assert answers == library.answers and not remarks
    answers, _ = ask("/elsewhere/libshapes.so", library.addresses, "--symbols", tmp_path / "beside", "--build-id", library.build_id)
    assert answers == library.answers  # converted on another machine: the module is not there


def test_a_debug_file_of_another_build_is_not_used(library, tmp_path):
    other = Library(tmp_path / "other", "-Wl,--build-id", source=LIBRARY.replace("+ 1", "+ 2"))
    path = tmp_path / "symbols" / "libshapes.so.debug"
    path.parent.mkdir()
    shutil.copy(other.debug, path)
    answers, remarks = ask(library.stripped, library.addresses, "--symbols", path.parent)
    assert names_of(answers) == names_of(ask(library.stripped, library.addresses)[0])
    assert remarks == ["%s was not used for %s: its build-id differs" % (path, library.stripped)]
    answers, remarks = ask(library.whole, library.addresses, "--build-id", other.build_id)
    assert all(locations[0]["name"].startswith("libshapes.so+0x") for locations in answers)
    assert remarks == ["%s has changed since it was recorded (its build-id differs): it was not used" % library.whole]


@pytest.mark.parametrize("options", [["-Wl,--build-id"], ["-Wl,--build-id=none"]], ids=["build-id", "no-build-id"])
def test_a_debug_link_is_followed_if_it_fits(tmp_path, options):
    library = Library(tmp_path / "linked", *options)
    library.link()
    beside = library.stripped.parent / "libshapes.so.debug"
    hidden = library.stripped.parent / ".debug" / "libshapes.so.debug"
    hidden.parent.mkdir()
    for path in (beside, hidden):
        shutil.copy(library.debug, path)
        assert ask(library.stripped, library.addresses) == (library.answers, [])
        path.unlink()
    with open(library.debug, "rb") as file:
        beside.write_bytes(file.read() + b"x")  # the checksum is another now
    answers, remarks = ask(library.stripped, library.addresses)
    if library.build_id:
        assert answers == library.answers and not remarks
    else:
        assert answers != library.answers
        assert remarks == ["%s was not used for %s: its checksum is not the one in .gnu_debuglink" % (beside, library.stripped)]


def test_debug_files_of_eu_strip_are_read(library, tmp_path):
    need("eu-strip")
    stripped, debug = tmp_path / "libshapes.so", tmp_path / "libshapes.so.debug"
    run("eu-strip", "-f", debug, "-o", stripped, library.whole)
    assert ask(stripped, library.addresses) == (library.answers, [])


def test_compressed_debug_information_gives_the_same(library, tmp_path):
    compressed = tmp_path / "libshapes.so"
    run("objcopy", "--compress-debug-sections=zlib", library.whole, compressed)
    assert ask(compressed, library.addresses) == (library.answers, [])


def test_a_process_with_another_root_names_its_files_there(library, tmp_path):
    inside = tmp_path / "opt" / "lib" / "libshapes.so"
    inside.parent.mkdir(parents=True)
    shutil.copy(library.whole, inside)
    answers, remarks = ask("/opt/lib/libshapes.so", library.addresses, "--root", tmp_path)
    assert answers == library.answers and not remarks


ASSEMBLER = """
        .text
        .globl  without_size
        .type   without_size, @function
without_size:
        .cfi_startproc
        nop
        ret
        .cfi_endproc
        .fill   14, 1, 0x90
.Lnameless:
        .cfi_startproc
        nop
        ret
        .cfi_endproc
        .fill   14, 1, 0x90
"""


def test_assembler_without_sizes_reaches_as_far_as_its_unwind_information(tmp_path):
    need("gcc", "readelf")
    (tmp_path / "code.s").write_text(ASSEMBLER)
    run("gcc", "-shared", "-nostdlib", "-Wl,--eh-frame-hdr", tmp_path / "code.s", "-o", tmp_path / "libcode.so")
    start = next(start for (start, _), names in read_symbols(tmp_path / "libcode.so").items() if "without_size" in names)
    answers, _ = ask(tmp_path / "libcode.so", [start, start + 1, start + 2, start + 16, start + 17, start + 18])
    page, nameless = "libcode.so+0x%x" % (start // 4096 * 4096), "libcode.so+0x%x" % (start + 16)
    assert names_of(answers) == [["without_size"], ["without_size"], [page], [nameless], [nameless], [page]]


# --- Cython ---

PYX = '''# cython: language_level=3
from libc.math cimport sqrt

cdef double helper(double x):
    return sqrt(x) + 1

def make_thing(n):
    total = 0
    for i in range(n):
        total += helper(i)
    return total

def outer(n):
    def inner(k):
        return k + n
    return [inner(i) for i in range(n)]

cdef class Big_Box:
    cdef int size
    def __init__(self, n):
        self.size = n
    cdef int grow(self, int by):
        self.size += by
        return self.size
    def fill(self, n):
        while self.grow(1) < n:
            pass
        return str(self.size)
'''


def python_headers():
    for python in support.find_pythons():
        include = run(python.exe, "-c", "import sysconfig; print(sysconfig.get_paths()['include'])").strip()
        if python.version >= (3, 8) and os.path.exists(os.path.join(include, "Python.h")):
            return include
    return pytest.skip("no interpreter has its headers installed")


@pytest.mark.parametrize("language", ["c", "cpp"])
def test_cython_functions_have_the_names_and_lines_of_the_pyx_file(tmp_path, language):
    need("g++", "llvm-symbolizer", "c++filt")
    if subprocess.run([sys.executable, "-c", "import Cython"], stderr=subprocess.DEVNULL).returncode:
        pytest.skip("Cython is not installed")
    source = tmp_path / "pkg" / "my_mod.pyx"
    source.parent.mkdir()
    source.write_text(PYX)
    (source.parent / "__init__.py").touch()
    generated, module = source.with_suffix("." + language), source.with_suffix(".so")
    run(sys.executable, "-m", "cython", "-3", *(["--cplus"] if language == "cpp" else []), "pkg/my_mod.pyx", cwd=tmp_path)
    run("g++" if language == "cpp" else "gcc", "-g", "-O1", "-w", "-shared", "-fPIC", "-I" + python_headers(), generated, "-o", module)

    lines, current = {}, None
    for number, line in enumerate(generated.read_text().splitlines(), 1):
        match = re.match(r'\s*/\* "(.*)":(\d+)', line)
        if match:
            current = (match[1], int(match[2]))
        elif line.startswith("}"):
            current = None
        lines[number] = current
    addresses = sorted({address for (start, size), names in read_symbols(module).items() if re.search("__pyx_(pw|pf|f)_", " ".join(names))
                        for address in range(start, start + size, 3)})
    text = run("llvm-symbolizer", "--functions=linkage", "--no-demangle", "--inlines", "--obj=%s" % module, text="".join("0x%x\n" % a for a in addresses))
    answers, remarks = ask(module, addresses)
    assert not remarks
    seen, wrong, translated = set(), [], 0
    for block, address, ours in zip(run("c++filt", "-p", text=text).strip().split("\n\n"), addresses, answers):
        rows = block.splitlines()
        for name, place, location in zip(rows[::2], rows[1::2], ours):
            c_line = int(place.split(":")[-2])
            if not re.match("__pyx_(pw|pf|f)_", name) or c_line == 0:
                continue
            expected = lines[c_line]
            if expected and expected[0].endswith(".pyx"):
                translated += 1
                if (location["file"], location["line"]) != (str(source), expected[1]):
                    wrong.append((hex(address), name, place, location, expected))
                seen.add((location["name"], location["line"]))
    print("%d addresses, %d lines translated, %d wrong" % (len(addresses), translated, len(wrong)))
    assert len(wrong) <= 0.01 * translated and translated > 500, wrong[:5]
    names = {name for name, _ in seen}
    assert names >= {"pkg.my_mod.make_thing", "pkg.my_mod.outer", "pkg.my_mod.outer.inner", "pkg.my_mod.Big_Box.__init__",
                     "pkg.my_mod.Big_Box.fill"}
    text = PYX.splitlines()
    assert ("pkg.my_mod.make_thing", 1 + text.index("        total += helper(i)")) in seen
    assert ("pkg.my_mod.outer.inner", 1 + text.index("        return k + n")) in seen
    assert ("pkg.my_mod.Big_Box.fill", 1 + text.index("        return str(self.size)")) in seen
    # A wrapper is marked as such, also where its code is inlined into it.
    assert any(location["glue"] for locations in answers for location in locations)
    assert not any(location["glue"] and location["name"] == "pkg.my_mod.helper" for locations in answers for location in locations)
