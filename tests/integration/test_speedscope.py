"""Files that pyagent's formats write, read by others: json, the schema and the page of speedscope, py-spy's way with raw."""
import json
import os
import pathlib
import random
import re
import subprocess

import pytest

import speedscope_check
import support

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
HOSTILE_NAMES = [  # as in speedscope/write_sample.cpp
    'quote"', "back\\slash", "semi;colon", "line\nfeed\r\n", "</script><script>alert(1)</script>", "bell\x07 escape\x1b[2J",
    "caf\u00e9 \u20ac \U0001f40d", b"not utf-8 \xff\xc0\x80\xed\xa0\x80 end".decode("utf-8", "replace"),
    "line separator \u2028 paragraph \u2029", "__proto__", "", "\\u003b", "{{{", "]}],", "x" * 100_000, "zero\0byte",
]

needs_speedscope = pytest.mark.skipif("speedscope_check.why_not()", reason=str(speedscope_check.why_not()))


def nasty_names():
    """Byte strings without zero bytes, none twice: every two-byte start, every surrogate, random bytes."""
    chance = random.Random(3)
    names = {bytes([first, second, 0x80, 0x41]) for first in range(1, 256) for second in range(1, 256, 3)}
    names |= {chr(code_point).encode("utf-8", "surrogatepass") for code_point in range(0xD7F0, 0xE010)}
    names |= {chr(code_point).encode() for code_point in range(1, 0x110000, 997) if not 0xD800 <= code_point < 0xE000}
    names |= {bytes(chance.randrange(1, 256) for _ in range(chance.randrange(1, 12))) for _ in range(5000)}
    return sorted(names)


@pytest.fixture(scope="module")
def samples(tmp_path_factory):
    """The directory that write_sample has filled."""
    directory = tmp_path_factory.mktemp("speedscope")
    (directory / "names").write_bytes(b"".join(name + b"\0" for name in nasty_names()))
    program = directory / "write_sample"
    subprocess.run([os.environ.get("CXX") or "g++", "-std=c++20", "-O1", "-I", str(ROOT / "include"),
                    str(HERE / "speedscope" / "write_sample.cpp"), "-o", str(program)], check=True)
    subprocess.run([str(program), str(directory)], check=True)
    return directory


def test_hostile_names_come_back_from_json(samples):
    document = json.loads((samples / "hostile.speedscope.json").read_bytes().decode("utf-8"))
    names = [frame["name"] for frame in document["shared"]["frames"]]
    assert [name for name in HOSTILE_NAMES if name not in names] == []
    main = document["profiles"][1]
    assert main["name"] == 'Thread 7 "MainThread"'
    assert document["profiles"][0]["name"] == 'Thread 8 "deep "worker"; \ufffd"'
    assert document["activeProfileIndex"] == 1
    assert main["weights"][0] == 0.010000001
    assert len(main["samples"]) == 17  # 16 names, and the thousand samples of spin are one
    assert main["weights"][-1] == 1


def test_bytes_that_are_not_utf8_become_what_python_makes_of_them(samples):
    document = json.loads((samples / "names.speedscope.json").read_bytes().decode("utf-8"))
    found = [frame["name"] for frame in document["shared"]["frames"]]
    assert found == [name.decode("utf-8", "replace") for name in nasty_names()]


def test_raw_keeps_hostile_names_in_their_frames_and_lines(samples):
    lines = (samples / "hostile.raw").read_bytes().decode("utf-8").splitlines()  # splits at every kind of line end
    stacks = {}
    for line in lines:
        stack, count = line.rsplit(" ", 1)
        frames = [re.sub(r"\\u([0-9a-f]{4})", lambda escape: chr(int(escape.group(1), 16)), frame) for frame in stack.split(";")]
        stacks[tuple(frames)] = int(count)
    assert len(stacks) == len(lines) == 19  # 16 names, spin, the deep stack, the truncated one
    for name in HOSTILE_NAMES[:14]:
        assert stacks["<module> (app.py:12)", "%s (%s.py:3)" % (name, name)] == 1
    assert stacks["<module> (app.py:12)", "spin (app.py:4)"] == 100  # 1 s at 10 ms
    assert lines == sorted(lines, key=lambda line: line.rsplit(" ", 1)[0].encode())


@needs_speedscope
@pytest.mark.parametrize("view", ["time-ordered", "left-heavy", "sandwich"])
def test_speedscope_opens_hostile_names_and_deep_stacks(samples, view):
    opened = speedscope_check.check_speedscope(samples / "hostile.speedscope.json", samples / ("hostile-%s.png" % view), view)
    assert opened.profile == 'Thread 7 "MainThread"'
    assert "</title><script>" in opened.title  # shown, not run


@needs_speedscope
@pytest.mark.parametrize("view", ["time-ordered", "left-heavy", "sandwich"])
def test_speedscope_opens_a_profile_that_is_one_deep_stack(samples, view):
    document = json.loads((samples / "hostile.speedscope.json").read_text(encoding="utf-8"))
    document.update(profiles=document["profiles"][:1], activeProfileIndex=0, name="deep")
    (samples / "deep.speedscope.json").write_text(json.dumps(document))
    speedscope_check.check_speedscope(samples / "deep.speedscope.json", samples / ("deep-%s.png" % view), view)


@needs_speedscope
def test_speedscope_opens_an_empty_profile(samples):
    assert speedscope_check.check_speedscope(samples / "empty.speedscope.json").profile == "no samples"


@needs_speedscope
@pytest.mark.parametrize("damage", [
    lambda document: document.pop("$schema"),
    lambda document: document["profiles"][1].update(unit="parsecs"),
    lambda document: document["profiles"][1]["weights"].pop(),
    lambda document: document["shared"]["frames"].__delitem__(slice(3, None)),
    lambda document: document["shared"]["frames"][0].update(col=None),  # as py-spy writes it
    lambda document: document.update(activeProfileIndex=2),
], ids=["schema", "unit", "weights", "frames", "null", "active"])
def test_a_damaged_file_does_not_pass(samples, tmp_path, damage):
    document = json.loads((samples / "hostile.speedscope.json").read_text(encoding="utf-8"))
    damage(document)
    path = tmp_path / "damaged.speedscope.json"
    path.write_text(json.dumps(document))
    with pytest.raises(AssertionError):
        speedscope_check.validate(path)


@needs_speedscope
def test_a_file_that_the_page_refuses_does_not_pass(samples, tmp_path, monkeypatch):
    document = json.loads((samples / "hostile.speedscope.json").read_text(encoding="utf-8"))
    document["profiles"][1]["weights"].pop()
    path = tmp_path / "refused.speedscope.json"
    path.write_text(json.dumps(document))
    monkeypatch.setattr(speedscope_check, "validate", lambda path: document)
    with pytest.raises(AssertionError):
        speedscope_check.check_speedscope(path)


@needs_speedscope
def test_speedscope_opens_what_the_agent_leaves_behind(python, agent, tmp_path):
    program = pathlib.Path(__file__).parent / "programs" / "families" / "threads.py"
    run = support.run_agent(python.exe, program, "rate=1000,clock=monotonic", [0.5], cwd=tmp_path)
    assert run.returncode == 0, run.stderr
    opened = speedscope_check.check_speedscope(run.profile, tmp_path / "picture.png")
    print("%s: %s" % (python.tag, opened.profile))
    assert re.match(r'Thread \d+ ".+"$', opened.profile)
