"""Unwind rules of ELF files, row by row, against what `readelf --debug-dump=frames-interp` prints for them.

print_unwind_rows prints ours, and complains itself where a rule found through .eh_frame_hdr differs from the table's.
"""
import bisect
import collections
import os
import pathlib
import re
import shutil
import subprocess
import sys

import pytest

import support

PRINT_UNWIND_ROWS = support.BUILD / "tests" / "print_unwind_rows"
LIBRARIES = pathlib.Path("/usr/lib/x86_64-linux-gnu")
CROSS_COMPILER = "aarch64-linux-gnu-gcc"

# Tracked registers as readelf names them, and as its raw dump numbers them.
FRAME_POINTER = {"x86-64": "rbp", "aarch64": "x29"}
NUMBERS = {"x86-64": {"r6": "fp", "r16": "ra"}, "aarch64": {"r29": "fp", "r30": "ra"}}

Rule = collections.namedtuple("Rule", "cfa fp ra")
UNKNOWN = Rule("unknown", "u", "u")
Function = collections.namedtuple("Function", "section start end key rows")  # rows: [(address, Rule)]; key: (section, offset)


def run(*command):
    done = subprocess.run([str(part) for part in command], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    # readelf fails for a section without content, and is right about all others
    assert done.returncode == 0 or command[0] == "readelf", (command, done.stderr.decode("utf-8", "replace"))
    return done.stdout.decode("utf-8", "replace")


def machine_of(path):
    header = run("readelf", "-hW", path)
    return "aarch64" if "AArch64" in header else "x86-64"


# --- what readelf says ---


def read_functions(text, machine):
    """All FDEs of `readelf --debug-dump=frames-interp`."""
    pointer, functions, initial = FRAME_POINTER[machine], [], {}
    section = key = head = rows = columns = None

    def close():
        if head is None:
            return
        if head[0] is None:
            initial[key] = rows[0][1] if rows else Rule("", "u", "u")
        else:
            first, start, end = head
            functions.append(Function(section, start, end, key, rows or [(start, initial[(section, first)])]))

    for line in text.splitlines():
        if line.startswith("Contents of the "):
            close()
            head, section = None, line.split()[3]
        elif " FDE cie=" in line:
            close()
            found = re.match(r"([0-9a-f]+) .* FDE cie=([0-9a-f]+) pc=([0-9a-f]+)\.\.([0-9a-f]+)", line)
            key, rows = (section, int(found.group(1), 16)), []
            head = (int(found.group(2), 16), int(found.group(3), 16), int(found.group(4), 16))
        elif ' CIE "' in line:
            close()
            key, rows, head = (section, int(line.split()[0], 16)), [], (None,)
        elif line.startswith("   LOC"):
            columns = {name: place for place, name in enumerate(line.split())}
        elif head is not None and re.match("[0-9a-f]{16} ", line):
            fields = re.sub(r"r\d+ \((\w+)\)", r"\1", line).split()  # a register that another holds: r5 (rdi)
            values = [fields[columns[name]] if name in columns else "u" for name in ("CFA", pointer, "ra")]
            rows.append((int(fields[0], 16), Rule(*("u" if value == "s" else value for value in values))))
    close()
    return functions


def read_expressions(text, machine):
    """{(section, offset of the FDE or CIE): {what: set of the shapes of its expressions}} of `readelf --debug-dump=frames`."""
    numbers, found = NUMBERS[machine], collections.defaultdict(lambda: collections.defaultdict(set))
    section = key = None
    for line in text.splitlines():
        if line.startswith("Contents of the "):
            section = line.split()[3]
        elif " FDE cie=" in line or re.match(r"[0-9a-f]{8,} [0-9a-f]{16} [0-9a-f]{8,16} CIE", line):
            key = (section, int(line.split()[0], 16))
            cie = re.search("cie=([0-9a-f]+)", line)
            found[key]["cie"] = (section, int(cie.group(1), 16)) if cie else key
        elif line.startswith("  Augmentation:"):
            found[key]["augmentation"] = line.split('"')[1]
        elif line.startswith("  DW_CFA_def_cfa_expression"):
            found[key]["cfa"].add(shape_of(re.search(r"\((.*)\)$", line).group(1)))
        elif line.startswith(("  DW_CFA_expression", "  DW_CFA_val_expression")):
            number, expression = re.match(r"  DW_CFA_\w+: (r\d+) (?:\(\w+\) )?\((.*)\)$", line).groups()
            if number in numbers:
                shape = shape_of(expression)
                found[key][numbers[number]].add("*(%s)" % shape if line.startswith("  DW_CFA_e") else "v " + shape)
        elif line.startswith("  DW_CFA_undefined"):
            number = line.split()[1]
            if number in numbers:
                found[key]["undefined"].add(numbers[number])
        elif line.startswith("  DW_CFA_AARCH64_negate_ra_state"):
            found[key]["signed"].add(True)
    return found


def shape_of(expression):
    """An expression as print_unwind_rows writes those it knows; else `exp`."""
    breg = r"DW_OP_breg\d+ \((\w+)\): (-?\d+)"
    plain = re.fullmatch(breg, expression)
    deref = re.fullmatch(breg + r"; DW_OP_deref(?:; DW_OP_plus_uconst: (\d+))?", expression)
    plt = re.fullmatch(breg + r"; DW_OP_breg16 \(rip\): 0; DW_OP_lit15; DW_OP_and; DW_OP_lit(\d+); DW_OP_ge; DW_OP_lit3; DW_OP_shl; "
                       "DW_OP_plus", expression)
    if plain:
        return "%s%+d" % (plain.group(1), int(plain.group(2)))
    if deref:
        return "*(%s%+d)%+d" % (deref.group(1), int(deref.group(2)), int(deref.group(3) or 0))
    if plt:
        return "plt(%s%+d,%s)" % (plt.group(1), int(plt.group(2)), plt.group(3))
    return "exp"


def executable_ranges(path):
    """Addresses of the load segments that are executable."""
    ranges = []
    for line in run("readelf", "-lW", path).splitlines():
        fields = line.split()
        if fields[:1] == ["LOAD"] and "E" in "".join(fields[6:-1]):
            ranges.append((int(fields[2], 16), int(fields[2], 16) + int(fields[5], 16)))
    return ranges


def cover(functions, code):
    """Functions inside of code by start, cut where the next begins; those of .eh_frame first, and the first of each start."""
    low, high = min(start for start, _ in code), max(end for _, end in code)
    kept = {}
    for section in (".eh_frame", ".debug_frame"):
        known = sorted((function.start, function.end) for function in kept.values())
        starts = [start for start, _ in known]
        for function in functions:
            if function.section != section or not low <= function.start < function.end <= high:
                continue
            before = bisect.bisect_left(starts, function.end) - 1
            if function.start not in kept and not (known and before >= 0 and known[before][1] > function.start):
                kept[function.start] = function
    ordered = [kept[start] for start in sorted(kept)]
    ends = [function.start for function in ordered[1:]] + [1 << 64]
    return [function._replace(end=min(function.end, end)) for function, end in zip(ordered, ends)]


def steps_of(functions):
    """[(address, rule, key)] of everything, with gaps."""
    steps, covered = [], None
    for function in functions:
        if covered is not None and covered < function.start:
            steps.append((covered, UNKNOWN, None))
        for (address, rule), (after, _) in zip(function.rows, function.rows[1:] + [(function.end, None)]):
            if address < min(after, function.end):
                steps.append((address, rule, function.key))
        covered = function.end
    return steps + [(covered, UNKNOWN, None)]


# --- the comparison ---


def is_equal(ours, theirs, said, cie_said):
    """True when our rule is the one that readelf printed; `said` holds the expressions of its entry and its CIE."""
    def value(kind, own, other):
        if other in ("exp", "vexp"):
            shapes = said[kind] | cie_said[kind]
            return own in shapes or ("exp" in shapes and re.fullmatch(r"exp\d+", own) is not None)
        return own == other

    if theirs.cfa == "unknown" or ours.cfa == "unknown":
        return theirs.cfa == ours.cfa
    if ours.cfa == "end":  # readelf writes u for what nothing was said of, too; on aarch64 both occur
        return theirs.ra == "u" and "ra" in (said["undefined"] | cie_said["undefined"])
    if ours.cfa == "signal":
        return theirs == Rule("exp", "exp", "exp") and "S" in cie_said["augmentation"] and said["cfa"] == {"*(rsp+160)+0"} \
            and said["fp"] == {"*(rsp+120)"} and said["ra"] == {"*(rsp+168)"}
    is_lost = ours.fp == "undefined" and theirs.fp == "u" and "fp" in said["undefined"] | cie_said["undefined"]  # musl's clone
    return value("cfa", ours.cfa, theirs.cfa) and value("ra", ours.ra, theirs.ra) and (is_lost or value("fp", ours.fp, theirs.fp))


Comparison = collections.namedtuple("Comparison", "rows wrong counts shapes")


def compare(path, debug_file=None, read_from=None):
    """Every rule of `path` against readelf's; `read_from` is the file that readelf looks at."""
    printed = run(PRINT_UNWIND_ROWS, path, *([debug_file] if debug_file else [])).splitlines()
    ours = [(int(fields[0], 16), Rule(*fields[1:4])) for fields in map(str.split, printed) if fields[0] not in ("=", "!")]
    wrong = [line for line in printed if line.startswith("!")]
    counts = {name: int(number) for name, number in re.findall(r"(\w+)=(\d+)", printed[[line[:1] for line in printed].index("=")])}
    machine, options = machine_of(path), ["--wide", "--debug-dump=no-follow-links"]
    sources = [source for source in (read_from or path, debug_file) if source]
    functions = [function for source in sources
                 for function in read_functions(run("readelf", "--debug-dump=frames-interp", *options, source), machine)]
    theirs = steps_of(cover(functions, executable_ranges(path)))
    said = collections.defaultdict(lambda: collections.defaultdict(set))
    if any(rule.ra == "u" or re.search("exp|undefined", " ".join(rule)) for _, rule, *_ in theirs + ours):
        for source in sources:
            said.update(read_expressions(run("readelf", "--debug-dump=frames", *options, source), machine))

    shapes = collections.Counter(re.sub(r"\d+", "N", rule.cfa) for _, rule in ours)
    if ours[0][0] != theirs[0][0]:
        wrong.append("the first function is at %x, not %x" % (ours[0][0], theirs[0][0]))
    i = j = 0
    while i < len(ours) or j < len(theirs):
        if j == len(theirs) or (i < len(ours) and ours[i][0] <= theirs[j][0]):
            address, i, j = ours[i][0], i + 1, j + (j < len(theirs) and ours[i][0] == theirs[j][0])
        else:
            address, j = theirs[j][0], j + 1
        if i == 0 or j == 0:
            continue
        rule, (_, expected, key) = ours[i - 1][1], theirs[j - 1]
        entry = said[key]
        if not is_equal(rule, expected, entry, said[entry["cie"] or key]):
            wrong.append("%x: %s, not %s" % (address, " ".join(rule), " ".join(expected)))
    return Comparison(len(theirs), wrong, counts, shapes)


def check(path, debug_file=None, read_from=None):
    found = compare(path, debug_file, read_from)
    print("%s: %d rows, %s, %s: %d differences" % (path, found.rows, found.counts, dict(found.shapes), len(found.wrong)))
    assert not found.wrong, "%s: %d differences in %d rows:\n%s" % (path, len(found.wrong), found.rows, "\n".join(found.wrong[:20]))
    assert found.counts["damaged"] == found.counts["unknown"] == 0
    return found


# --- files of this machine ---


def library_paths():
    """A few libraries of each kind: C, C++, assembler, Rust if there is one."""
    names = ("libc.so.6", "ld-linux-x86-64.so.2", "libstdc++.so.6", "libgcc_s.so.1", "libcrypto.so.3", "libm.so.6", "libz.so.1",
             "libffi.so.8")
    return [LIBRARIES / name for name in names if (LIBRARIES / name).exists()]


def interpreter_file(python):
    """What holds the interpreter's code: libpython, or the executable."""
    code = "import sysconfig as s; print((s.get_config_var('LIBDIR') or '') + '/' + (s.get_config_var('INSTSONAME') or ''))"
    name = subprocess.run([python.exe, "-c", code], stdout=subprocess.PIPE, encoding="utf-8", check=True).stdout.strip()
    return pathlib.Path(name if name.endswith((".so", ".so.1.0")) and os.path.exists(name) else os.path.realpath(python.exe))


@pytest.mark.parametrize("path", library_paths(), ids=lambda path: path.name)
def test_rules_of_system_libraries_are_those_of_readelf(path):
    found = check(path)
    if path.name == "libc.so.6":
        assert found.shapes["signal"] == 1 and found.shapes["plt(rsp+N,N)"] == 1 and found.shapes["end"] >= 2
    if path.name == "libcrypto.so.3":  # OpenSSL's assembler
        assert found.shapes["*(rsp+N)+N"] > 20 and found.shapes["rax+N"] > 50 and found.counts["expressions"] < 10


@pytest.mark.parametrize("version", [(3, 8), (3, 13), (3, 15)], ids=lambda version: "%d.%d" % version)
def test_rules_of_interpreters_are_those_of_readelf(version):
    pythons = [python for python in support.find_pythons() if python.version == version and not python.is_debug]
    if not pythons:
        pytest.skip("there is no Python %d.%d here" % version)
    assert check(interpreter_file(pythons[0])).rows > 20000


def test_rules_of_the_vdso_are_those_of_readelf(tmp_path):
    for line in open("/proc/self/maps"):
        if line.rstrip().endswith("[vdso]"):
            start, end = (int(number, 16) for number in line.split()[0].split("-"))
            with open("/proc/self/mem", "rb") as memory:
                memory.seek(start)
                (tmp_path / "vdso.so").write_bytes(memory.read(end - start))
            assert check(tmp_path / "vdso.so").counts["functions"] >= 4
            return
    pytest.skip("this kernel gives no vdso")


@pytest.mark.long
def test_rules_of_every_elf_file_of_this_machine_are_those_of_readelf():
    files, rows, wrong = 0, 0, []
    for path in elf_files(("/usr", "/opt", os.path.expanduser("~"))):
        found = compare(path)
        files, rows = files + 1, rows + found.rows
        wrong += ["%s: %s" % (path, line) for line in found.wrong[:5]]
    print("%d files, %d rows, %d differences" % (files, rows, len(wrong)))
    assert not wrong, "\n".join(wrong[:50])
    assert files > 500


def elf_files(tops, largest=64 << 20):
    """Executables and libraries for x86-64 and aarch64 with call frame information, each once; huge ones take readelf too long."""
    seen = set()
    for top in tops:
        for directory, _, names in os.walk(top):
            for path in (os.path.join(directory, name) for name in names):
                try:
                    status = os.lstat(path)
                    if not 1000 < status.st_size < largest or (status.st_dev, status.st_ino) in seen or os.path.islink(path):
                        continue
                    with open(path, "rb") as file:
                        head = file.read(20)
                except OSError:
                    continue
                if head[:6] == b"\x7fELF\2\1" and head[16] in (2, 3) and head[18:20] in (b"\x3e\0", b"\xb7\0"):
                    seen.add((status.st_dev, status.st_ino))
                    if " FDE cie=" in run("readelf", "--debug-dump=frames", "--debug-dump=no-follow-links", path):
                        yield path


# --- files made for it ---

SOURCE = r"""
#include <alloca.h>
#include <string.h>
int (*volatile step)(void*, double);
struct Wide { double values[8]; };
int realigned(int n) { struct Wide wide __attribute__((aligned(64))); memset(&wide, n, sizeof wide); return step(&wide, n) + step(&wide, 2); }
int by_stack(int a, int b, int c, int d, int e, int f, int g, int n) {
  struct Wide wide __attribute__((aligned(64))); char* const room = alloca(n); memset(&wide, n, sizeof wide);
  return step(&wide, g) + step(room, a + b + c + d + e + f);
}
int variable(int n) { char* const room = alloca(n); memset(room, 1, n); return step(room, n); }
int nested(int n) {
  int total = 0;
  for (int i = 0; i < n; ++i) { if (step(&i, i)) return total; total += step(&total, i); }
  return total;
}
int leaf(int n) { return n * 3; }
int large(void) { char room[300000]; return step(room, sizeof room); }
void never(int n) { if (n) __builtin_trap(); step(&n, 1); __builtin_unreachable(); }
int main(int argc, char** argv) { return argc > 50 ? realigned(argc) + variable(argc) + nested(argc) + leaf(argc) + large() : 0; }
"""


def build(directory, compiler, name, *options):
    source = directory / "source.c"
    source.write_text(SOURCE)
    target = directory / name
    command = [compiler, "-o", target, source, *options]
    done = subprocess.run([str(part) for part in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8")
    assert done.returncode == 0, done.stdout
    return target


OPTIONS = [("-O0",), ("-O2",), ("-O3", "-mavx2"), ("-O2", "-fno-omit-frame-pointer"), ("-Os", "-static-pie"), ("-O2", "-no-pie")]


@pytest.mark.parametrize("options", OPTIONS, ids=" ".join)
@pytest.mark.parametrize("compiler", ["gcc", "clang-14"])
def test_rules_of_compiled_functions_are_those_of_readelf(compiler, options, tmp_path):
    found = check(build(tmp_path, compiler, "program", *options))
    assert found.rows > 20
    if compiler == "gcc" and "-O3" in options:  # the stack is realigned, and the CFA kept in the frame
        assert found.shapes["*(rbp-N)+N"] >= 1


def test_rules_of_a_file_stripped_of_its_section_headers_are_those_of_the_file(tmp_path):
    whole = build(tmp_path, "gcc", "program", "-O2")
    bare = tmp_path / "bare"
    contents = bytearray(whole.read_bytes())
    contents[0x28:0x30] = bytes(8)  # e_shoff
    contents[0x3c:0x40] = bytes(4)  # e_shnum, e_shstrndx
    bare.write_bytes(contents)
    assert check(bare, read_from=whole).rows > 20


@pytest.mark.parametrize("compression", [(), ("-gz=zlib",)], ids=["plain", "compressed"])
def test_rules_that_only_debug_frame_has_are_found_in_the_file_or_its_debug_file(compression, tmp_path):
    # -fno-asynchronous-unwind-tables leaves .eh_frame to the C library's start files
    program = build(tmp_path, "gcc", "program", "-O2", "-g", "-fno-asynchronous-unwind-tables", *compression)
    whole = check(program)
    run("objcopy", "--only-keep-debug", program, tmp_path / "program.debug")
    run("strip", "-o", tmp_path / "stripped", program)
    assert check(tmp_path / "stripped", debug_file=tmp_path / "program.debug").counts == whole.counts
    assert compare(tmp_path / "stripped").counts["functions"] < whole.counts["functions"] - 5


AARCH64_OPTIONS = [("-O0",), ("-O2",), ("-O2", "-mbranch-protection=standard"), ("-O2", "-fomit-frame-pointer"), ("-O3", "-static")]


@pytest.mark.parametrize("options", AARCH64_OPTIONS, ids=" ".join)
def test_rules_of_functions_compiled_for_aarch64_are_those_of_readelf(options, tmp_path):
    if shutil.which(CROSS_COMPILER) is None:
        pytest.skip("there is no " + CROSS_COMPILER)
    program = build(tmp_path, CROSS_COMPILER, "program", *options)
    assert check(program).rows > 20
    signed = [line for line in run(PRINT_UNWIND_ROWS, program).splitlines() if line.endswith(" signed")]
    assert (len(signed) > 5) == ("-mbranch-protection=standard" in options)


if __name__ == "__main__":  # test_unwind_rows.py FILE...
    for name in sys.argv[1:]:
        try:
            result = compare(name)
        except Exception as error:
            print("%s: %r" % (name, error))
            continue
        print("%s: %d rows, %d differences, %s, %s" % (name, result.rows, len(result.wrong), result.counts, dict(result.shapes)))
        for line in result.wrong[:8]:
            print("   ", line)
