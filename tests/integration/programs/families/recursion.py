# Deep recursion, each family a cycle of three functions. Usage: recursion.py SECONDS DEPTH
# Where a_bottom or b_bottom shows, its family must be DEPTH frames deep.
#: depth a_bottom b_bottom
import sys
import time


def a_bottom(n):
    return n


def a_third(n):
    if n == 0:
        return a_bottom(n)  # > a_bottom
    return a_first(n - 1)  # > a_first


def a_second(n):
    if n == 0:
        return a_bottom(n)  # > a_bottom
    x = a_third(n - 1)  # > a_third
    return x


def a_first(n):
    if n:
        return a_second(n - 1)  # > a_second
    return a_bottom(n)  # > a_bottom


def b_bottom(x, y):
    return x + y


def b_third(x, y):
    if x == 0:
        return b_bottom(x, y)  # > b_bottom
    z = w = v = x
    return b_first(x - 1, z + w + v)  # > b_first


def b_second(x, y):
    if x:
        return b_third(x - 1, y)  # > b_third
    return b_bottom(x, y)  # > b_bottom


def b_first(x, y):
    z = x
    if x:
        return b_second(x - 1, z)  # > b_second
    return b_bottom(x, y)  # > b_bottom


def a_run(depth):
    return a_first(depth)  # > a_first


def b_run(depth):
    return b_first(depth, depth)  # > b_first


def main(seconds, depth):
    sys.setrecursionlimit(depth + 200)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        a_run(depth)  # > a_run
        b_run(depth)  # > b_run


print("ready", flush=True)
main(float(sys.argv[1]), int(sys.argv[2]))  # > main
