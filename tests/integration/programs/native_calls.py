"""Calls the C++ extension of native/extension.cc, which calls back, and answers commands: `call BUILD KIND` waits or spins in `leaf`.

    native_calls.py DIRECTORY [BUILD KIND SECONDS]

With three more arguments it does that alone: leaf spins for so many seconds of CPU time.
"""
import importlib
import sys
import threading
import time

sys.path.insert(0, sys.argv[1])
released = threading.Event()
deadline = [None]


def spin():
    print("inside", flush=True)
    i = 0
    while not released.is_set() if deadline[0] is None else time.process_time() < deadline[0]:
        for i in range(2000):
            i = i * i % 7


def wait():
    print("inside", flush=True)
    released.wait()


def sleep():
    print("inside", flush=True)
    while not released.is_set():
        time.sleep(0.5)


KINDS = {"spin": spin, "wait": wait, "sleep": sleep}


def leaf(kind):
    KINDS[kind]()  # <leaf>


def outer(extension, function, kind):
    def callback():
        leaf(kind)  # <callback>

    getattr(extension, function)(callback)  # <outer>


def main():
    if len(sys.argv) > 2:
        build, function, seconds = sys.argv[2:]
        extension = importlib.import_module(build)
        deadline[0] = time.process_time() + float(seconds)
        outer(extension, function, "spin")  # <alone>
        return
    print("ready", flush=True)
    while True:
        words = sys.stdin.readline().split()
        if not words:
            break
        extension = importlib.import_module(words[1])
        released.clear()
        listener = threading.Thread(target=lambda: (sys.stdin.readline(), released.set()))
        listener.start()
        if words[0] == "grind":
            extension.start_grinding()
            print("inside", flush=True)
            released.wait()
            extension.stop_grinding()
        else:
            outer(extension, words[0], words[2])  # <main>
        listener.join()
        print("released", flush=True)


main()
