# Threads of several kinds, each burning SECONDS of CPU time in a function of its own; prints {function: kernel thread id}.
# Usage: threads.py SECONDS
import ctypes
import json
import os
import sys
import threading
import time

SECONDS = float(sys.argv[1])
SYS_GETTID = {"x86_64": 186, "aarch64": 178}[os.uname().machine]
libc = ctypes.CDLL(None)
tids = {}


def burn(label):
    tids[label] = libc.syscall(SYS_GETTID)
    end = time.clock_gettime(time.CLOCK_THREAD_CPUTIME_ID) + SECONDS
    while time.clock_gettime(time.CLOCK_THREAD_CPUTIME_ID) < end:
        pass


def in_main():
    burn("in_main")


def in_named():
    burn("in_named")


def in_unicode():
    burn("in_unicode")


def in_unnamed():
    burn("in_unnamed")


def in_renamed():
    threading.current_thread().name = "after"
    burn("in_renamed")


def in_late():
    burn("in_late")


def in_starter():
    burn("in_starter")
    run(threading.Thread(target=in_late, name="late"))


def in_foreign(_):
    """Runs in a thread that pthread_create made; `threading` has not heard of it."""
    burn("in_foreign")
    return 0


def run(*threads):
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def run_foreign():
    routine = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p)(in_foreign)
    thread = ctypes.c_ulong()
    assert libc.pthread_create(ctypes.byref(thread), None, routine, None) == 0
    libc.pthread_join.argtypes = [ctypes.c_ulong, ctypes.c_void_p]
    libc.pthread_join(thread, None)


run(threading.Thread(target=in_named, name="worker"), threading.Thread(target=in_unicode, name="\u03a9 \"quoted\" \U0001f600"))
run(threading.Thread(target=in_unnamed), threading.Thread(target=in_renamed, name="before"))
run(threading.Thread(target=in_starter, name="starter"))
run_foreign()
in_main()
print(json.dumps(tids))
