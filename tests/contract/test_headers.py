"""What the headers promise: their order, that each stands alone, that all may be in two files, and what the ground floor needs."""
import itertools
import pathlib
import re
import subprocess

import pytest

import headers

HERE = pathlib.Path(__file__).resolve().parent


def test_every_module_is_known_and_has_a_place_in_the_order():
    unknown = {headers.module_of(header) for header in headers.all_headers()} - set(headers.MODULES) - {None}
    assert not unknown


def test_headers_include_only_their_own_module_and_earlier_ones():
    wrong = []
    for header in headers.all_headers():
        own = headers.module_of(header)
        if own is None:
            continue
        for included in headers.own_includes(header):
            other = headers.module_of(included)
            if other is None or headers.MODULES.index(other) > headers.MODULES.index(own):
                wrong.append("%s includes %s" % (header, included))
    assert "\n".join(wrong) == ""


def test_no_header_of_the_ground_floor_includes_one_that_may_allocate():
    wrong = []
    for header in filter(headers.is_ground_floor, headers.all_headers()):
        wrong += ["%s includes %s" % (header, other) for other in headers.own_includes(header) if not headers.is_ground_floor(other)]
    assert "\n".join(wrong) == ""


def test_included_headers_exist_and_begin_with_what_they_hold():
    wrong = []
    for header in headers.all_headers():
        wrong += ["%s includes %s" % (header, other) for other in headers.own_includes(header) if not (headers.INCLUDE / other).is_file()]
        lines = (headers.INCLUDE / header).read_text(encoding="utf-8").splitlines()
        if not re.match(r"// \S", lines[0]) or "#pragma once" not in lines:
            wrong.append("%s: its first line must say what it holds, and it needs #pragma once" % header)
    assert "\n".join(wrong) == ""


def test_the_umbrella_header_includes_every_header():
    reached, open_ends = set(), ["pyagent/pyagent.hpp"]
    while open_ends:
        header = open_ends.pop()
        if header not in reached:
            reached.add(header)
            open_ends += headers.own_includes(header)
    assert sorted(set(headers.all_headers()) - reached) == []


@pytest.mark.parametrize("compiler", headers.COMPILERS)
def test_each_header_compiles_alone_without_warnings(compiler):
    def complaints(header):
        return headers.compile_text(compiler, "#include <%s>\n" % header, "-fsyntax-only", *headers.WARNINGS)

    found = headers.in_parallel(complaints, headers.all_headers())
    assert "".join(found) == ""


