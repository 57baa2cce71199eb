"""A vendor's program, built in each of the ways that pyagent can be had, and run."""
import json
import pathlib
import shutil
import subprocess

import pytest

HERE = pathlib.Path(__file__).resolve().parent


def run(*command, cwd=None):
    done = subprocess.run([str(part) for part in command], cwd=cwd, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, encoding="utf-8")
    assert done.returncode == 0, "%s\n%s" % (" ".join(map(str, command)), done.stdout)
    return done.stdout


def copy_sources(root, to):
    """pyagent as a vendor has it: without tests and tools, which a build that is not the top level must not need."""
    to.mkdir(parents=True)
    for name in ("CMakeLists.txt", "meson.build", "meson_options.txt"):
        shutil.copy(str(root / name), str(to / name))
    shutil.copytree(str(root / "include"), str(to / "include"))
    return to


def check(program, tmp_path):
    run(program, tmp_path / "out.json")
    document = json.loads((tmp_path / "out.json").read_text())
    assert document["shared"]["frames"][0]["name"] == "main"
    assert document["profiles"][0]["weights"] == [0.01]


@pytest.mark.parametrize("compiler", ["g++", "clang++-14"])
def test_a_copied_include_folder_is_enough(compiler, root, tmp_path):
    shutil.copytree(str(root / "include" / "pyagent"), str(tmp_path / "vendor" / "pyagent"))
    run(compiler, "-std=c++20", "-O1", "-Wall", "-Wextra", "-Werror", "-I", tmp_path / "vendor", HERE / "main.cpp",
        "-o", tmp_path / "consumer")
    check(tmp_path / "consumer", tmp_path)


def test_add_subdirectory_builds_the_headers_alone(root, tmp_path):
    vendored = copy_sources(root, tmp_path / "pyagent")
    build = tmp_path / "build"
    run("cmake", "-S", HERE / "add_subdirectory", "-B", build, "-G", "Ninja", "-DPYAGENT_DIRECTORY=%s" % vendored)
    run("cmake", "--build", build)
    check(build / "consumer", tmp_path)
    assert not list(build.rglob("*.so"))


def test_find_package_and_pkg_config_find_what_was_installed(root, tmp_path):
    prefix = tmp_path / "prefix"
    run("cmake", "-S", root, "-B", tmp_path / "library", "-G", "Ninja", "-DPYAGENT_BUILD_AGENT=OFF", "-DPYAGENT_BUILD_TESTS=OFF",
        "-DCMAKE_INSTALL_PREFIX=%s" % prefix)
    run("cmake", "--install", tmp_path / "library")
    build = tmp_path / "build"
    run("cmake", "-S", HERE / "find_package", "-B", build, "-G", "Ninja", "-DCMAKE_PREFIX_PATH=%s" % prefix)
    run("cmake", "--build", build)
    check(build / "consumer", tmp_path)

    described = next(prefix.rglob("pyagent.pc"))
    assert run("pkg-config", "--cflags", described).split() == ["-I%s" % (prefix / "include")]


def test_a_meson_subproject_builds_the_headers_alone(root, tmp_path):
    source = tmp_path / "consumer"
    shutil.copytree(str(HERE / "meson"), str(source))
    shutil.copy(str(HERE / "main.cpp"), str(source / "main.cpp"))
    copy_sources(root, source / "subprojects" / "pyagent")
    run("meson", "setup", source, tmp_path / "build")
    run("ninja", "-C", tmp_path / "build")
    check(tmp_path / "build" / "consumer", tmp_path)
    assert not list((tmp_path / "build").rglob("*.so"))
