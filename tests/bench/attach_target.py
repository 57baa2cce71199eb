"""What tests/bench/attach_cost samples: a busy thread, and threads that wait. usage: attach_target.py FILE DEPTH PARKED

The busy thread calls a function again and again at the end of DEPTH frames, and counts the calls in FILE, 8 bytes.
"""
import mmap
import struct
import sys
import threading


def work():
    total = 0
    for i in range(300):
        total += i * i % 7
    return total


def run(counter):
    calls = 0
    while True:
        for _ in range(20):
            work()
        calls += 20
        struct.pack_into("<Q", counter, 0, calls)


def descend(depth, counter):
    if depth > 0:
        descend(depth - 1, counter)
    else:
        run(counter)


def main(path, depth, parked):
    for _ in range(parked):
        threading.Thread(target=threading.Event().wait, daemon=True).start()
    with open(path, "r+b") as file:
        counter = mmap.mmap(file.fileno(), 8)
    sys.setrecursionlimit(depth + 100)
    print("ready", flush=True)
    # <module>, main, descend, run, work: 5 frames.
    descend(depth - 5, counter)


main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
