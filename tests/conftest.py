"""What all pytest suites share: the build directory, the agent, the command, and --long."""
import os
import pathlib
import signal

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent


# Whoever runs the tests in the background may ignore these, and what the tests start would inherit that.
for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):
    if signal.getsignal(number) == signal.SIG_IGN:
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)


def pytest_addoption(parser):
    parser.addoption("--long", action="store_true", help="also run the tests that take minutes")


def pytest_collection_modifyitems(config, items):
    if config.getoption("--long"):
        return
    for item in items:
        if item.get_closest_marker("long"):
            item.add_marker(pytest.mark.skip(reason="takes minutes; run with --long"))


@pytest.fixture(scope="session")
def root():
    """The project's directory."""
    return ROOT


@pytest.fixture(scope="session")
def build_dir():
    """Where CMake built: PYAGENT_BUILD, else build/."""
    path = pathlib.Path(os.environ.get("PYAGENT_BUILD") or ROOT / "build").resolve()
    assert path.is_dir(), "%s is not there: build first (tests/run does)" % path
    return path


@pytest.fixture(scope="session")
def agent(build_dir):
    """The path of libpyagent.so."""
    path = build_dir / "agent" / "libpyagent.so"
    assert path.is_file(), "%s is not there: build first (tests/run does)" % path
    return path


@pytest.fixture(scope="session")
def tool(build_dir):
    """The path of the command, pyagent."""
    path = build_dir / "tools" / "pyagent"
    assert path.is_file(), "%s is not there: build first (tests/run does)" % path
    return path
