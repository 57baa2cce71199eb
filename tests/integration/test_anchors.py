"""Anchors: variables of the evaluations on the C stack, which join Python's frames to native ones."""
import json
import subprocess

import support

LIBRARY = support.BUILD / "tests" / "libanchors.so"
PROGRAM = support.ROOT / "tests/integration/programs/anchors.py"


def test_each_entry_frame_has_an_anchor_on_the_c_stack(python):
    done = subprocess.run([python.exe, str(PROGRAM), str(LIBRARY)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, encoding="utf-8", timeout=60)
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)
    assert len(rows) >= 40 and all(read for place, read in rows)
    for place, read in rows:
        assert read["outcome"] == 0, (place, read)
        anchors = read["anchors"]
        assert len(anchors) == (read["entries"] if python.version >= (3, 10) else 0), (place, read)
        # Callers lie above what they called, and each evaluation's frame is some hundred bytes at least.
        assert all(outer - inner > 64 for inner, outer in zip(anchors, anchors[1:])), (place, read)
        assert all(read["stack"][0] < anchor < read["stack"][1] for anchor in anchors), (place, read)
    entries = {place: read["entries"] for place, read in rows if place.startswith("recursion")}
    assert entries["recursion through C"] >= 50
    if python.version >= (3, 11):
        assert entries["recursion"] < 10  # evaluated by one loop
