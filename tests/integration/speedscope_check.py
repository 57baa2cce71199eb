"""Asks speedscope itself about a file: the schema of its npm package, and its page in headless Chromium.

    from speedscope_check import check_speedscope, why_not
    check_speedscope("prof.speedscope.json")      # AssertionError, saying what was wrong

As a program: speedscope_check.py FILE... checks files and says where the pictures are.
"""
import base64
import html
import json
import os
import pathlib
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import zlib
from typing import NamedTuple

VERSION = "1.25.0"
CHROMIUM_FLAGS = [
    "--headless",
    "--no-sandbox",  # the tests run as root in containers
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-angle=swiftshader",  # speedscope draws with WebGL, and there is no GPU
    "--enable-unsafe-swiftshader",
    "--enable-logging=stderr",  # what the page says on its console
    "--hide-scrollbars",
    "--window-size=800,450",
    "--virtual-time-budget=10000",
]
TOOLBAR = 20  # pixels


class Opened(NamedTuple):
    title: str  # of the page: the file's name for itself
    profile: str  # the profile shown first
    picture: pathlib.Path
    console: list  # what the page said


def find_chromium():
    """The path of Chromium, or None."""
    return shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def find_package():
    """The directory of the npm package: PYAGENT_SPEEDSCOPE, else installed into PYAGENT_TEST_CACHE. None without npm."""
    given = os.environ.get("PYAGENT_SPEEDSCOPE")
    if given:
        return pathlib.Path(given)
    prefix = pathlib.Path(os.environ.get("PYAGENT_TEST_CACHE") or "~/.cache/pyagent-tests").expanduser() / "speedscope"
    package = prefix / "node_modules" / "speedscope"
    if not (package / "package.json").is_file():
        if not shutil.which("npm"):
            return None
        prefix.mkdir(parents=True, exist_ok=True)
        subprocess.run(["npm", "install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", str(prefix),
                        "speedscope@" + VERSION], stdin=subprocess.DEVNULL, check=False)
    return package if (package / "package.json").is_file() else None


def why_not():
    """Why files cannot be checked here, or None if they can."""
    try:
        import jsonschema  # noqa: F401
    except ImportError:
        return "the PyPI package jsonschema is missing"
    if not find_chromium():
        return "chromium is missing"
    if not find_package():
        return "the npm package speedscope could not be installed"
    return None


def validate(path):
    """The file as Python objects, after the package's schema and a few things that it cannot say."""
    import jsonschema

    def no_constant(name):
        raise AssertionError("%s: %s is not JSON" % (path, name))

    schema = json.loads((find_package() / "dist/release/file-format-schema.json").read_text(encoding="utf-8"))
    document = json.loads(pathlib.Path(path).read_bytes().decode("utf-8"), parse_constant=no_constant)
    errors = sorted(jsonschema.Draft7Validator(schema).iter_errors(document), key=lambda error: list(error.path))
    assert not errors, "%s: %s" % (path, "; ".join("%s at %s" % (error.message[:200], list(error.path)) for error in errors[:3]))
    assert document["profiles"], "%s: no profiles" % path
    assert 0 <= document["activeProfileIndex"] < len(document["profiles"])
    frames = len(document["shared"]["frames"])
    for profile in document["profiles"]:
        assert len(profile["samples"]) == len(profile["weights"]), profile["name"]
        assert all(0 <= frame < frames for sample in profile["samples"] for frame in sample), profile["name"]
        assert all(weight >= 0 for weight in profile["weights"]), profile["name"]
        # Numbers of the file are exact; a float sum is within its own rounding.
        assert abs(profile["endValue"] - profile["startValue"] - sum(profile["weights"])) < 1e-6, profile["name"]
    return document


