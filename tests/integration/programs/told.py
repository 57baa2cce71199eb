# THREADS threads burn CPU time in burn(), while the main thread does what it is told on standard input, a line each:
#   count                 prints how many rounds each thread has done
#   exit STATUS           ends
#   exec PROGRAM ARG...   becomes another program
#   fork SECONDS          prints the exit status of a child that burns in in_child()
#   children PYTHON SECONDS   prints `done` after a multiprocessing child (in_child) and a subprocess (busy.py's outer) have ended
# Usage: told.py [THREADS]
import os
import subprocess
import sys
import threading
import time

rounds = [0] * (int(sys.argv[1]) if len(sys.argv) > 1 else 1)


def burn(index):
    while True:
        work(index)


def work(index):
    total = 0
    for i in range(1000):
        total += i
    rounds[index] += 1


def in_child(seconds):
    end = time.clock_gettime(time.CLOCK_THREAD_CPUTIME_ID) + seconds
    while time.clock_gettime(time.CLOCK_THREAD_CPUTIME_ID) < end:
        pass


def fork(seconds):
    pid = os.fork()
    if pid == 0:
        in_child(float(seconds))
        os._exit(5)
    status = os.waitpid(pid, 0)[1]
    return os.WEXITSTATUS(status) if os.WIFEXITED(status) else -os.WTERMSIG(status)


def children(python, seconds):
    import multiprocessing
    child = multiprocessing.get_context("fork").Process(target=in_child, args=(float(seconds),))
    child.start()
    busy = os.path.join(os.path.dirname(os.path.abspath(__file__)), "busy.py")
    subprocess.check_call([python, busy, seconds], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    child.join()
    return "done" if child.exitcode == 0 else "the child ended with %s" % child.exitcode


def obey(word, arguments):
    if word == "count":
        return " ".join(map(str, rounds))
    if word == "fork":
        return fork(*arguments)
    if word == "children":
        return children(*arguments)
    if word == "exec":
        os.execv(arguments[0], arguments)
    if word == "exit":
        sys.stdout.flush()
        os._exit(int(arguments[0]))
    return "unknown: " + word


def main():
    for index in range(len(rounds)):
        thread = threading.Thread(target=burn, args=(index,))
        thread.daemon = True
        thread.start()
    print("ready", flush=True)
    while True:
        command = sys.stdin.readline().split()
        if not command:
            break
        print(obey(command[0], command[1:]), flush=True)


main()
