# Parks threads in frames whose locals hold all kinds of values. For each line on standard input it prints, as one line of
# JSON, the stack of every thread as the interpreter sees it: {id: {"name", "tid", "frames": [{name, filename, line,
# locals: {name: [texts that are right, is an argument]}}]}}, leaf first.
import collections
import json
import sys
import threading

lock = threading.Lock()
lock.acquire()


def park():
    lock.acquire()


class Thing(object):
    def __init__(self):
        self.x, self.y = 1, "why"


class Count(int):
    pass


class Name(str):
    pass


class Ratio(float):
    pass


class Bag(set):
    pass


class Stack(list):
    pass


Point = collections.namedtuple("Point", "x y")
One = collections.namedtuple("One", "x")


def numbers(zero, minus, *rest, **named):
    small, digit, two_digits, word = 7, 2 ** 30 - 1, 2 ** 30, -(2 ** 64)
    large, larger, huge = 10 ** 50 + 7, -(7 ** 400), 1 << 40000
    yes, no, nothing = True, False, None
    floats = [0.1, 1.0, -0.0, 1e15, 1e16, 123456789012345678.0, 1.5e-5, 0.0001, 5e-324, 1.7976931348623157e308, 1e100]
    odd = (float("inf"), float("-inf"), float("nan"))
    imaginary, both = 2j, [1.5 - 2j, complex(-0.0, 1e20)]
    deleted = 1
    del deleted
    park()


def texts():
    empty, plain, quoted, both = "", "plain", "it's", "it's \"quoted\""
    control = "\t\n\r\\\x00\x1b[31m\x7f\x9b"
    latin, wide, widest = "caf\xe9", "\u03a9 \u20ac", "\U0001f600 x"
    marks, surrogate = "\xa0\xad\u200b\u202e\u2028\ufeff", "a\ud800b"
    data, more, array, nobody = b"ab\x00\xff\t'", b"it's", bytearray(b"x\xffy"), bytearray()
    shifted = bytearray(b"abcdef")
    del shifted[:2]
    park()


def containers():
    no_list, no_tuple, no_dict, no_set, no_frozenset = [], (), {}, set(), frozenset()
    one, nested = (1,), [1, (2.5, "three"), {"four": [None]}, {5}, frozenset([6])]
    words = {word: len(word) for word in "the order of insertion is kept".split()}
    mixed = {1: "one", "two": 2, (3,): [3], None: None}
    removed = {key: key for key in range(10)}
    for key in (0, 3, 9):
        del removed[key]
    many = {key: 0 for key in range(200)}
    shared = vars(Thing())
    some, removed_from_set = {1, 2, 3, "x"}, set(range(40))
    removed_from_set -= set(range(5, 35))
    loop, around = [1], {}
    loop.append(loop)
    around["self"] = [around]
    counts = [[value] * 3 for value in (1, 2)]
    park()


def objects(mine, stranger=Thing):
    count, name, ratio, bag, stack = Count(5), Name("na'me"), Ratio(2.5), Bag([1]), Stack([1, "x"])
    point, single = Point(1, [2]), One("x")
    ordered, default = collections.OrderedDict([("b", 1), ("a", 2)]), collections.defaultdict(int, z=1)
    kinds, function, method, nameless, module = [int, Thing, type(None)], objects, len, (lambda: mine), json
    ellipsis, not_implemented, error, plain = Ellipsis, NotImplemented, ValueError("x"), object()
    generator, deque = (value for value in "abc"), collections.deque([1])
    if sys.version_info >= (3, 15):
        frozen, no_frozen = frozendict(a=1), frozendict()  # noqa: F821
    park()


def cells(argument, changed, *, only=3):
    mine = "mine"

    def inner(own):
        nonlocal changed
        changed = [argument, mine, only]
        later = lambda: unbound  # noqa: E731
        park()
        unbound = own
        return later

    inner(mine)


def generate(value):
    for item in [value, 2]:
        yield park()


def generators(value):
    return [sum(1 for one in generate(each) if one is None) for each in [value]]


