# Starts other processes in several ways; each burns SECONDS of CPU time in a function of its own.
# Usage: processes.py SECONDS (fork | nested | multiprocessing METHOD | subprocess PYTHON | exec PYTHON | failed_exec)
import os
import subprocess
import sys
import time

SECONDS = float(sys.argv[1])
HERE = os.path.dirname(os.path.abspath(__file__))


def burn():
    end = time.clock_gettime(time.CLOCK_THREAD_CPUTIME_ID) + SECONDS
    while time.clock_gettime(time.CLOCK_THREAD_CPUTIME_ID) < end:
        pass


def in_parent():
    burn()


def in_child(_=None):
    burn()


def in_grandchild():
    burn()


def wait(pid):
    status = os.waitpid(pid, 0)[1]
    assert status == 0, status


def fork():
    in_parent()
    pid = os.fork()
    if pid == 0:
        in_child()
        sys.exit(0)
    wait(pid)
    in_parent()


def nested():
    pid = os.fork()
    if pid == 0:
        in_child()
        inner = os.fork()
        if inner == 0:
            in_grandchild()
            os._exit(0)
        wait(inner)
        os._exit(0)
    in_parent()
    wait(pid)


def run_multiprocessing(method):
    import multiprocessing
    context = multiprocessing.get_context(method)
    children = [context.Process(target=in_child, name="child %d" % i) for i in range(3)]
    for child in children:
        child.start()
    in_parent()
    for child in children:
        child.join()
        assert child.exitcode == 0, child.exitcode


def run_subprocess(python):
    in_parent()
    print(subprocess.check_output([python, os.path.join(HERE, "busy.py"), str(SECONDS)], stderr=subprocess.STDOUT).decode())
    subprocess.check_call(["/bin/true"])
    subprocess.check_call("/bin/echo from the shell && :", shell=True)


def run_exec(python):
    in_parent()
    sys.stdout.flush()
    os.execv(python, [python, os.path.join(HERE, "busy.py"), str(SECONDS), "exit", "5"])


def failed_exec():
    in_parent()
    try:
        os.execv("/nonexistent/program", ["program"])
    except OSError as error:
        print("exec failed:", error.errno)
    in_parent()


def main(how, arguments):
    {"fork": fork, "nested": nested, "multiprocessing": run_multiprocessing, "subprocess": run_subprocess, "exec": run_exec,
     "failed_exec": failed_exec}[how](*arguments)
    print("done")


if __name__ == "__main__":
    main(sys.argv[2], sys.argv[3:])
