# Thread churn: short threads of either family beside two long ones. Usage: threads.py SECONDS
#: thread a_short
#: thread b_short
#: thread a_long
#: thread b_long
import sys
import threading
import time


def a_leaf(n):
    return n + 1


def a_work(n):
    return a_leaf(n) + a_leaf(n)  # > a_leaf


def a_short():
    for n in range(50):
        a_work(n)  # > a_work


def a_items(n):
    for i in range(n):
        yield a_leaf(i)  # > a_leaf


def a_long(end):
    while time.monotonic() < end:
        for n in a_items(50):  # > a_items
            a_work(n)  # > a_work


def b_leaf(x, y, z):
    return x + y + z


def b_work(n):
    return b_leaf(n, n, n)  # > b_leaf


def b_short():
    for n in range(50):
        b_work(n)  # > b_work


def b_up(n):
    return b_down(n - 1)  # > b_down


def b_down(n):
    if n > 0:
        return b_up(n - 1)  # > b_up
    return b_work(n)  # > b_work


def b_long(end):
    while time.monotonic() < end:
        b_down(60)  # > b_down


def run_short():
    threads = []
    for target in (a_short, b_short, a_short):
        thread = threading.Thread(target=target)  # > lib
        thread.start()  # > lib
        threads.append(thread)
    for thread in threads:
        thread.join()  # > lib
    thread = None
    threads.clear()  # > lib


def main(seconds):
    end = time.monotonic() + seconds
    long_ones = []
    for target in (a_long, b_long):
        thread = threading.Thread(target=target, args=(end,), name=target.__name__)  # > lib
        thread.start()  # > lib
        long_ones.append(thread)
    while time.monotonic() < end:
        run_short()  # > run_short
    for thread in long_ones:
        thread.join()  # > lib


print("ready", flush=True)
main(float(sys.argv[1]))  # > main lib
