"""The library's headers and the order of its modules, for the contract tests."""
import os
import pathlib
import re
import subprocess
from concurrent.futures import ThreadPoolExecutor

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
INCLUDE = ROOT / "include"

# A header includes its own module and earlier ones only; the first six run inside signal handlers.
MODULES = ["base", "memory", "cpython", "unwind", "capture", "recording",
           "process", "elf", "dwarf", "interpreter", "symbol", "stack", "profile", "format", "sampler"]
GROUND_FLOOR = MODULES[:6]

COMPILERS = ["g++", "clang++-14"]
WARNINGS = ["-Wall", "-Wextra", "-Wpedantic", "-Wshadow", "-Wconversion", "-Werror"]


def all_headers():
    """Paths relative to include/, as they are included: pyagent/base/address.hpp."""
    return sorted(str(path.relative_to(INCLUDE)) for path in INCLUDE.rglob("*.hpp"))


def module_of(header):
    """pyagent/base/address.hpp -> base; pyagent/pyagent.hpp -> None."""
    parts = header.split("/")
    return parts[1] if len(parts) > 2 else None


def own_includes(header):
    """The pyagent headers that `header` includes, as written."""
    return re.findall(r'^\s*#\s*include\s*["<](pyagent/[^">]*)[">]', (INCLUDE / header).read_text(encoding="utf-8"), re.MULTILINE)


def is_ground_floor(header):
    """In one of the first six modules, and not marked as allocating in its first line (as a reader of files may be)."""
    with open(INCLUDE / header, encoding="utf-8") as file:
        return module_of(header) in GROUND_FLOOR and "may allocate" not in file.readline().lower()


def compile_text(compiler, text, *options):
    """Compiles `text`; gives the compiler's complaints, empty if there are none."""
    command = [compiler, "-std=c++20", "-I", str(INCLUDE), "-x", "c++", *options, "-"]
    done = subprocess.run(command, input=text, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8")
    return done.stdout or ("" if done.returncode == 0 else "%s failed" % compiler)


def in_parallel(function, items):
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(function, items))


def read_list(path):
    """Lines of a list file without comments (#) and empty lines."""
    lines = (line.split("#")[0].strip() for line in pathlib.Path(path).read_text(encoding="utf-8").splitlines())
    return {line for line in lines if line}
