# Burns CPU time with the GIL in holding() and without it, compressing, in releasing(), in turn. Usage: gil.py SECONDS
import json
import os
import sys
import time
import zlib

DATA = os.urandom(1 << 20) * 4


def cpu():
    return time.clock_gettime(time.CLOCK_THREAD_CPUTIME_ID)


def holding(end):
    while cpu() < end:
        pass


def releasing():
    zlib.compress(DATA, 9)


def main(seconds):
    taken = {"holding": 0.0, "releasing": 0.0}
    while sum(taken.values()) < seconds:
        before = cpu()
        releasing()
        middle = cpu()
        holding(2 * middle - before)
        taken["releasing"] += middle - before
        taken["holding"] += cpu() - middle
    print(json.dumps(taken))


main(float(sys.argv[1]))
