"""Makes objects of all kinds, prints what read_objects should find in them as JSON, and waits for the end of stdin.

Output: a list of [question, answer]; read_objects.cpp lists the questions. Runs on 3.5 too: no f-strings here.
"""
import argparse
import ast
import ctypes
import functools
import inspect
import json
import json.decoder
import random
import sys
import threading
import typing

VERSION = sys.version_info[:2]
questions = []
kept = []  # everything whose address was printed


def ask(question, answer):
    questions.append((question, answer))


def keep(thing):
    kept.append(thing)
    return id(thing)


# --- strings ---


def to_readable(text):
    """What UTF-8 can't say becomes U+FFFD."""
    return "".join("\ufffd" if 0xD800 <= ord(c) < 0xE000 else c for c in text)


def cut(text, room):
    """As many whole characters as fit into `room` bytes."""
    return text.encode("utf-8")[:room].decode("utf-8", "ignore")


class Text(str):
    """A str that is not compact."""


def ask_strings():
    every = [chr(c) for c in range(0x20, 0x250)] + ["\x00", "\x7f", "\u0800", "\ud7ff", "\ue000", "\uffff", "\U00010000", "\U0010ffff"]
    texts = ["", "a", "ascii", "caf\xe9", "\xff" * 200, "\u03a9mega", "\u20ac" * 65, "emoji \U0001f600", "\U0001f600" * 33,
             "\ud800", "a\udfffb", "\ud83d\ude00", "\U0001f600\udc80", "nul\x00inside", "\x80", "\u0100", "\u07ff", "".join(every),
             "a" * 127, "a" * 128, "\xe9" * 127, "\xe9" * 128, "\xe9" * 129, "\u20ac" * 64, "\U0001f600" * 32,
             "a" * 100000, "\xe9" * 100000, "\u20ac" * 100000, "\U0001f600" * 100000, "a" * 99999 + "\u20ac"]
    rng = random.Random(3)
    for limit in (0x7F, 0xFF, 0xFFFF, 0x10FFFF):
        texts.append("".join(chr(rng.randint(0, limit)) for _ in range(5000)))
    for text in texts + [Text(text) for text in texts]:
        readable = to_readable(text)
        hashed = str(text) + ""
        hash(hashed)
        for room in (4000000, 4093, 100, 7, 3, 1, 0):
            short = cut(readable, room)
            ask("string %d %d" % (keep(text), room), {"text": short, "is_cut": short != readable})


# --- code ---


