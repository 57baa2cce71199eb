# Frames with 1,500 locals: each call crosses from one chunk of the data stack to another. Usage: wide.py SECONDS
#: node a_wide <a_wide> 1-4
#: edge a_wide 3 a_narrow
#: node a_wider <a_wider> 1-4
#: edge a_wider 3 a_leaf
#: node b_wide <b_wide> 1-4
#: edge b_wide 3 b_narrow
#: node b_wider <b_wider> 1-4
#: edge b_wider 3 b_leaf
import sys
import time


def build(name, inner, count):
    names = " = ".join("v%d" % i for i in range(count))  # > build.<genexpr>
    text = "def {0}(n):\n    {1} = n\n    n += {2}(n)\n    return n\n".format(name, names, inner)
    exec(compile(text, "<%s>" % name, "exec"), globals())  # > built


build("a_wide", "a_narrow", 1500)  # > build
build("a_wider", "a_leaf", 1400)  # > build
build("b_wide", "b_narrow", 1500)  # > build
build("b_wider", "b_leaf", 1300)  # > build


def a_leaf(n):
    return n + 1


def a_narrow(n):
    a_leaf(n)  # > a_leaf
    return a_wider(n)  # > a_wider


def b_leaf(n):
    return n + 2


def b_middle(n):
    return b_wider(n)  # > b_wider


def b_narrow(n):
    return b_middle(n)  # > b_middle


def main(seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        a_wide(1)  # > a_wide
        b_wide(1)  # > b_wide


print("ready", flush=True)
main(float(sys.argv[1]))  # > main
