# Asynchronous generators and comprehensions (Python 3.6 on). Usage: async_generators.py SECONDS
#: since 3.6
import sys
import time
import types


@types.coroutine  # > <module>>lib
def a_pause():  # > <module>>lib
    yield


async def a_items(n):
    for i in range(n):
        await a_pause()  # > a_pause
        yield i


async def a_collect(n):
    total = 0
    async for value in a_items(n):  # > a_items
        total += value
    return total


async def a_list(n):
    items = a_items(n)  # > a_items
    return [value async for value in items]  # > a_items@>=3.12 a_list.<listcomp>@<3.12 a_list.<listcomp>>a_items@<3.12


async def a_main(n):
    await a_collect(n)  # > a_collect
    await a_list(n)  # > a_list


@types.coroutine  # > <module>>lib
def b_pause(x):  # > <module>>lib
    y = x
    yield y


async def b_inner(n):
    i = 0
    while i < n:
        yield i
        await b_pause(i)  # > b_pause
        i += 1


async def b_filter(n):
    async for value in b_inner(n):  # > b_inner
        if value % 2:
            yield value


async def b_main(n):
    async for value in b_filter(n):  # > b_filter
        value += 1


def drive(n):
    a = a_main(n)  # > a_main
    b = b_main(n)  # > b_main
    running = [a, b]
    while running:
        for coroutine in list(running):
            try:
                coroutine.send(None)  # > a_main b_main
            except StopIteration:
                running.remove(coroutine)


def main(seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        drive(5)  # > drive


print("ready", flush=True)
main(float(sys.argv[1]))  # > main
