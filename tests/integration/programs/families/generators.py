# Generators: nested by `yield from`, driven by loops, next(), send() and zip(). Usage: generators.py SECONDS
import sys
import time


def a_helper(n):
    return n + 1


def a_inner(n):
    for i in range(n):
        yield a_helper(i)  # > a_helper


def a_outer(n):
    yield n
    yield from a_inner(n)  # > a_inner
    yield n


def a_loop():
    total = 0
    for value in a_outer(5):  # > a_outer
        total += value
    return total


def b_inner(n):
    i = 0
    while i < n:
        yield i
        i += 1


def b_middle(n):
    yield from b_inner(n)  # > b_inner
    return n


def b_outer(n):
    x = yield from b_middle(n)  # > b_middle
    y = x
    for value in b_inner(n):  # > b_inner
        yield value + y


def b_loop():
    for value in b_outer(4):  # > b_outer
        value += 1


def a_endless():
    n = 0
    while True:
        sent = yield n
        n += 1 if sent is None else sent


def b_endless():
    m = n = 0
    while True:
        yield m + n
        m += 1


def alternate_next():
    a = a_endless()  # > a_endless
    b = b_endless()  # > b_endless
    for _ in range(20):
        next(a)  # > a_endless
        next(b)  # > b_endless
        a.send(1)  # > a_endless
    a.close()  # > a_endless
    b.close()  # > b_endless


def alternate_zip():
    a = a_outer(6)  # > a_outer
    b = b_endless()  # > b_endless
    for x, y in zip(a, b):  # > a_outer b_endless
        x += y
    b.close()  # > b_endless


def main(seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for _ in range(10):
            a_loop()  # > a_loop
            b_loop()  # > b_loop
        alternate_next()  # > alternate_next
        alternate_zip()  # > alternate_zip


print("ready", flush=True)
main(float(sys.argv[1]))  # > main
