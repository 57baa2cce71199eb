# Code objects compiled, run and freed again and again, all of one shape, so that addresses are reused. Usage: churn.py SECONDS
# Code number N of a family lies in a file of its own, `<a_churn N>`, moved down by N % 7 lines; no two numbers may mix.
#: churn
import sys
import time

TEXT = """
def {0}_fn_{1}(n):
    for i in range(9):
        n += {0}_in_{1}(i)
    return n


def {0}_in_{1}(n):
    return n + 1


{0}_fn_{1}(1)
"""


def a_churn(number):
    code = compile("\n" * (number % 7) + TEXT.format("a", number), "<a_churn %d>" % number, "exec")
    names = {}
    exec(code, names)  # > churned


def b_churn(number):
    code = compile("\n" * (number % 7) + TEXT.format("b", number), "<b_churn %d>" % number, "exec")
    names = {}
    exec(code, names)  # > churned


def main(seconds):
    number = 10000
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        a_churn(number)  # > a_churn
        b_churn(number)  # > b_churn
        number += 1


print("ready", flush=True)
main(float(sys.argv[1]))  # > main
