# Threads in system calls that are not restarted after an interruption, by way of ctypes, since Python itself repeats them:
# some wait long, some wait briefly and burn CPU time in between, so that a look at them meets them at either.
# `count` on standard input prints, as JSON, {call: [times called, times interrupted, other errors]}; `end` ends it.
# Usage: eintr.py
import ctypes
import errno
import json
import sys
import threading

libc = ctypes.CDLL(None, use_errno=True)
counts = {}
semaphores = []
IPC_CREAT, IPC_RMID = 0o1000, 0


class Timespec(ctypes.Structure):
    _fields_ = [("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long)]


class Pollfd(ctypes.Structure):
    _fields_ = [("fd", ctypes.c_int), ("events", ctypes.c_short), ("revents", ctypes.c_short)]


class Sembuf(ctypes.Structure):
    _fields_ = [("number", ctypes.c_ushort), ("operation", ctypes.c_short), ("flags", ctypes.c_short)]


def timespec(milliseconds):
    return Timespec(0, milliseconds * 1000000)


def make_epoll_wait(milliseconds):
    fd = libc.epoll_create1(0)
    events = ctypes.create_string_buffer(64)
    return lambda: libc.epoll_wait(fd, events, 4, milliseconds)


def make_poll(milliseconds):
    fds = Pollfd(-1, 1, 0)
    return lambda: libc.poll(ctypes.byref(fds), 1, milliseconds)


def make_select(milliseconds):
    def call():
        wait = Timespec(0, milliseconds * 1000)  # a timeval
        return libc.select(0, None, None, None, ctypes.byref(wait))
    return call


def make_semtimedop(milliseconds):
    semaphore = libc.semget(0, 1, 0o600 | IPC_CREAT)
    semaphores.append(semaphore)
    take, wait = Sembuf(0, -1, 0), timespec(milliseconds)
    return lambda: libc.semtimedop(semaphore, ctypes.byref(take), 1, ctypes.byref(wait))


def make_nanosleep(milliseconds):
    wait = timespec(milliseconds)
    return lambda: libc.nanosleep(ctypes.byref(wait), None)


def wait_often(name, call, burn):
    count = counts.setdefault(name, [0, 0, 0])
    while True:
        ctypes.set_errno(0)
        result = call()
        error = ctypes.get_errno() if result < 0 else 0
        count[0] += 1
        if error == errno.EINTR:
            count[1] += 1
        elif error not in (0, errno.EAGAIN):
            count[2] += 1
        total = 0
        for i in range(burn):
            total += i


def main():
    makers = {"epoll_wait": make_epoll_wait, "poll": make_poll, "select": make_select, "semtimedop": make_semtimedop,
              "nanosleep": make_nanosleep}
    for name, make in sorted(makers.items()):
        for kind, milliseconds, burn in (("long", 50, 0), ("brief", 1, 1500)):
            thread = threading.Thread(target=wait_often, args=("%s %s" % (kind, name), make(milliseconds), burn))
            thread.daemon = True
            thread.start()
    print("ready", flush=True)
    try:
        for line in sys.stdin:
            if line == "end\n":
                break
            print(json.dumps(counts), flush=True)
    finally:
        for semaphore in semaphores:  # they would outlive the program
            libc.semctl(semaphore, 0, IPC_RMID)


main()
