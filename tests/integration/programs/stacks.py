# Spins for a while at the end of many different stacks, and prints each one as the interpreter itself sees it: a line of JSON
# [[name, file, line, column or null], ...], root first, the caller of spin() last. Usage: stacks.py SECONDS [SHAPE]
import functools
import json
import sys
import threading
import time
import types

SECONDS = float(sys.argv[1])
seen = []


def spin():
    end = time.clock_gettime(time.CLOCK_THREAD_CPUTIME_ID) + SECONDS
    while time.clock_gettime(time.CLOCK_THREAD_CPUTIME_ID) < end:
        pass


def leaf(*_):
    seen.append(stack_of(sys._getframe(0)))
    spin()


def stack_of(frame):
    frames = []
    while frame is not None:
        frames.append([name_of(frame), frame.f_code.co_filename, frame.f_lineno, column_of(frame)])
        frame = frame.f_back
    # What calls spin() is on another line, of this file, by the time it is called.
    frames[0][2:] = [SPIN_LINE, None]
    return frames[::-1]


SPIN_LINE = leaf.__code__.co_firstlineno + 2


def name_of(frame):
    """The qualified name since 3.11; before, `Class.name` where a first argument `self` or `cls` leads to the class."""
    code = frame.f_code
    if hasattr(code, "co_qualname"):
        return code.co_qualname
    first = code.co_varnames[:1] if code.co_argcount else ()
    if first not in (("self",), ("cls",)) or first[0] not in frame.f_locals:
        return code.co_name
    holder = frame.f_locals[first[0]]
    for class_ in holder.__mro__ if first == ("cls",) else type(holder).__mro__:
        private = "_" + class_.__name__.lstrip("_") + code.co_name
        if code in codes_of(class_.__dict__.get(code.co_name)) + codes_of(class_.__dict__.get(private)):
            return class_.__name__ + "." + code.co_name
    return code.co_name


def codes_of(entry):
    inner = [entry, getattr(entry, "__func__", None), getattr(entry, "fget", None), getattr(entry, "fset", None)]
    return [one.__code__ for one in inner if hasattr(one, "__code__")]


