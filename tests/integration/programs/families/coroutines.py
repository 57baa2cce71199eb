# Await chains driven by send() and throw(). Usage: coroutines.py SECONDS
import sys
import time
import types


@types.coroutine  # > <module>>lib
def a_pause():  # > <module>>lib
    yield


async def a_inner(n):
    await a_pause()  # > a_pause
    return n


async def a_middle(n):
    n += await a_inner(n)  # > a_inner
    return n + await a_inner(n)  # > a_inner


async def a_outer(n):
    return await a_middle(n)  # > a_middle


def a_drive(n):
    coroutine = a_outer(n)  # > a_outer
    try:
        while True:
            coroutine.send(None)  # > a_outer
    except StopIteration:
        pass


@types.coroutine  # > <module>>lib
def b_pause(x):  # > <module>>lib
    y = x
    yield y
    yield x


class BAwaitable:
    def __await__(self):
        yield self
        return self


async def b_inner(n):
    await BAwaitable()  # > BAwaitable.__await__
    await b_pause(n)  # > b_pause


async def b_catching(n):
    try:
        await b_pause(n)  # > b_pause
    except ValueError:
        return n


async def b_outer(n):
    await b_inner(n)  # > b_inner
    for _ in range(2):
        await b_inner(n)  # > b_inner


def b_drive(n):
    coroutine = b_outer(n)  # > b_outer
    try:
        while True:
            coroutine.send(None)  # > b_outer
    except StopIteration:
        pass


def b_throw(n):
    coroutine = b_catching(n)  # > b_catching
    coroutine.send(None)  # > b_catching
    try:
        coroutine.send(None)  # > b_catching
        coroutine.send(None)  # > b_catching
    except StopIteration:
        pass


def alternate(n):
    a = a_outer(n)  # > a_outer
    b = b_outer(n)  # > b_outer
    running = [a, b]
    while running:
        for coroutine in list(running):
            try:
                coroutine.send(None)  # > a_outer b_outer
            except StopIteration:
                running.remove(coroutine)


def main(seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for n in range(10):
            a_drive(n)  # > a_drive
            b_drive(n)  # > b_drive
            b_throw(n)  # > b_throw
            alternate(n)  # > alternate


print("ready", flush=True)
main(float(sys.argv[1]))  # > main
