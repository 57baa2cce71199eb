"""A vendor's program, built in each of the ways that pyagent can be had, and run on a Python that runs already."""
import concurrent.futures
import os
import pathlib
import shutil
import subprocess
import sys
from typing import NamedTuple

import pytest

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "integration"))
import speedscope_check
import support

STRICT = ["-std=c++20", "-O0", "-Wall", "-Wextra", "-Wpedantic", "-Wshadow", "-Wconversion", "-Werror"]


def run(*command, cwd=None, env=None):
    done = subprocess.run([str(part) for part in command], cwd=cwd, env=dict(os.environ, **(env or {})), stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8")
    assert done.returncode == 0, "%s\n%s" % (" ".join(map(str, command)), done.stdout)
    return done.stdout


# --- ways to build ---


def copy_sources(to):
    """pyagent as a vendor has it: without tests and tools, which a build that is not the top level must not need."""
    to.mkdir(parents=True)
    for name in ("CMakeLists.txt", "meson.build", "meson_options.txt"):
        shutil.copy(str(support.ROOT / name), str(to / name))
    shutil.copytree(str(support.ROOT / "include"), str(to / "include"))
    return to


def copy_headers(compiler, at, *sources):
    """Nothing but the folder and a compiler; no exceptions, no RTTI."""
    shutil.copytree(str(support.ROOT / "include"), str(at / "vendor"))
    run(compiler, *STRICT, "-fno-exceptions", "-fno-rtti", "-I", at / "vendor", *(HERE / source for source in sources),
        "-o", at / "consumer")
    return at / "consumer"


def build_with_cmake(source, at, compiler, *options):
    run("cmake", "-S", HERE / source, "-B", at / "build", "-G", "Ninja", "-DCMAKE_CXX_COMPILER=" + compiler, *options)
    run("cmake", "--build", at / "build")
    assert not list((at / "build").rglob("*.so")), "more was built than the headers"
    return at / "build" / "consumer"


def add_subdirectory(at):
    return build_with_cmake("add_subdirectory", at, "g++", "-DPYAGENT_DIRECTORY=%s" % copy_sources(at / "pyagent"))


def fetch_content(at):
    return build_with_cmake("fetch_content", at, "clang++-14", "-DPYAGENT_DIRECTORY=%s" % copy_sources(at / "pyagent"))


def install(at):
    """Installs the library alone; gives the prefix."""
    run("cmake", "-S", support.ROOT, "-B", at / "library", "-G", "Ninja", "-DPYAGENT_BUILD_AGENT=OFF", "-DPYAGENT_BUILD_TOOLS=OFF",
        "-DPYAGENT_BUILD_TESTS=OFF", "-DCMAKE_INSTALL_PREFIX=%s" % (at / "prefix"))
    run("cmake", "--install", at / "library")
    return at / "prefix"


def find_package(at):
    return build_with_cmake("find_package", at, "clang++-14", "-DCMAKE_PREFIX_PATH=%s" % install(at))


def pkg_config(at):
    prefix = install(at)
    pkgconfig = next(prefix.rglob("pyagent.pc")).parent
    flags = run("pkg-config", "--cflags", "--libs", "pyagent", env={"PKG_CONFIG_PATH": str(pkgconfig)}).split()
    assert flags == ["-I%s" % (prefix / "include"), "-ldl"]
    run("clang++-14", *STRICT, *flags, HERE / "sample.cpp", "-o", at / "consumer")
    return at / "consumer"


def meson_subproject(at):
    shutil.copytree(str(HERE / "meson"), str(at / "source"))
    shutil.copy(str(HERE / "sample.cpp"), str(at / "source" / "sample.cpp"))
    copy_sources(at / "source" / "subprojects" / "pyagent")
    run("meson", "setup", "--buildtype=plain", at / "source", at / "build", env={"CXX": "clang++-14"})
    run("ninja", "-C", at / "build")
    assert not list((at / "build").rglob("*.so")), "more was built than the headers"
    return at / "build" / "consumer"


WAYS = {
    "copied, g++": lambda at: copy_headers("g++", at, "sample.cpp"),
    "copied, clang++, two files": lambda at: copy_headers("clang++-14", at, "sample.cpp", "second.cpp"),
    "add_subdirectory": add_subdirectory,
    "FetchContent": fetch_content,
    "find_package": find_package,
    "meson": meson_subproject,
    "pkg-config": pkg_config,
}

# --- running ---

BUSY = """
import time
def work():
    while True:
        sum(range(100000))
        time.sleep(0.005)  # several of these run at once
def main():
    print("ready", flush=True)
    work()
main()
"""


class Run(NamedTuple):
    program: pathlib.Path
    status: int
    messages: str
    profile: pathlib.Path


def run_consumer(program, pid, at):
    at.mkdir(exist_ok=True)
    done = subprocess.run([str(program), str(pid)], cwd=str(at), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, encoding="utf-8", timeout=60)
    return Run(program, done.returncode, done.stdout, at / "profile.speedscope.json")


def run_on_busy_python(program, python, at):
    with support.start_program(python.exe, ("-c", BUSY)) as target:
        return run_consumer(program, target.pid, at)


@pytest.fixture(scope="module")
def runs(request, tmp_path_factory):
    """{way: future of its Run}. They are built two at a time, and run for five seconds each, together."""
    wanted = {item.callspec.params.get("way") for item in request.session.items if hasattr(item, "callspec")}
    pythons = support.find_pythons()
    builders = concurrent.futures.ThreadPoolExecutor(os.cpu_count())

    def build_and_run(way, python):
        at = tmp_path_factory.mktemp("consumer")
        program = builders.submit(WAYS[way], at).result()
        return run_on_busy_python(program, python, at / "run")

    with builders, concurrent.futures.ThreadPoolExecutor(len(WAYS)) as runners:
        yield {way: runners.submit(build_and_run, way, pythons[i % len(pythons)]) for i, way in enumerate(WAYS) if way in wanted}


def validate(path):
    """Speedscope's own schema, where its package is at hand."""
    if speedscope_check.find_package():
        speedscope_check.validate(path)


@pytest.mark.parametrize("way", WAYS)
def test_a_vendor_builds_the_ten_lines_and_gets_a_profile(way, runs):
    run = runs[way].result()
    assert (run.status, run.messages) == (0, "")
    validate(run.profile)
    threads = support.load_speedscope(run.profile)
    assert len(threads) == 1
    (samples,) = threads.values()
    assert samples and 0.05 < support.total_weight(threads) < 6
    assert {tuple(sample.names) for sample in samples} <= {("<module>", "main"), ("<module>", "main", "work")}
    assert support.shares(threads)["work"] > 0.8


@pytest.mark.parametrize("way", ["copied, g++"])
def test_the_ten_lines_say_why_there_is_no_profile(way, runs, tmp_path):
    program = runs[way].result().program
    run = run_consumer(program, os.getpid() + 10 ** 6, tmp_path)
    assert (run.status, run.messages) == (1, "there is no such process")
    with subprocess.Popen(["sleep", "60"]) as sleeper:
        try:
            support.wait_for(lambda: pathlib.Path("/proc/%d/comm" % sleeper.pid).read_text() == "sleep\n", "exec")
            run = run_consumer(program, sleeper.pid, tmp_path)
        finally:
            sleeper.kill()
    assert (run.status, run.messages) == (1, "not found") and not run.profile.exists()


@pytest.mark.parametrize("way", ["copied, g++"])
def test_the_profile_of_a_program_that_waits_is_empty_and_whole(way, runs, tmp_path):
    python = support.find_pythons()[-1]
    with support.start_program(python.exe, ("-c", "print('ready', flush=True)\ninput()\n")) as target:
        call = pathlib.Path("/proc/%d/syscall" % target.pid)
        support.wait_for(lambda: call.read_text().startswith("0 0x0 "), "read(2) of standard input")
        run = run_consumer(runs[way].result().program, target.pid, tmp_path)
    assert (run.status, run.messages) == (0, "")
    validate(run.profile)
    assert support.total_weight(support.load_speedscope(run.profile)) == 0
