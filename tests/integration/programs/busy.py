# Burns CPU time in burn(), called from outer(), prints its arguments and ends as told.
# Usage: busy.py SECONDS [exit STATUS | raise | abort | signal NUMBER | os_exit STATUS | return]
import os
import signal
import sys
import time


def burn(seconds):
    end = time.clock_gettime(time.CLOCK_THREAD_CPUTIME_ID) + seconds
    while time.clock_gettime(time.CLOCK_THREAD_CPUTIME_ID) < end:
        pass


def outer(seconds):
    burn(seconds)


def leave(how, value):
    if how == "exit":
        sys.exit(int(value))
    if how == "raise":
        raise RuntimeError("as asked")
    if how == "abort":
        os.abort()
    if how == "signal":
        signal.signal(int(value), signal.SIG_DFL) if int(value) != signal.SIGKILL else None
        os.kill(os.getpid(), int(value))
    if how == "os_exit":
        os._exit(int(value))


outer(float(sys.argv[1]))
print("arguments", sys.argv[1:])
sys.stdout.flush()
sys.stderr.write("to stderr\n")
leave(*(sys.argv[2:] + ["return", ""])[:2])
