"""What tests/bench/native_cost samples: C code of the interpreter's and of libraries that calls Python back. usage: native_mixed.py SECONDS [numpy]"""
import collections
import functools
import json
import re
import sys
import threading
import time


class Ordered:
    def __init__(self, value):
        self.value = value

    def __lt__(self, other):
        return self.value < other.value


def sort_objects():
    return sorted(Ordered(i * 7919 % 503) for i in range(300))


def sort_by_key():
    return sorted(range(500), key=lambda i: i * 7919 % 503)


def reduce_pairs():
    return functools.reduce(lambda left, right: left ^ right, range(500))


def substitute():
    return re.sub(r"[aeiou]", lambda match: match.group().upper(), "the quick brown fox jumps over the lazy dog" * 20)


def dump():
    return json.dumps([{"a": i, "b": [str(i)] * 3, "c": collections.OrderedDict(x=i)} for i in range(100)])


def raise_and_catch(depth=20):
    if depth:
        return raise_and_catch(depth - 1)
    raise ValueError


def catch():
    for _ in range(20):
        try:
            raise_and_catch()
        except ValueError:
            pass


def collect_cycles():
    for _ in range(200):
        cycle = []
        cycle.append(cycle)


def numpy_work():
    import numpy
    values = numpy.random.default_rng(1).random(20000)
    square = values[:10000].reshape(100, 100)
    called = numpy.frompyfunc(lambda value: value * 2, 1, 1)

    def sort():
        return numpy.sort(values)

    def multiply():
        return square @ square

    def call_back():
        return called(values[:500])

    def waves():
        return numpy.sin(values) + numpy.exp(values)
    return [sort, multiply, call_back, waves]


def work(functions, end):
    while time.process_time() < end:
        for function in functions:
            function()


def main(seconds, with_numpy):
    functions = [sort_objects, sort_by_key, reduce_pairs, substitute, dump, catch, collect_cycles]
    if with_numpy:
        functions = numpy_work() + functions[:2]
    end = time.process_time() + seconds
    thread = threading.Thread(target=work, args=(functions, end))
    thread.start()
    work(functions, end)
    thread.join()


main(float(sys.argv[1]), "numpy" in sys.argv)
