# Await chains as tasks of an asyncio loop. Usage: asyncio_tasks.py SECONDS
#: task a_task
#: task b_task
import asyncio
import sys
import time


async def a_leaf(n):
    await asyncio.sleep(0)  # > lib
    return n


async def a_middle(n):
    return await a_leaf(n)  # > a_leaf


async def a_task(end):
    while time.monotonic() < end:
        for n in range(10):
            await a_middle(n)  # > a_middle


async def b_leaf(x, y):
    z = x + y
    await asyncio.sleep(0)  # > lib
    return z


async def b_other(n):
    return n


async def b_middle(n):
    n = await b_other(n)  # > b_other
    await b_leaf(n, n)  # > b_leaf


async def b_task(end):
    n = 0
    while time.monotonic() < end:
        await b_middle(n)  # > b_middle
        n += 1


def main(seconds):
    end = time.monotonic() + seconds
    loop = asyncio.new_event_loop()  # > lib
    asyncio.set_event_loop(loop)  # > lib
    a = a_task(end)  # > a_task
    b = b_task(end)  # > b_task
    tasks = [loop.create_task(a), loop.create_task(b)]  # > lib
    loop.run_until_complete(asyncio.wait(tasks))  # > lib
    loop.close()  # > lib


print("ready", flush=True)
main(float(sys.argv[1]))  # > main lib