def class_body():
    class Body(object):
        attribute = [1]
        other = {"k": attribute}
        park()

        def method(self):
            pass


def executed():
    exec("inside = [1, 2]\npark()\n", globals(), {"before": 5, "park": park})


class Waiter(object):
    def wait(self, times):
        if times:
            return self.wait(times - 1)
        park()

    @classmethod
    def wait_class(cls, *args, **kwargs):
        cls().wait(3)


THREADS = [
    ("numbers", numbers, (0, -1, "rest", 2), {"key": [1]}),
    ("texts", texts, (), {}),
    ("containers", containers, (), {}),
    ("objects", objects, (Thing(),), {}),
    ("cells", cells, ([1], 2), {}),
    ("generators", generators, ("value",), {}),
    ("class body", class_body, (), {}),
    ("executed", executed, (), {}),
    ("m\xe9thode \u03a9 \x1b[31m", Waiter.wait_class, (1,), {"x": "y"}),
]


def right_texts(value):
    """What may be shown for `value`."""
    kind = type(value)
    if kind in (Point, One):
        return [kind.__name__ + "(" + ", ".join(map(repr, value)) + ")"]
    if kind in (collections.OrderedDict, collections.defaultdict):
        return [name + "(" + dict.__repr__(value) + ")" for name in (kind.__name__, "collections." + kind.__name__)]
    if kind is float and value != value or kind is int and value == 1 << 40000:
        return ["nan" if kind is float else "<int of 40001 bits>"]
    for base in (int, str, float, list):
        if isinstance(value, base) and kind is not base and kind is not bool:
            return [kind.__name__ + "(" + base.__repr__(value) + ")"]
    if isinstance(value, set) and kind is not set:
        return [kind.__name__ + "(" + set.__repr__(set(value)) + ")"]
    if kind is list and value and isinstance(value[0], type):
        return ["[<class 'int'>, <class 'Thing'>, <class 'NoneType'>]"]
    if isinstance(value, type):
        return ["<class '%s'>" % value.__name__]
    if kind is type(json):
        return ["<module '%s'>" % value.__name__]
    if kind in PLAIN:
        return [repr(value)]
    names = [kind.__name__, kind.__module__ + "." + kind.__name__]
    return ["<%s at 0x%x>" % (name, id(value)) for name in names]


PLAIN = {int, bool, float, complex, str, bytes, bytearray, list, tuple, dict, set, frozenset, type(None), type(Ellipsis),
         type(NotImplemented), type(park)}
if sys.version_info >= (3, 15):
    PLAIN.add(frozendict)  # noqa: F821


def locals_of(frame):
    code = frame.f_code
    count = code.co_argcount + code.co_kwonlyargcount + bool(code.co_flags & 4) + bool(code.co_flags & 8)
    arguments = code.co_varnames[:count]
    if not code.co_flags & 1 and frame.f_locals is frame.f_globals:
        return {}
    return {name: [right_texts(value), name in arguments] for name, value in dict(frame.f_locals).items()}


def frames_of(frame):
    frames = []
    while frame is not None:
        frames.append({"name": frame.f_code.co_name, "filename": frame.f_code.co_filename, "line": frame.f_lineno,
                       "locals": locals_of(frame)})
        frame = frame.f_back
    return frames


def report():
    names = {thread.ident: [thread.name, getattr(thread, "native_id", None)] for thread in threading.enumerate()}
    return {str(ident): {"name": names[ident][0], "tid": names[ident][1], "frames": frames_of(frame)}
            for ident, frame in sys._current_frames().items()}


def is_parked(thread):
    frame = sys._current_frames().get(thread.ident)
    return frame is not None and frame.f_code is park.__code__


def serve():
    threads = [threading.Thread(target=target, name=name, args=args, kwargs=kwargs) for name, target, args, kwargs in THREADS]
    for thread in threads:
        thread.daemon = True
        thread.start()
    while not all(map(is_parked, threads)):
        pass
    print("ready")
    sys.stdout.flush()
    for _ in iter(sys.stdin.readline, ""):
        print(json.dumps(report()))
        sys.stdout.flush()


serve()