def list_locations(code):
    """[line, end line, column, end column] of each code unit (each byte before 3.6), as Location shows them."""
    count = len(code.co_code)
    step = 1 if VERSION < (3, 6) else 2
    line = code.co_firstlineno
    places = []
    if VERSION >= (3, 11):
        for start, end, column, end_column in code.co_positions():
            line = line if start is None else start
            if line <= 0:
                places.append([0, 0, -1, -1])
            elif start is None:
                places.append([line, 0, -1, -1])
            else:
                places.append([line, end, -1 if column is None else column, -1 if end_column is None else end_column])
    elif VERSION >= (3, 10):
        for start, end, start_line in code.co_lines():
            line = line if start_line is None else start_line
            places.extend([[line, 0, -1, -1]] * ((end - start) // 2))
    else:
        # Not dis.findlinestarts: the 3.5 of the tests has the dis of 3.6, which takes line steps as signed.
        for offset in range(0, count, step):
            places.append([ctypes.pythonapi.PyCode_Addr2Line(ctypes.py_object(code), offset), 0, -1, -1])
    assert len(places) * step == count, (code, len(places), step, count)
    return places, count, step


def ask_code(code):
    places, count, step = list_locations(code)
    ask("code %d %d %d" % (keep(code), count, step), {
        "name": to_readable(code.co_name), "filename": to_readable(code.co_filename),
        "qualname": to_readable(code.co_qualname) if VERSION >= (3, 11) else None,
        "first_line": code.co_firstlineno, "argcount": code.co_argcount, "locations": places})
    for constant in code.co_consts:
        if inspect.iscode(constant):
            ask_code(constant)


def stepping_source():
    """Functions with steps of many sizes between their lines, forward and back."""
    steps = [1, 2, 3, 126, 127, 128, 129, 130, 200, 253, 254, 255, 256, 257, 300, 509, 510, 511, 512, 600, 1000, 70000]
    lines = ["def forward(x):"]
    for step in steps:
        lines += [" "] * (step - 1) + [" x = x + 1"]
    for step in steps[:-1]:
        lines += ["def back_%d(f, x):" % step, " return f("] + [""] * step + ["  x.a,"] + [""] * step + ["  x.b) + x.c"]
        lines += [" @f(", "  x)"] + ["" for _ in range(step)] + [" def decorated(): return x"]
        # The operator's line is that of its left side: a step back over all of the right side.
        lines += ["def folded_%d(x):" % step, " y = [x.a +"] + [""] * step + ["  x.b for x in x]", " for z in y:"]
        lines += ["  try:", "   z.a = 1"] + [""] * step + ["  except ValueError as e: return e", "  finally:", "   del z"]
    lines += ["def long_line(x):", " return " + " + ".join("x.attribute_%d(x)" % i for i in range(2000)), "", "lambda: (yield)"]
    lines += ["class K:", " def m(self): return [i for i in (lambda: self)()]", " async def c(self): await self", " x: int = 3"]
    return "\n".join(lines).replace(" x: int = 3", " x = 3")


def ask_codes():
    ask_code(compile(stepping_source(), "steps.py", "exec"))
    ask_code(compile("x = 1\n" * 3 + "def \u03b1\u03b2(): pass\ndef \U00010400(): pass", "caf\xe9/\u20ac\U0001f600.py", "exec"))
    ask_code(compile("", "empty.py", "exec"))
    ask_code(compile("x", "", "eval"))
    for module in (argparse, ast, functools, inspect, json.decoder, random, threading, typing):
        with open(module.__file__, encoding="utf-8") as file:
            ask_code(compile(file.read(), module.__file__, "exec"))
    if VERSION >= (3, 8):
        code = compile("\n".join("abcdefghijklmnop"), "odd", "exec")
        ask_code(code.replace(co_name="\ud800 lone", co_filename="f\udc80.py"))
        ask_code(code.replace(co_name=Text("of a subclass"), co_firstlineno=123456))
        if VERSION < (3, 10):
            table = bytes([2, 127, 2, 128, 0, 127, 2, 1, 0, 255, 2, 5]) if VERSION >= (3, 6) else b"\x02\xff\x00\xff\x02\x01"
            ask_code(code.replace(co_lnotab=table, co_firstlineno=500))
    if VERSION >= (3, 11):
        ask_code(with_made_up_locations(code))


def with_made_up_locations(code):
    """`code` with a table of every form, some with numbers that the compiler hardly makes."""
    def varint(value):
        groups = b""
        while value >= 64:
            groups += bytes([64 | value & 63])
            value >>= 6
        return groups + bytes([value])

    def signed(value):
        return varint(-value << 1 | 1 if value < 0 else value << 1)

    units = len(code.co_code) // 2
    entries = [bytes([0x80 | 15 << 3]), bytes([0x80 | 13 << 3]) + signed(70000), bytes([0x80 | 15 << 3])]
    entries += [bytes([0x80 | 14 << 3]) + signed(-65000) + varint(70000) + varint(3000) + varint(0)]
    entries += [bytes([0x80 | 14 << 3]) + signed(1) + varint(0) + varint(0) + varint(5)]
    entries += [bytes([0x80 | form << 3, 0x7F]) for form in (0, 9)] + [bytes([0x80 | 12 << 3, 255, 0])]
    assert units > len(entries), units
    rest = units - len(entries)
    while rest > 0:
        entries.append(bytes([0x80 | 10 << 3 | min(rest, 8) - 1, 1, 2]))
        rest -= 8
    return code.replace(co_linetable=b"".join(entries), co_firstlineno=9)


# --- dicts and attributes ---


class Key(str):
    """Makes a dict's table general."""


def ask_dict(table, missing):
    for key, value in table.items():
        if isinstance(key, str) and " " not in key and key and max(key) < "\x7f":
            ask("item %d str %s" % (keep(table), key), keep(value))
        elif isinstance(key, int) and 0 < key < 2**61 - 1:
            ask("item %d int %d" % (keep(table), key), keep(value))
    for key in missing:
        ask("item %d %s %s" % (keep(table), "str" if isinstance(key, str) else "int", key), {"error": "not found"})


class Plain:
    def __init__(self, count):
        for i in range(count):
            setattr(self, "attribute_%d" % i, object())


class Slotted:
    __slots__ = ("a", "__dict__", "__weakref__")


class Failure(Exception):
    pass


class Mapping(dict):
    pass


def ask_dicts():
    ask_dict({}, ["x", 1])
    for count in (1, 5, 6, 85, 86, 170, 171, 300, 5000, 22000):
        table = {"key_%d" % i: object() for i in range(count)}
        some = {key: table[key] for key in list(table)[::max(1, count // 20)]}
        for key, value in some.items():
            ask("item %d str %s" % (keep(table), key), keep(value))
        ask_dict({}, [])
        for missing in ("key_%d" % count, "key_", "x"):
            ask("item %d str %s" % (keep(table), missing), {"error": "not found"})
    ints = {140000000000000 + 4096 * i: object() for i in range(500)}
    ask_dict(ints, [5, 140000000000001, "x"])
    holes = {"key_%d" % i: object() for i in range(100)}
    for i in range(0, 100, 3):
        del holes["key_%d" % i]
    ask_dict(holes, ["key_0", "key_99"])
    ask_dict({"a": object(), 7: object(), Key("b"): object(), None: object(), "\xe9": object(), "": object(), 2**40: object()}, ["c", 8])

    instances = [Plain(count) for count in (0, 1, 3, 20, 29, 30, 31, 60)]
    instances += [Plain(4) for _ in range(3)] + [Slotted(), Failure("x"), Mapping(a=1)]
    instances[-2].extra = instances[-1].extra = object()
    instances[-3].a, instances[-3].b = object(), object()
    del instances[-4].attribute_2
    instances[-5].late = object()
    materialized = Plain(5)
    ask_dict(materialized.__dict__, ["attribute_5"])
    materialized.attribute_9 = object()
    replaced = Plain(2)
    replaced.__dict__ = {"other": object()}
    for thing in instances + [materialized, replaced]:
        if thing not in (materialized, replaced):
            names = [name for name in dir(thing) if name.startswith("attribute") or name in ("extra", "late")]  # leaves it without a dict
            names += ["b"] if isinstance(thing, Slotted) else []
        else:
            names = list(thing.__dict__)
        for name in names:
            ask("attribute %d %s" % (keep(thing), name), keep(getattr(thing, name)))
        ask("attribute %d missing" % keep(thing), {"error": "not found"})


# --- threads ---


def ask_threads():
    names = ["worker", "caf\xe9", "\u20ac-\U0001f600", "n" * 300, "", "lone \ud800"]
    ready = [threading.Event() for _ in names]
    for name, event in zip(names, ready):
        thread = threading.Thread(target=lambda event=event: (event.set(), threading.Event().wait()), name="before")
        thread.daemon = True
        thread.name = name
        thread.start()
        event.wait()
        ask("thread %d" % thread.ident, to_readable(name))
    threads = [threading.Thread(target=threading.Event().wait) for _ in range(20)]
    for thread in threads:
        thread.daemon = True
        thread.start()
        ask("thread %d" % thread.ident, thread.name)
    threading.current_thread().name = "the main one"
    ask("thread %d" % threading.get_ident(), "the main one")
    ask("thread 12345", {"error": "not found"})


# --- the classes of methods, before co_qualname ---


def decorate(function):
    @functools.wraps(function)
    def wrapper(*args):
        return function(*args)
    return wrapper


class Meta(type):
    def on_meta(cls):
        return sys._getframe()

    def on_meta_by_self(self):
        return sys._getframe()


class Base(metaclass=Meta):
    def inherited(self):
        return sys._getframe()

    def overridden(self):
        return [sys._getframe()]

    @classmethod
    def of_class(cls):
        return sys._getframe()

    @classmethod
    def overridden_of_class(cls):
        return [sys._getframe()]

    def __private(self):
        return sys._getframe()

    def call_private(self):
        return self.__private()

    def __init_subclass__(cls, **kwargs):
        cls.frame = sys._getframe()

    @property
    def value(self):
        return sys._getframe()

    @value.setter
    def value(self, frames):
        frames.append(sys._getframe())

    @value.deleter
    def value(self):
        deleted.append(sys._getframe())


deleted = []


class _Derived(Base):
    def __new__(cls):
        new = super().__new__(cls)
        new.frame_of_new = sys._getframe()
        return new

    def overridden(self):
        return super().overridden() + [sys._getframe()]

    @classmethod
    def overridden_of_class(cls):
        return super().overridden_of_class() + [sys._getframe()]

    @staticmethod
    def static():
        return sys._getframe()

    @staticmethod
    def static_self(self):
        return sys._getframe()

    @decorate
    def decorated(self):
        return sys._getframe()

    def captured(self):
        return (lambda: self) and sys._getframe()

    def captured_third(self, a, b):
        c = a
        return (lambda: (c, b, self)) and sys._getframe()

    def other_name(this):
        return sys._getframe()

    def gone(self):
        del self
        return sys._getframe()

    def __call_me(self):
        return sys._getframe()

    def call_me(self):
        return self.__call_me()

    alias = Base.inherited


class Deep(_Derived):
    pass


class Dict(dict):
    def own(self):
        return sys._getframe()


def alone(self):
    return sys._getframe()


def ask_classes():
    one, frames = Deep(), []
    one.value = frames
    del one.value
    both, both_of_class = one.overridden(), one.overridden_of_class()
    expected = [(one.inherited(), "Base"), (one.alias(), "Base"), (both[0], "Base"), (both[1], "_Derived"), (one.of_class(), "Base"),
                (both_of_class[0], "Base"), (both_of_class[1], "_Derived"), (one.call_private(), "Base"), (one.value, "Base"),
                (frames[0], "Base"), (deleted[0], "Base"), (one.frame_of_new, "_Derived"), (Deep.on_meta(), "Meta"),
                (Deep.on_meta_by_self(), "Meta"), (one.static(), None), (one.static_self(one), "_Derived"), (one.static_self(3), None),
                (one.decorated(), "_Derived"), (one.captured(), "_Derived"), (one.captured_third(1, 2), "_Derived"),
                (one.other_name(), None), (one.gone(), None), (one.call_me(), "_Derived"), (Dict().own(), "Dict"), (alone(one), None),
                (alone(3), None)]
    expected += [(Deep.frame, "Base")] if VERSION >= (3, 6) else []
    for frame, name in expected:
        ask("class %d %d" % (keep(frame), keep(frame.f_code)), name or {"error": "not found"})


ask_strings()
ask_codes()
ask_dicts()
ask_threads()
if VERSION < (3, 11):
    ask_classes()
print(json.dumps(questions))
sys.stdout.flush()
sys.stdin.read()
