# Generator expressions and comprehensions, nested and calling functions. Usage: genexprs.py SECONDS
import sys
import time


def a_item(n):
    return n + 1


def a_sum(n):
    return sum(a_item(i) for i in range(n))  # > a_sum.<genexpr> a_sum.<genexpr>>a_item


def a_list(n):
    return [a_item(i) for i in range(n)]  # > a_list.<listcomp>@<3.12 a_list.<listcomp>>a_item@<3.12 a_item@>=3.12


def a_numbers(n):
    return (i for i in range(n))  # > a_numbers.<genexpr>


def a_any(n):
    numbers = a_numbers(n)  # > a_numbers
    return any(i > n for i in numbers)  # > a_any.<genexpr> a_any.<genexpr>>a_numbers.<genexpr>


def b_even(n):
    return n % 2 == 0


def b_tuple(n):
    return tuple(i for i in range(n) if b_even(i))  # > b_tuple.<genexpr> b_tuple.<genexpr>>b_even


def b_set(n):
    return {b_even(i) for i in range(n)}  # > b_set.<setcomp>@<3.12 b_set.<setcomp>>b_even@<3.12 b_even@>=3.12


def b_dict(n):
    return {i: b_even(i) for i in range(n)}  # > b_dict.<dictcomp>@<3.12 b_dict.<dictcomp>>b_even@<3.12 b_even@>=3.12


def a_run():
    a_sum(10)  # > a_sum
    a_list(10)  # > a_list
    a_any(10)  # > a_any


def b_run():
    b_tuple(10)  # > b_tuple
    b_set(10)  # > b_set
    b_dict(10)  # > b_dict


def main(seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        a_run()  # > a_run
        b_run()  # > b_run


print("ready", flush=True)
main(float(sys.argv[1]))  # > main