def open_in_chromium(path, picture, view="time-ordered"):
    """Opens the file in the package's page, as `speedscope FILE` does, and takes a picture of it."""
    with tempfile.TemporaryDirectory(prefix="pyagent-speedscope-") as scratch:
        script = pathlib.Path(scratch) / "load.js"
        data = base64.b64encode(pathlib.Path(path).read_bytes()).decode("ascii")
        script.write_text("speedscope.loadFileFromBase64(%s, '%s')\n" % (json.dumps(pathlib.Path(path).name), data))
        page = (find_package() / "dist/release/index.html").resolve().as_uri()
        command = [find_chromium(), *CHROMIUM_FLAGS, "--user-data-dir=" + str(pathlib.Path(scratch) / "profile"),
                   "--screenshot=" + str(pathlib.Path(picture).resolve()), "--dump-dom",
                   "%s#localProfilePath=%s&view=%s" % (page, script, view)]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              encoding="utf-8", errors="replace", timeout=120, check=False)
    console = re.findall(r':CONSOLE[^]]*\] (.*)', done.stderr)
    assert done.returncode == 0, "chromium ended with %d:\n%s" % (done.returncode, done.stderr)
    title = re.search(r"<title>(.*?)</title>", done.stdout, re.DOTALL)
    # The toolbar holds the profile's name, in a span if there are several.
    shown = re.search(r"Sandwich</div></div>(?:<div[^>]*><span>(.*?) <span|([^<]*))", done.stdout, re.DOTALL)
    return Opened(
        title=html.unescape(title.group(1)) if title else "",
        profile=html.unescape(shown.group(1) or shown.group(2)) if shown else "",
        picture=pathlib.Path(picture),
        console=console,
    )


def share_of_colour(picture):
    """Share of the picture's pixels, below the toolbar, that are neither white, black nor grey."""
    data = pathlib.Path(picture).read_bytes()
    assert data.startswith(b"\x89PNG\r\n\x1a\n"), "%s is no PNG" % picture
    width, height, depth, kind = struct.unpack(">IIBB", data[16:26])
    assert depth == 8 and kind in (2, 6), "%s: depth %d, colour type %d" % (picture, depth, kind)
    channels = 3 if kind == 2 else 4
    packed, at = b"", 8
    while at < len(data):
        (length,) = struct.unpack(">I", data[at:at + 4])
        if data[at + 4:at + 8] == b"IDAT":
            packed += data[at + 8:at + 8 + length]
        at += length + 12
    rows, stride, above, coloured = zlib.decompress(packed), width * channels, bytearray(width * channels), 0
    for y in range(height):
        start = y * (stride + 1)
        rule, row = rows[start], bytearray(rows[start + 1:start + 1 + stride])
        for x in range(stride):  # PNG specification, 9.2: the filter types
            left = row[x - channels] if x >= channels else 0
            corner = above[x - channels] if x >= channels else 0
            if rule == 1:
                guess = left
            elif rule == 2:
                guess = above[x]
            elif rule == 3:
                guess = (left + above[x]) // 2
            elif rule == 4:
                estimate = left + above[x] - corner
                guess = min((left, above[x], corner), key=lambda value: abs(estimate - value))
            else:
                break
            row[x] = (row[x] + guess) & 0xFF
        above = row
        if y >= TOOLBAR:
            for x in range(0, stride, channels):
                coloured += max(row[x:x + 3]) - min(row[x:x + 3]) > 16
    return coloured / (width * (height - TOOLBAR))


def check_speedscope(path, picture=None, view="time-ordered"):
    """Raises AssertionError unless speedscope takes the file and shows what is in it.

    picture  where the screenshot goes; FILE.png beside the file if not given
    view     time-ordered, left-heavy or sandwich
    Returns an Opened.
    """
    document = validate(path)
    active = document["profiles"][document["activeProfileIndex"]]
    opened = open_in_chromium(path, picture or str(path) + ".png", view)
    console = "\n".join(opened.console)
    assert "Importing as speedscope json file" in console, "the page did not load %s:\n%s" % (path, console)
    assert not re.search(r"Error|Failed|Unrecognized|Uncaught", console), "the page complained about %s:\n%s" % (path, console)
    expected = document["name"] + " - speedscope"
    assert opened.title == expected, "the page's title is %r, not %r\n%s" % (opened.title, expected, console)
    assert opened.profile == active["name"], "the page shows %r, not %r" % (opened.profile, active["name"])
    if sum(active["weights"]) > 0 and view != "sandwich":
        share = share_of_colour(opened.picture)
        assert share > 0.01, "%s shows no flame graph (%.3f %% of it is coloured)" % (opened.picture, 100 * share)
    return opened


if __name__ == "__main__":
    reason = why_not()
    if reason:
        sys.exit("speedscope_check: " + reason)
    for name in sys.argv[1:]:
        result = check_speedscope(name)
        print("%s: %s, %s: %s" % (name, result.title, result.profile, result.picture))
