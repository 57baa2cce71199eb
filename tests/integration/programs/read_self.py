# read_self.py LIBRARY: reads its own stacks, through libreadself.so, in all kinds of places, and prints as one line of
# JSON, for each of them, what was read and what the interpreter itself says: {"rows": [[place, expected, read]], ...}
import ctypes
import functools
import itertools
import json
import os
import sys
import threading

library = ctypes.CDLL(sys.argv[1])
with_gil = ctypes.PyDLL(sys.argv[1])
for each in (library.read_stacks_json, with_gil.read_stacks_json):
    each.restype = ctypes.c_size_t
    each.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t]
room = ctypes.create_string_buffer(4 << 20)
pid = os.getpid()  # and the id of the main thread
rows = []


def decode(size):
    text = room.raw[:size].decode("utf-8")
    return json.loads(text) if text.startswith("[") else text


def read(tid, stop, reader=library):
    return decode(reader.read_stacks_json(pid, tid, stop, room, len(room)))


@functools.lru_cache(maxsize=None)
def column(code, instruction):
    if not hasattr(code, "co_positions"):
        return 0
    start = next(itertools.islice(code.co_positions(), instruction // 2, None))[2]
    return 0 if start is None else start + 1


def chain(frame):
    """What a traceback would show of the frames from `frame` on, leaf first."""
    found = []
    while frame is not None:
        code = frame.f_code
        found.append([getattr(code, "co_qualname", code.co_name), code.co_filename, frame.f_lineno, column(code, frame.f_lasti)])
        frame = frame.f_back
    return found


def expect(pid, tid, stop, out, size):
    return chain(sys._getframe(1))


def look(place):
    for reader in (library, with_gil):
        for stop in (1, 0):
            # In one instruction, so that even the column of this frame has to be the same.
            expected, size = [call(pid, pid, stop, room, len(room)) for call in (expect, reader.read_stacks_json)]
            rows.append([place, expected, decode(size)])
    return True


class Plain(object):
    def __init__(self, place=None):
        if place:
            look(place)


class Thing(object):
    def method(self):
        look("a method")

    @property
    def value(self):
        return look("a property")

    @staticmethod
    def static():
        look("a static method")

    def __enter__(self):
        look("with")

    def __exit__(self, *_):
        look("the end of with")

    def __lt__(self, other):
        return look("a comparison")

    def __del__(self):
        look("a finalizer")


def generate():
    yield look("a generator")
    yield [look("a comprehension") for _ in range(1)]


def delegate():
    for value in (yield_from() for _ in range(1)):
        yield value


def yield_from():
    return (look("a generator expression") for _ in range(1))


def recurse(depth, place):
    return look(place) if depth == 0 else recurse(depth - 1, place)


def recurse_through_c(depth):
    return list(map(recurse_through_c, [depth - 1])) if depth else look("recursion through C")


def main():
    look("a function")
    for place in [None] * 40 + ["__init__ of a specialised call"]:
        Plain(place)
    thing = Thing()
    thing.method()
    thing.value
    Thing.static()
    with thing:
        pass
    min([thing, thing])
    list(generate())
    [list(inner) for inner in delegate()]
    (lambda: look("a lambda"))()
    functools.partial(look, "functools.partial")()
    sorted([1], key=lambda _: look("a key function"))
    recurse(100, "recursion")
    recurse_through_c(20)
    exec(compile("look('exec')\nclass Body:\n  look('a class body')\n", "<text>", "exec"), globals())
    try:
        raise KeyError
    except KeyError:
        look("except")
    finally:
        look("finally")
    del thing
    sys.setrecursionlimit(6000)
    recurse(2600, "deep recursion")


def park(pipe):
    os.read(pipe, 1)


def spin(is_over):
    while not is_over:
        step()


def step():
    return sum(range(20))


def task_waits_for(pipe):
    for tid in map(int, os.listdir("/proc/self/task")):
        try:
            with open("/proc/self/task/%d/syscall" % tid) as file:
                if file.read().startswith("0 0x%x " % pipe):  # read(2)
                    return tid
        except EnvironmentError:
            pass
    return 0


def read_others():
    pipes = os.pipe()
    parked = threading.Thread(target=park, args=(pipes[0],), name="parked")
    parked.start()
    while not task_waits_for(pipes[0]):
        pass
    tid = task_waits_for(pipes[0])
    for stop in (1, 0):
        expected = chain(sys._current_frames()[parked.ident])
        rows.append(["another thread", expected, read(tid, stop)])
    every = read(0, 1)

    counted = []
    for stop in (1, 0):
        numbers = [ctypes.c_uint64(0), ctypes.c_uint64(0)]
        library.sample_self(stop, *map(ctypes.byref, numbers))
        counted.append([number.value for number in numbers])

    is_over = []
    spinning = threading.Thread(target=spin, args=(is_over,), name="spinning")
    spinning.start()
    spinner = [stack for _ in range(20) for reader in (library, with_gil) for stack in read(0, 1, reader)
               if stack["ident"] == spinning.ident]
    is_over.append(True)
    spinning.join()
    gone = read(tid + 1000000, 1)
    os.write(pipes[1], b"x")
    parked.join()
    return {"every": every, "counted": counted, "spinner": spinner, "gone": gone,
            "ids": {"parked": [parked.ident, tid], "MainThread": [threading.current_thread().ident, pid]}}


main()
print(json.dumps(dict(read_others(), rows=rows)))
