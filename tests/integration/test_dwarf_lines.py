"""Functions, files and lines of addresses, with what was inlined, against llvm-symbolizer, eu-addr2line and addr2line.

The three disagree with each other here and there, so that an answer is right when two of them give it, and wrong when two give
another. Where no two agree nothing is decided; such addresses are counted apart.
"""
import functools
import os
import pathlib
import re
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import pytest

import support

PRINT_LOCATIONS = support.BUILD / "tests" / "print_locations"
SOURCES = support.ROOT / "tests/integration/native/locations"


TOOLS = ("llvm-symbolizer-14", "eu-addr2line", "addr2line", "c++filt", "readelf", "objcopy")
pytestmark = pytest.mark.skipif(not all(map(shutil.which, TOOLS)), reason="needs " + ", ".join(TOOLS))


class Level(NamedTuple):
    function: str
    file: str
    line: int


# --- who says what is where ---


def run(command, addresses=None, cwd=None):
    text = None if addresses is None else "".join("0x%x\n" % address for address in addresses)
    done = subprocess.run([str(part) for part in command], input=text, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=cwd, encoding="utf-8",
                          check=False)
    assert addresses or done.returncode == 0, (command, done.stderr[-2000:])  # eu-addr2line ends with 1 where it does not know one
    return done.stdout


@functools.lru_cache(maxsize=None)
def demangle(name):
    return cxxfilt(name) if name.startswith("_Z") else name


