# Works and sleeps by turns, once a line came on stdin, and prints how long it did either, its CPU time, and how long it was
# ready to run without a processor. Usage: work_and_rest.py SECONDS
import json
import sys
import time


def work():
    total = 0
    for i in range(40000):
        total += i * i % 7
    return total


def rest():
    time.sleep(0.004)


def delay():
    with open("/proc/thread-self/schedstat") as file:
        return int(file.read().split()[1]) / 1e9


def main(seconds):
    print("ready", flush=True)
    sys.stdin.readline()
    taken = {"work": 0.0, "rest": 0.0}
    begin = now = time.monotonic()
    burnt, delayed = time.clock_gettime(time.CLOCK_THREAD_CPUTIME_ID), delay()
    while now - begin < seconds:
        work()
        worked = time.monotonic()
        rest()
        rested = time.monotonic()
        taken["work"] += worked - now
        taken["rest"] += rested - worked
        now = rested
    taken["cpu"] = time.clock_gettime(time.CLOCK_THREAD_CPUTIME_ID) - burnt
    taken["delay"] = delay() - delayed
    print(json.dumps(taken), flush=True)


main(float(sys.argv[1]))
