"""The interpreters to test on: `python` is one of them (a test that takes it runs once for each), `pythons` all."""
import pytest

import support


def pytest_generate_tests(metafunc):
    if "python" in metafunc.fixturenames:
        metafunc.parametrize("python", support.find_pythons(), ids=lambda python: python.tag)


@pytest.fixture(scope="session")
def pythons():
    """Every interpreter that pyagent supports, as a list of support.Python."""
    return support.find_pythons()
