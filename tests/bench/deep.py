"""What tests/bench/agent_cost runs: work at the end of 50 frames. usage: deep.py ROUNDS same|varied

same    every stack is like the one before it
varied  every stack takes other lines from its root on: the most that a recording has to store for a sample
"""
import random
import sys

DEPTH = 50


def work():
    total = 0
    for i in range(300):
        total += i * i % 7
    return total


def descend(depth, path):
    if depth == 0:
        return work()
    if path & 1:
        return descend(depth - 1, path >> 1)
    return descend(depth - 1, path >> 1)


def main(rounds, kind):
    bits = random.Random(1).getrandbits
    for _ in range(rounds):
        # <module>, main, 47 times descend, work: 50 frames.
        descend(DEPTH - 4, bits(DEPTH) if kind == "varied" else 0)


main(int(sys.argv[1]), sys.argv[2])
