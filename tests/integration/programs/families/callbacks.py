# Python code called from C: keys, comparisons, attribute access, finalizers. Usage: callbacks.py SECONDS
import functools
import sys
import time


def a_key(n):
    return -n


def a_sorted(data):
    return sorted(data, key=a_key)  # > a_key


def a_square(n):
    return n * n


def a_map(data):
    return list(map(a_square, data))  # > a_square


def a_add(x, y):
    return x + y


def a_reduce(data):
    return functools.reduce(a_add, data)  # > a_add


class AThing:
    def __init__(self, n):
        self.n = n

    def __getitem__(self, key):
        return self.a_value(key)  # > AThing.a_value

    def a_value(self, key):
        return self.n + key

    @property
    def a_twice(self):
        return self.n * 2

    def __getattr__(self, name):
        return name

    def __call__(self, n):
        return self.a_value(n)  # > AThing.a_value

    def __eq__(self, other):
        return self.n == other.n

    def __hash__(self):
        return self.n

    @classmethod
    def a_make(cls, n):
        return cls(n)  # > AThing.__init__


def a_thing(n):
    thing = AThing(n)  # > AThing.__init__
    other = AThing.a_make(n)  # > AThing.a_make
    table = {thing: n}  # > AThing.__hash__
    table[other]  # > AThing.__hash__ AThing.__eq__
    thing[n]  # > AThing.__getitem__
    thing.a_twice  # > AThing.a_twice
    thing.missing  # > AThing.__getattr__
    thing(n)  # > AThing.__call__


class BThing:
    def __init__(self, n):
        self.n = n

    def __lt__(self, other):
        return self.b_less(other)  # > BThing.b_less

    def b_less(self, other):
        return self.n < other.n

    def __del__(self):
        b_gone(self.n)  # > b_gone

    def __add__(self, other):
        return self.n + other.n

    def __str__(self):
        return self.b_text()  # > BThing.b_text

    def b_text(self):
        return "b"

    def __iter__(self):
        self.left = 5
        return self

    def __next__(self):
        if self.left == 0:
            raise StopIteration
        self.left -= 1
        return self.left


def b_gone(n):
    return n


def b_sort(data):
    things = []
    for n in data:
        thing = BThing(n)  # > BThing.__init__
        things.append(thing)
    del thing
    things.sort()  # > BThing.__lt__
    return things


def b_sorted(data):
    things = b_sort(data)  # > b_sort
    things[0] + things[1]  # > BThing.__add__
    str(things[0])  # > BThing.__str__
    for _ in things[0]:  # > BThing.__iter__ BThing.__next__
        pass
    things.clear()  # > BThing.__del__


def b_delete(n):
    thing = BThing(n)  # > BThing.__init__
    del thing  # > BThing.__del__


def b_filter(data):
    return list(filter(lambda n: n % 2, data))  # > b_filter.<lambda>


def a_run(data):
    a_sorted(data)  # > a_sorted
    a_map(data)  # > a_map
    a_reduce(data)  # > a_reduce
    a_thing(7)  # > a_thing


def b_run(data):
    b_sorted(data)  # > b_sorted
    b_delete(7)  # > b_delete
    b_filter(data)  # > b_filter


def main(seconds):
    data = [7, 3, 9, 1, 5, 8, 2]
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        a_run(data)  # > a_run
        b_run(data)  # > b_run


print("ready", flush=True)
main(float(sys.argv[1]))  # > main
