# A thread that sleeps, one that waits for a lock, one that burns CPU time, for SECONDS each; prints the wall time of each.
# Usage: parked.py SECONDS
import json
import sys
import threading
import time

took = {}
lock = threading.Lock()


def sleeper(seconds):
    started = time.monotonic()
    time.sleep(seconds)
    took["sleeper"] = time.monotonic() - started


def waiter(seconds):
    started = time.monotonic()
    lock.acquire(True, seconds)
    took["waiter"] = time.monotonic() - started


def runner(seconds):
    started, cpu = time.monotonic(), time.clock_gettime(time.CLOCK_THREAD_CPUTIME_ID)
    while time.monotonic() - started < seconds:
        pass
    took["runner"] = time.monotonic() - started
    took["runner's CPU"] = time.clock_gettime(time.CLOCK_THREAD_CPUTIME_ID) - cpu


lock.acquire()
threads = [threading.Thread(target=one, args=(float(sys.argv[1]),), name=one.__name__) for one in (sleeper, waiter, runner)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(json.dumps(took))
