"""The handler as the program's stack sees it."""
import pathlib

import support

PROGRAM = pathlib.Path(__file__).parent / "programs" / "families" / "callbacks.py"


def test_the_handler_uses_less_than_a_kibibyte_of_the_programs_stack(python, agent, build_dir, tmp_path):
    report = tmp_path / "paint"
    done = support.run_agent(python.exe, PROGRAM, "rate=2000,clock=monotonic", [0.5], cwd=tmp_path,
                             env={"LD_PRELOAD": "%s:%s" % (agent, build_dir / "tests" / "libpaint.so"), "PAINT_REPORT": str(report)})
    assert done.returncode == 0, done.stderr
    used, kernel = map(int, report.read_text().split())
    print("%s: %d bytes used, %d of them by the kernel" % (python.tag, used, kernel))
    assert 0 < kernel <= used, "no handler ran on the painted stack"
    assert used - kernel <= 1024
