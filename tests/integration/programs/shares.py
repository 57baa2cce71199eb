# Burns 60, 30 and 10 % of its CPU time in three functions, in slices whose length is never in step with a sampling interval.
# Prints what each really took, by the thread's own CPU clock, and the whole by getrusage. Usage: shares.py SECONDS
import json
import random
import resource
import sys
import time


def cpu():
    return time.clock_gettime(time.CLOCK_THREAD_CPUTIME_ID)


def used():
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def sixty(end):
    while time.clock_gettime(3) < end:
        pass


def thirty(end):
    while time.clock_gettime(3) < end:
        pass


def ten(end):
    while time.clock_gettime(3) < end:
        pass


def main(seconds):
    random.seed(1)
    taken = {"sixty": 0.0, "thirty": 0.0, "ten": 0.0}
    started, before = cpu(), used()
    mark = started
    while mark - started < seconds:
        scale = random.uniform(0.5, 1.0)
        for function, slice in ((sixty, 0.060), (thirty, 0.030), (ten, 0.010)):
            # What came too long or too short before is made up for now.
            planned = slice / 0.1 * (mark - started) + slice * scale
            function(mark + max(0.002, planned - taken[function.__name__]))
            now = cpu()
            taken[function.__name__] += now - mark
            mark = now
    taken["total"] = used() - before
    print(json.dumps(taken))


assert time.CLOCK_THREAD_CPUTIME_ID == 3
main(float(sys.argv[1]))
