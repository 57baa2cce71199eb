# anchors.py LIBRARY: reads the anchors of its own stack, through libanchors.so, in all kinds of places, and prints as one
# line of JSON what was read: [[place, read], ...]
import ctypes
import functools
import json
import re
import sys
import threading

library = ctypes.PyDLL(sys.argv[1])
library.read_anchors_json.restype = ctypes.c_size_t
library.read_anchors_json.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
rows = []


def look(place):
    room = ctypes.create_string_buffer(1 << 20)
    size = library.read_anchors_json(room, len(room))
    rows.append([place, json.loads(room.raw[:size].decode()) if size else None])
    return 0


def generate(place):
    yield look(place)


def delegate(place):
    yield from generate(place)


def recurse(depth):
    return recurse(depth - 1) if depth else look("recursion")


def recurse_in_c(depth):
    return max([depth], key=recurse_in_c_next) if depth else look("recursion through C")


def recurse_in_c_next(depth):
    recurse_in_c(depth - 1)
    return depth


class Base:
    def __init__(self):
        look("__init__")

    def __lt__(self, other):
        look("__lt__")
        return False

    def __del__(self):
        look("__del__")

    @property
    def attribute(self):
        return look("property")


def run(where):
    look("a function" + where)
    recurse(100)
    recurse_in_c(50)
    list(generate("a generator"))
    list(delegate("a generator in a generator"))
    for _ in delegate("a loop over generators"):
        pass
    sorted([2, 1], key=lambda each: look("a key function"))
    sorted([Base(), Base()])
    Base().attribute
    re.sub("a", lambda match: str(look("a replacement")), "bab")
    functools.reduce(lambda left, right: look("reduce"), [1, 2, 3])
    list(map(lambda each: look("map"), [1]))
    [look("a comprehension") for _ in range(2)]
    eval("look('eval')")
    exec("look('exec')")


run("")
thread = threading.Thread(target=run, args=(" of a thread",))
thread.start()
thread.join()
print(json.dumps(rows))