def column_of(frame):
    """From 1, in bytes of UTF-8."""
    if not hasattr(frame.f_code, "co_positions"):
        return None
    column = list(frame.f_code.co_positions())[frame.f_lasti // 2][2]
    return None if column is None else column + 1


# --- kinds of functions ---


class Base:
    def method(self):
        leaf()

    def inherited(self):
        self.method()

    @classmethod
    def class_method(cls):
        leaf()

    @staticmethod
    def static_method():
        leaf()

    @property
    def property_(self):
        return leaf()

    @property
    def settable(self):
        return None

    @settable.setter
    def settable(self, value):
        leaf()

    def __private(self):
        leaf()

    def call_private(self):
        self.__private()

    def __getattr__(self, name):
        if name == "missing":
            leaf()
        raise AttributeError(name)

    def __lt__(self, other):
        leaf()
        return False

    class Nested:
        def method(self):
            leaf()


class Derived(Base):
    def method(self):
        super().method()


def decorate(function):
    @functools.wraps(function)
    def wrapper(*arguments):
        return function(*arguments)
    return wrapper


@decorate
def decorated():
    leaf()


def outer():
    value = 1

    def inner():
        nonlocal value
        value += 1
        leaf()

    inner()


def class_body():
    class Body:
        leaf()

    return Body


def generator():
    leaf()
    yield


def delegating():
    yield from generator()


async def coroutine():
    leaf()


async def awaiting():
    await coroutine()


def run_coroutine(it):
    try:
        it.send(None)
    except StopIteration:
        pass


def handler():
    try:
        raise ValueError
    except ValueError:
        leaf()
    finally:
        leaf()


class Guard:
    def __enter__(self):
        leaf()

    def __exit__(self, *_):
        leaf()


def guarded():
    with Guard():
        pass


def recurse(n):
    if n:
        return recurse(n - 1)
    return leaf()


def many_locals():
    names = ["v%d" % i for i in range(1500)]
    text = "def wide():\n    %s = 1\n    leaf()\n" % " = ".join(names)
    run_text(text + "wide()\n", "wide.py")


# --- names, files and lines ---


def run_text(text, filename):
    exec(compile(text, filename, "exec"), {"leaf": leaf, "run_text": run_text})


def run_renamed(name, filename):
    """Calls a function with any text as its name, in a file with any text as its name."""
    def renamed():
        leaf()
    code = renamed.__code__
    if hasattr(code, "replace"):
        changes = {"co_name": name, "co_filename": filename}
        if hasattr(code, "co_qualname"):
            changes["co_qualname"] = name
        code = code.replace(**changes)
    else:
        code = types.CodeType(code.co_argcount, code.co_kwonlyargcount, code.co_nlocals, code.co_stacksize, code.co_flags,
                              code.co_code, code.co_consts, code.co_names, code.co_varnames, filename, name, code.co_firstlineno,
                              code.co_lnotab, code.co_freevars, code.co_cellvars)
    types.FunctionType(code, globals(), "renamed", None, renamed.__closure__)()


NAMES = ["na\u00efve", "\u03a9mega", "\u540d\u524d", "\U0001f600", "\ud800lone", "pair\udc80\udcff", "semi;colon", "new\nline",
         "quote\"s'", "back\\slash\\u0041", "\t\x01\x7f", "<angle & amp>", "n" * 300]
FILES = ["\u00e9.py", "/tmp/\u03a9/\u540d.py", "\U0001f600.py", "a;b.py", "quote\".py", "new\nline.py", "raw\udce9.py", "<generated>",
         "with space.py", "dir\\file.py", "f" * 300 + ".py"]


def spread(gap):
    """A function whose statements are `gap` lines apart, the call in the middle."""
    blank = "\n" * gap
    run_text("def far():\n    x = 1%s    y = 2%s    leaf()%s    return x + y\nfar()\n" % (blank, blank, blank), "gap%d.py" % gap)


def backwards():
    """A call that stands above arguments which were evaluated before it, and one below."""
    run_text("def back(f):\n    f(\n        1,\n\n\n        2 +\n        int(3))\n\n\nback(leaf)\n", "backwards.py")


def thread_shape():
    leaf()


SHAPES = [
    ("plain", lambda: leaf()),
    ("method", lambda: Base().method()),
    ("inherited", lambda: Derived().inherited()),
    ("class_method", lambda: Derived.class_method()),
    ("static_method", lambda: Base.static_method()),
    ("property", lambda: Base().property_),
    ("setter", lambda: setattr(Base(), "settable", 1)),
    ("private", lambda: Derived().call_private()),
    ("getattr", lambda: hasattr(Base(), "missing")),
    ("comparison", lambda: sorted([Base(), Base()])),
    ("nested class", lambda: Base.Nested().method()),
    ("decorated", decorated),
    ("closure", outer),
    ("lambda", lambda: (lambda: leaf())()),
    ("list comprehension", lambda: [leaf() for _ in (1,)]),
    ("nested comprehension", lambda: [[leaf() for _ in (1,)] for _ in (1,)]),
    ("set comprehension", lambda: {leaf() for _ in (1,)}),
    ("dict comprehension", lambda: {1: leaf() for _ in (1,)}),
    ("generator expression", lambda: list(leaf() for _ in (1,))),
    ("class body", class_body),
    ("generator", lambda: list(delegating())),
    ("coroutine", lambda: run_coroutine(awaiting())),
    ("exception", handler),
    ("with", guarded),
    ("sort key", lambda: sorted([1], key=leaf)),
    ("map", lambda: list(map(leaf, [1]))),
    ("partial", functools.partial(leaf, 1)),
    ("recursion", lambda: recurse(100)),
    ("locals", many_locals),
    ("line 70000", lambda: run_text("\n" * 70000 + "def low():\n    leaf()\nlow()\n", "long.py")),
    ("backwards", backwards),
]
SHAPES += [("name %d" % i, functools.partial(run_renamed, name, "named.py")) for i, name in enumerate(NAMES)]
SHAPES += [("file %d" % i, functools.partial(run_renamed, "in_file", name)) for i, name in enumerate(FILES)]
SHAPES += [("gap %d" % gap, functools.partial(spread, gap)) for gap in (1, 126, 127, 128, 129, 200, 254, 255, 256, 300, 511, 1000)]
if sys.version_info >= (3, 6):
    SHAPES += [("async generator", lambda: run_text(
        "async def items():\n    leaf()\n    yield 1\n\n\nasync def collect():\n    async for _ in items():\n        pass\n\n\n"
        "try:\n    collect().send(None)\nexcept StopIteration:\n    pass\n", "async.py"))]


def run_shape(name, shape):
    shape()


def deep(n):
    """In a thread with a stack of 512 MB."""
    sys.setrecursionlimit(n + 1000)
    threading.stack_size(512 << 20)
    thread = threading.Thread(target=recurse, args=(n,))
    thread.start()
    thread.join()
    threading.stack_size(0)


def main():
    wanted = sys.argv[2:]
    for name, shape in SHAPES:
        if not wanted or name in wanted:
            run_shape(name, shape)
    for n in (1900, 5000):
        if not wanted or "deep %d" % n in wanted:
            deep(n)
    for stack in seen:
        print(json.dumps(stack))


main()
