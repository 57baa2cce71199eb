# Runs a program of families/ under sys.settrace and prints, root first and as JSON lines, each stack it saw when a function of
# the program was called or called something.
# It is what the interpreter itself says is possible. Usage: trace_families.py PROGRAM ARGUMENTS...
import json
import sys
import threading

program = sys.argv[1]
seen = set()


def walk(frame):
    frames = []
    while frame is not None and frame.f_globals.get("__name__") != "tracer":
        code = frame.f_code
        frames.append((getattr(code, "co_qualname", code.co_name), code.co_filename, frame.f_lineno))
        frame = frame.f_back
    return tuple(reversed(frames))


def trace(frame, event, argument):
    if event == "call" and len(seen) < 5000:
        callers = (frame, frame.f_back)
        if any(one and one.f_code.co_filename.startswith((program, "<a_", "<b_")) for one in callers):
            seen.add(walk(frame))
    return None


def main(arguments):
    with open(program) as file:
        code = compile(file.read(), program, "exec")
    # Frames of this file are told by their `__name__`; the program gets a namespace of its own.
    globals()["__name__"] = "tracer"
    sys.argv = [program] + arguments
    threading.settrace(trace)
    sys.settrace(trace)
    try:
        exec(code, {"__name__": "__main__", "__file__": program})
    finally:
        sys.settrace(None)
        threading.settrace(None)
    for stack in sorted(seen):
        print(json.dumps(stack))


main(sys.argv[2:])
