"""What tests/bench/agent_cost runs: JSON, regular expressions, recursion, sorting, always the same. usage: mixed.py ROUNDS"""
import json
import re
import sys

WORD = re.compile(r"\b([a-z]+)([0-9]*)\b")
TEXT = " ".join("word%d other%d" % (i, i * i) for i in range(2000))
TREE = {"key%d" % i: [{"name": "n%d" % j, "value": i * j, "tags": ["a", "b"]} for j in range(30)] for i in range(30)}


class Node(object):
    def __init__(self, depth):
        self.children = [Node(depth - 1) for _ in range(2)] if depth else []

    def count(self):
        return 1 + sum(child.count() for child in self.children)


def fibonacci(n):
    return n if n < 2 else fibonacci(n - 1) + fibonacci(n - 2)


def exchange_json():
    return len(json.loads(json.dumps(TREE, sort_keys=True)))


def search_words():
    found = {}
    for match in WORD.finditer(TEXT):
        found[match.group(1)] = found.get(match.group(1), 0) + len(match.group(2))
    return found


def sort_words():
    return sorted(TEXT.split(), key=lambda word: (word[-1], len(word)))[0]


def main(rounds):
    for _ in range(rounds):
        fibonacci(17)
        Node(9).count()
        exchange_json()
        search_words()
        sort_words()


main(int(sys.argv[1]))
