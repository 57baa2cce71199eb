# Counts the signals that arrive while the main thread burns CPU time: the C-level handler writes a byte for each.
# `count` on standard input prints how many there were. Usage: signals.py SIGNAL
import fcntl
import os
import signal
import sys
import threading

NUMBER = int(sys.argv[1])
F_SETPIPE_SZ = 1031
arrived = 0


def read_wakeups(fd):
    global arrived
    while True:
        arrived += len(os.read(fd, 65536))


def answer():
    for _ in sys.stdin:
        print(arrived, flush=True)


def on_signal(number, frame):
    pass


def burn():
    total = 0
    while True:
        for i in range(1000):
            total += i


def main():
    reader, writer = os.pipe()
    fcntl.fcntl(writer, F_SETPIPE_SZ, 1 << 20)
    os.set_blocking(writer, False)
    signal.signal(NUMBER, on_signal)
    signal.set_wakeup_fd(writer)
    for target, args in ((read_wakeups, (reader,)), (answer, ())):
        thread = threading.Thread(target=target, args=args)
        thread.daemon = True
        thread.start()
    print("ready", flush=True)
    burn()


main()
