# Exceptions raised through levels and handled, `finally` and `with`. Usage: exceptions.py SECONDS
import sys
import time


class AError(Exception):
    def __init__(self, n):
        self.n = n


def a_raise(n):
    raise AError(n)  # > AError.__init__


def a_cleanup(n):
    return n


def a_third(n):
    try:
        a_raise(n)  # > a_raise
    finally:
        a_cleanup(n)  # > a_cleanup


def a_second(n):
    a_third(n)  # > a_third


def a_first(n):
    try:
        a_second(n)  # > a_second
    except AError as error:
        return a_handle(error)  # > a_handle


def a_handle(error):
    return error.n


class BGuard:
    def __enter__(self):
        return self

    def __exit__(self, kind, error, traceback):
        b_note(kind)  # > b_note
        return True


def b_note(kind):
    return kind


def b_raise(n):
    if n % 2:
        raise ValueError(n)
    return n


def b_guarded(n):
    with BGuard():  # > BGuard.__enter__ BGuard.__exit__
        b_raise(n)  # > b_raise BGuard.__exit__
    return n


def b_chained(n):
    try:
        b_raise(n)  # > b_raise
    except ValueError as error:
        raise KeyError(n) from error


def b_first(n):
    b_guarded(n)  # > b_guarded
    try:
        b_chained(n)  # > b_chained
    except KeyError:
        b_note(n)  # > b_note


def a_run():
    for n in range(10):
        a_first(n)  # > a_first


def b_run():
    for n in range(10):
        b_first(n)  # > b_first


def main(seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        a_run()  # > a_run
        b_run()  # > b_run


print("ready", flush=True)
main(float(sys.argv[1]))  # > main
