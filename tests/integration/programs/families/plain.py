# Plain calls. Usage: plain.py SECONDS. What `# >` means: ../../families_check.py
import sys
import time


def a_three(n):
    return n + 1


def a_two(n):
    a_three(n)  # > a_three
    n += 1
    return a_three(n)  # > a_three


def a_one(n):
    n = a_two(n)  # > a_two
    return a_two(n)  # > a_two


def b_four(x, y, z):
    w = x + y
    return w + z


def b_three(n):
    one, two, three = n, n, n
    return b_four(one, two, three)  # > b_four


def b_two(n):
    return b_three(n) + b_three(n)  # > b_three


def b_one(n):
    x = b_two(n)  # > b_two
    y = b_three_again(n)  # > b_three_again
    return x + y


def b_three_again(n):
    return n


def a_run():
    for n in range(20):
        a_one(n)  # > a_one


def b_run():
    for n in range(20):
        b_one(n)  # > b_one


def main(seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        a_run()  # > a_run
        b_run()  # > b_run


print("ready", flush=True)
main(float(sys.argv[1]))  # > main