def cxxfilt(name):
    """One process for all."""
    if not hasattr(cxxfilt, "process"):
        cxxfilt.process = subprocess.Popen(["c++filt"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8")
    cxxfilt.process.stdin.write(name + "\n")
    cxxfilt.process.stdin.flush()
    return cxxfilt.process.stdout.readline().rstrip("\n")


@functools.lru_cache(maxsize=None)
def plain_name(name):
    """namespace::Class::function without template arguments, parameters and lambdas' descriptions: compilers and demanglers
    spell those in their own ways."""
    name = demangle(name).replace("(anonymous namespace)", "anonymous").replace("[abi:cxx11]", "")
    name = re.sub(r"operator\s*(<<|>>|<=>|<=|>=|<|>|->\*|->|\(\))", lambda match: "operator%d" % sum(map(ord, match.group(1))), name)
    kept, depth = "", 0
    for character in name:
        depth -= character in ">)}]" and depth > 0
        if not depth and character not in "<({[>)}]":
            kept += character
        depth += character in "<({["
    kept = kept.split("operator")[0].split(" ")[-1] + "operator" + kept.split("operator", 1)[1] if "operator" in kept else \
        re.sub(" const$", "", kept).split(" ")[-1]
    return re.sub("(::)+", "::", kept.replace(" const", "")).strip(":")


def clean(function, file, line):
    """What is not known is empty; parts of functions have their function's name, and all kinds of a constructor one."""
    function = "" if function == "??" else re.sub(r"(\.(cold|part|constprop|isra|lto_priv|llvm)(\.\d+)?)+$", "", function)
    function = re.sub(r"([CD])[0-5](E|I)", r"\g<1>1\2", function) if function.startswith("_Z") else function
    file = "" if file in ("??", ":") else os.path.normpath(file) if file else ""
    return Level(function, file, int(line) if line.isdigit() else 0)


def located(text):
    """file:line, file:line:column, file:line (discriminator 3)"""
    match = re.match(r"(.*?):(\d+|\?)(?::\d+)?(?: \(.*\))?$", text)
    assert match, text
    return match.group(1), match.group(2)


def ask_pyagent(binary, addresses):
    answers = []
    for block in run([PRINT_LOCATIONS, binary], addresses).split("\n\n")[:-1]:
        rows = (line.split("\t") for line in block.split("\n")[1:])
        answers.append([clean(function, file, line) for function, file, line, _ in rows])
    assert len(answers) == len(addresses)
    return answers


def ask_llvm(binary, addresses):
    out = run(["llvm-symbolizer-14", "--obj=%s" % binary, "--functions=linkage", "--inlines", "--no-demangle"], addresses)
    answers = []
    for block in out.split("\n\n")[:-1]:
        lines = block.split("\n")
        answers.append([clean(lines[i], *located(lines[i + 1])) for i in range(0, len(lines), 2)])
    return answers


def ask_addr2line(command, binary, addresses):
    """Both programs print the address, then two lines for each level."""
    answers = []
    lines = run([*command, "-a", "-f", "-i", "-e", binary], addresses).split("\n")[:-1]
    i = 0
    while i < len(lines):
        assert lines[i].startswith("0x"), lines[i - 3:i + 1]
        i += 1
        levels = []
        while i < len(lines) and not re.match("0x[0-9a-f]+$", lines[i]):
            levels.append(clean(lines[i].split(" inlined at ")[0], *located(lines[i + 1])))
            i += 2
        answers.append(levels)
    return answers


ORACLES = {"llvm-symbolizer-14": ask_llvm,
           "eu-addr2line": lambda binary, addresses: ask_addr2line(["eu-addr2line", "-A"], binary, addresses),
           "addr2line": lambda binary, addresses: ask_addr2line(["addr2line"], binary, addresses)}


def is_same_name(ours, theirs):
    """Equal; or, when one has not been mangled, as far as both tell what it is declared in."""
    if ours == theirs or not ours:
        return True
    if ours.startswith("_Z") and theirs.startswith("_Z"):
        return False
    ours, theirs = plain_name(ours), plain_name(theirs)
    return ours == theirs or ours.endswith("::" + theirs) or theirs.endswith("::" + ours)


def is_same(ours, theirs):
    """An oracle may take names from the symbol table where debug information has none."""
    if len(ours) != len(theirs):
        return not ours and len(theirs) == 1 and not theirs[0].line
    return all(a.file == b.file and a.line == b.line and is_same_name(a.function, b.function) for a, b in zip(ours, theirs))


class Verdict(NamedTuple):
    right: int
    wrong: list
    undecided: list  # no two oracles agree; the last of each says whether one agrees with us

    def __str__(self):
        return "%d right, %d wrong (%.2f %% right), %d undecided, of which %d as one of the oracles says" % (
            self.right, len(self.wrong), 100 * self.share, len(self.undecided), sum(row[-1] for row in self.undecided))

    @property
    def share(self):
        return self.right / max(1, self.right + len(self.wrong))

    @property
    def supported(self):
        """The share of all addresses for which at least one oracle says the same."""
        supported = self.right + sum(row[-1] for row in self.undecided)
        return supported / max(1, self.right + len(self.wrong) + len(self.undecided))


def judge(binary, addresses):
    with ThreadPoolExecutor(4) as pool:
        ours = pool.submit(ask_pyagent, binary, addresses)
        others = {name: pool.submit(ask, binary, addresses) for name, ask in ORACLES.items()}
        ours, others = ours.result(), {name: answer.result() for name, answer in others.items()}
    assert all(len(answers) == len(addresses) for answers in others.values()), {name: len(answers) for name, answers in others.items()}
    right, wrong, undecided = 0, [], []
    for i, address in enumerate(addresses):
        theirs = [answers[i] for answers in others.values()]
        agreeing = [is_same(ours[i], answer) for answer in theirs]
        row = (hex(address), ours[i], dict(zip(others, theirs)))
        if sum(agreeing) >= 2:
            right += 1
        elif any(not agreeing[a] and not agreeing[b] and is_same(theirs[a], theirs[b]) for a, b in ((0, 1), (0, 2), (1, 2))):
            wrong.append(row)
        else:
            undecided.append(row + (any(agreeing),))
    return Verdict(right, wrong, undecided)


def find_text(binary):
    """Address and size of .text, and what it holds if the file has it."""
    match = re.search(r"\] \.text +(\S+) +(\S+) (\S+) (\S+)", run(["readelf", "-SW", binary]))
    kind, address, offset, size = match.group(1), *(int(match.group(i), 16) for i in (2, 3, 4))
    return address, size, binary.read_bytes()[offset:offset + size] if kind == "PROGBITS" else None


def text_addresses(binary, step):
    address, size, _ = find_text(binary)
    return range(address, address + size, step)


# --- programs of which this is asked ---


class Build(NamedTuple):
    c: str
    cxx: str
    options: tuple
    is_long: bool = False


def gcc(*options, **more):
    return Build("gcc", "g++", ("-O2", "-std=c++17", *options), **more)


def clang(*options, **more):
    return Build("clang-14", "clang++-14", ("-O2", "-std=c++17", *options), **more)


BUILDS = {"gcc-dwarf-5": gcc("-gdwarf-5"),
          "gcc-dwarf-4": gcc("-gdwarf-4"),
          "gcc-dwarf-3": gcc("-gdwarf-3", "-gstrict-dwarf", is_long=True),
          "gcc-dwarf-2": gcc("-gdwarf-2", "-gstrict-dwarf"),
          "gcc-dwarf64": gcc("-gdwarf-5", "-gdwarf64", is_long=True),
          "gcc-O0": gcc("-g", "-O0", is_long=True),
          "gcc-lto": gcc("-g", "-flto"),
          "gcc-type-units": gcc("-g", "-fdebug-types-section", is_long=True),
          "gcc-dropped-sections": gcc("-g", "-ffunction-sections", "-Wl,--gc-sections"),
          "clang-dwarf-5": clang("-gdwarf-5"),
          "clang-dwarf-4": clang("-gdwarf-4"),
          "clang-lines-only": clang("-gline-tables-only"),
          "clang-lto": clang("-g", "-flto")}


def build(directory, name, recipe, extra=()):
    """The program, linked; skips where the compiler or what it needs is missing."""
    if not shutil.which(recipe.cxx):
        pytest.skip("%s is not installed" % recipe.cxx)
    where = directory / name
    if where.is_dir():
        return where / "program"
    where.mkdir()
    for source, compiler in (("plain.c", recipe.c), ("main.cc", recipe.cxx), ("shapes.cc", recipe.cxx)):
        options = [option for option in recipe.options if compiler == recipe.cxx or not option.startswith("-std")]
        run([compiler, *options, *extra, "-Wno-unused-command-line-argument", "-c", SOURCES / source, "-o", where / (source + ".o")], cwd=where)
    linked = subprocess.run([recipe.cxx, *recipe.options, *extra, "plain.c.o", "main.cc.o", "shapes.cc.o", "-o", "program"], cwd=where,
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8", check=False)
    if "-flto" in recipe.options and linked.returncode != 0:
        pytest.skip("%s can't link with -flto: %s" % (recipe.cxx, linked.stdout[-200:]))
    assert linked.returncode == 0, linked.stdout
    return where / "program"


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    return tmp_path_factory.mktemp("locations")


def check(name, verdict):
    print("%s: %s" % (name, verdict))
    assert verdict.share >= 0.99 and verdict.supported >= 0.95, "%s: %s\n%s" % (
        name, verdict, "\n".join(str(row) for row in verdict.wrong[:5] + verdict.undecided[:5]))
    assert verdict.right >= 200


@pytest.mark.parametrize("name", [pytest.param(name, marks=[pytest.mark.long] if BUILDS[name].is_long else []) for name in BUILDS])
def test_addresses_are_where_two_of_three_oracles_say(name, directory):
    program = build(directory, name, BUILDS[name])
    check(name, judge(program, text_addresses(program, 11)))


@pytest.mark.parametrize("compiler, version", [("gcc", 4), ("gcc", 5), ("clang", 4), ("clang", 5)])
def test_split_debug_information_says_what_it_says_in_one_file(compiler, version, directory):
    """The oracles of 2022 read split files by halves, or not at all; but the code is the same as without."""
    name = "%s-dwarf-%d" % (compiler, version)
    whole = build(directory, name, BUILDS[name])
    split = build(directory, "split-" + name, BUILDS[name], ["-gsplit-dwarf"])
    assert find_text(whole)[2] == find_text(split)[2]
    addresses = text_addresses(whole, 7)
    shift = find_text(split)[0] - find_text(whole)[0]
    wanted = ask_pyagent(whole, addresses)
    assert ask_pyagent(split, [address + shift for address in addresses]) == wanted
    # Without the files that have the functions the lines are left, and so they are with the files of others.
    expected = [[levels[0]._replace(function="")] if levels else [] for levels in wanted]
    files = sorted(split.parent.glob("*.dwo"))
    assert len(files) == 3
    contents = [file.read_bytes() for file in files]
    for file, other in zip(files, contents[1:] + contents[:1]):
        file.write_bytes(other)
    assert ask_pyagent(split, [address + shift for address in addresses]) == expected
    for file in files:
        file.unlink()
    assert ask_pyagent(split, [address + shift for address in addresses]) == expected


@pytest.fixture(scope="module")
def plain(directory):
    return build(directory, "gcc-dwarf-5", BUILDS["gcc-dwarf-5"])


@pytest.mark.parametrize("how", ["--compress-debug-sections=zlib", "--compress-debug-sections=zlib-gnu", "--compress-debug-sections=zstd",
                                 "--only-keep-debug"])
def test_what_objcopy_makes_of_debug_information_says_the_same(how, plain):
    changed = plain.parent / how.strip("-")
    done = subprocess.run(["objcopy", how, plain, changed], stderr=subprocess.PIPE, encoding="utf-8", check=False)
    if done.returncode != 0:
        pytest.skip("objcopy can't %s: %s" % (how, done.stderr.strip()))
    if "compress" in how:
        assert changed.stat().st_size < 0.8 * plain.stat().st_size
    addresses = text_addresses(plain, 7)
    assert ask_pyagent(changed, addresses) == ask_pyagent(plain, addresses)


def test_what_dwz_makes_of_debug_information_says_the_same(plain):
    if not shutil.which("dwz"):
        pytest.skip("dwz is not installed")
    changed = plain.parent / "dwz"
    run(["dwz", "-o", changed, plain])
    assert "DW_TAG_imported_unit" in run(["readelf", "-wi", changed])
    addresses = text_addresses(plain, 7)
    assert ask_pyagent(changed, addresses) == ask_pyagent(plain, addresses)


# --- large files ---


def find_libpython(tag):
    """With debug information; else the test is skipped."""
    for python in support.list_pythons():
        if python.tag == tag:
            for library in (pathlib.Path(python.exe).resolve().parent.parent / "lib").glob("libpython%s.so.1.0" % tag):
                if ".debug_info" in run(["readelf", "-SW", library]):
                    return library
    return pytest.skip("Python %s has no library with debug information" % tag)


@pytest.mark.parametrize("tag, step", [("3.11", 3001), pytest.param("3.13", 509, marks=pytest.mark.long),
                                       pytest.param("3.8", 509, marks=pytest.mark.long)])
def test_addresses_of_libpython_are_where_two_of_three_oracles_say(tag, step):
    library = find_libpython(tag)
    check(library.name, judge(library, text_addresses(library, step)))