@pytest.mark.parametrize("compiler", headers.COMPILERS)
def test_two_translation_units_that_include_everything_link(compiler, tmp_path):
    (tmp_path / "one.cpp").write_text("#include <pyagent/pyagent.hpp>\nint main() {}\n")
    (tmp_path / "two.cpp").write_text("#include <pyagent/pyagent.hpp>\n")
    done = subprocess.run([compiler, "-std=c++20", "-I", headers.INCLUDE, "one.cpp", "two.cpp", "-o", "both"], cwd=tmp_path,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8")
    assert done.returncode == 0, done.stdout
    assert subprocess.run([tmp_path / "both"]).returncode == 0


# --- the ground floor: no exceptions, no RTTI, and few symbols ---


def ground_floor_text():
    return "".join("#include <%s>\n" % header for header in headers.all_headers() if headers.is_ground_floor(header))


def symbols_needed(object_file):
    """{function of pyagent: undefined symbols it reaches}, read from the relocations of each function's own section."""
    table = subprocess.run(["readelf", "-sW", object_file], stdout=subprocess.PIPE, encoding="utf-8", check=True).stdout
    undefined, section_of = set(), {}
    for line in table.splitlines():
        fields = line.split()
        if len(fields) >= 8 and fields[0].rstrip(":").isdigit():
            if fields[6] == "UND":
                undefined.add(fields[7])
            elif fields[3] in ("FUNC", "OBJECT"):
                section_of[fields[7]] = int(fields[6])
    relocations = subprocess.run(["readelf", "-rSW", object_file], stdout=subprocess.PIPE, encoding="utf-8", check=True).stdout
    number_of = {name: int(number) for number, name in re.findall(r"^\s*\[\s*(\d+)\] (\S+)", relocations, re.MULTILINE)}
    uses, current = {}, None
    for line in relocations.splitlines():
        start = re.match(r"Relocation section '\.rela(.*)' at", line)
        if start:
            current = number_of.get(start.group(1))
        fields = line.split()
        if len(fields) >= 5 and re.fullmatch("[0-9a-f]{16}", fields[0]):
            uses.setdefault(current, set()).add(fields[4])

    def reach(symbol):
        seen, open_ends = set(), [section_of.get(symbol)]
        needed = set()
        while open_ends:
            section = open_ends.pop()
            if section is None or section in seen:
                continue
            seen.add(section)
            for used in uses.get(section, ()):
                if used in undefined:
                    needed.add(used)
                else:
                    open_ends.append(section_of.get(used, number_of.get(used)))
        return needed

    return {symbol: reach(symbol) for symbol in section_of if re.match(r"_ZNK?7pyagent", symbol)}


def test_the_ground_floor_needs_no_exceptions_no_rtti_and_only_listed_symbols(tmp_path):
    # Inline functions are kept although nobody calls them, each in its own section; ground_floor.cpp adds the templates.
    text = ground_floor_text() + (HERE / "ground_floor.cpp").read_text(encoding="utf-8")
    options = ["-O1", "-c", "-fno-exceptions", "-fno-rtti", "-fno-stack-protector", "-fkeep-inline-functions", "-ffunction-sections",
               "-fdata-sections", "-fno-asynchronous-unwind-tables", *headers.WARNINGS]
    complaints = headers.compile_text("g++", text, *options, "-o", str(tmp_path / "ground.o"))
    assert complaints == ""
    needed = symbols_needed(tmp_path / "ground.o")
    assert len(needed) > 20, "the object holds none of our functions: %s" % sorted(needed)
    allowed = headers.read_list(HERE / "ground_floor_symbols.txt")
    wrong = ["%s needs %s" % (function, symbol) for function, symbols in sorted(needed.items()) for symbol in sorted(symbols - allowed)]
    assert "\n".join(wrong) == ""


def test_clang_compiles_the_ground_floor_without_exceptions_and_rtti():
    text = ground_floor_text() + (HERE / "ground_floor.cpp").read_text(encoding="utf-8")
    assert headers.compile_text("clang++-14", text, "-fsyntax-only", "-fno-exceptions", "-fno-rtti", *headers.WARNINGS) == ""


# --- the tree ---


def project_files():
    for top in ("include", "agent", "tools", "tests"):
        for path in (headers.ROOT / top).rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                yield path


def test_nothing_is_left_for_later():
    marks = re.compile(rb"\b(?:%s)\b" % b"|".join((b"TO" b"DO", b"FIX" b"ME", b"XX" b"X")))
    texts = [path for path in project_files() if b"\0" not in path.read_bytes()]
    assert [str(path) for path in texts if marks.search(path.read_bytes())] == []


def test_the_top_level_holds_only_what_the_design_names():
    allowed = {"include", "agent", "tools", "tests", "CMakeLists.txt", "meson.build", "meson_options.txt", "README.md", "LICENSE",
               "CHANGELOG.md"}
    found = {path.name for path in headers.ROOT.iterdir() if not path.name.startswith((".", "build"))}
    assert found - allowed == set()


def test_headers_agent_and_tools_are_short_files():
    sources = itertools.chain(*((headers.ROOT / top).rglob("*.[ch]pp") for top in ("include", "agent", "tools")))
    long = {str(path): count for path in sources for count in [len(path.read_bytes().splitlines())] if count > 500}
    assert long == {}
