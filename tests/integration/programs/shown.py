# Burns CPU time in a function that calls itself, while another thread waits in rest().
# Usage: shown.py [plain | hostile | wide | many]   what the function is called, or how many there are
import sys
import threading
import time


def burn(depth):
    if depth:
        return burn(depth - 1)
    end = time.perf_counter() + 0.002
    while time.perf_counter() < end:
        sum(range(100))


def rest():
    time.sleep(1000)


def make_function(name, filename):
    scope = {"burn": burn}
    exec(compile("def function(depth):\n  if depth: return function(depth - 1)\n  for i in range(100000): pass\n", filename, "exec"), scope)
    scope["function"].__code__ = scope["function"].__code__.replace(co_name=name, **({"co_qualname": name} if sys.version_info >= (3, 11) else {}))
    return scope["function"]


def main():
    kind = sys.argv[1] if len(sys.argv) > 1 else "plain"
    functions = [burn]
    if kind == "hostile":
        functions = [make_function("evil\x1b]0;taken\x07name", "\x1b[2Jfile\u202e.py")]
    elif kind == "wide":
        functions = [make_function("\u8a08\u7b97" * 30, "\u6587\u4ef6.py"), make_function("cafe\u0301", "x.py")]
    elif kind == "many":
        functions = [make_function("function_%02d" % i, "many.py") for i in range(60)]
    thread = threading.Thread(target=rest)
    thread.daemon = True
    thread.start()
    print("ready", flush=True)
    while True:
        for function in functions:
            function(5)


main()
