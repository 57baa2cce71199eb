"""What tools/demo profiles: reads the standard library and does with it what programs do, on four threads.

Compiles its modules, turns their syntax trees into JSON and back, searches them with regular expressions, sorts their lines.
usage: demo_program.py [SECONDS OF CPU TIME]
"""
import ast
import collections
import json
import os
import re
import sys
import threading
import time

WORD = re.compile(r"\b[A-Za-z_][A-Za-z_0-9]*\b")
DEFINITION = re.compile(r"^[ \t]*(?:async[ \t]+)?(def|class)[ \t]+(\w+)[^\n]*:", re.MULTILINE)
STRING = re.compile(r"'(?:[^'\\\n]|\\.)*'" + r'|"(?:[^"\\\n]|\\.)*"')


def standard_library(limit):
    """Paths and texts of the library's modules, in order of their names."""
    directory = os.path.dirname(os.__file__)
    for name in sorted(os.listdir(directory)):
        if name.endswith(".py") and limit > 0:
            limit -= 1
            with open(os.path.join(directory, name), encoding="utf-8") as file:
                yield name, file.read()


def compile_modules(sources):
    """The number of bytes of bytecode in all functions of all modules."""
    def size(code):
        return len(code.co_code) + sum(size(part) for part in code.co_consts if hasattr(part, "co_code"))

    return sum(size(compile(text, name, "exec", dont_inherit=True)) for name, text in sources)


def plain(node):
    """A syntax tree as lists and dictionaries."""
    if isinstance(node, ast.AST):
        fields = {name: plain(value) for name, value in ast.iter_fields(node)}
        fields["kind"] = type(node).__name__
        return fields
    if isinstance(node, list):
        return [plain(item) for item in node]
    return node if isinstance(node, (str, int, float, bool, type(None))) and node == node else repr(node)


def exchange_json(sources):
    """The number of characters that the syntax trees take as JSON."""
    characters = 0
    for name, text in sources:
        tree = plain(ast.parse(text, name))
        written = json.dumps(tree, sort_keys=True)
        if json.loads(written) != tree:
            raise ValueError("the syntax tree of %s does not survive JSON" % name)
        characters += len(written)
    return characters


def search_text(sources):
    """The most frequent word outside of strings, and how many functions and classes are defined."""
    words, definitions = collections.Counter(), 0
    for _, text in sources:
        definitions += len(DEFINITION.findall(text))
        words.update(WORD.findall(STRING.sub("", text)))
    return words.most_common(1)[0][0], definitions


def sort_lines(sources):
    """The longest line, of all lines sorted by length and text."""
    lines = [line.strip() for _, text in sources for line in text.splitlines()]
    return len(sorted(lines, key=lambda line: (len(line), line))[-1])


def repeat(work, sources, seconds, results):
    """Does `work` again and again until this thread has used `seconds` of CPU time."""
    rounds, start = 0, time.thread_time()
    while time.thread_time() - start < seconds:
        results[work.__name__] = work(sources)
        rounds += 1
    results[work.__name__] = "%s (%d rounds)" % (results[work.__name__], rounds)


def main():
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 5.0
    sources = list(standard_library(60))
    results = {}
    shares = ((compile_modules, 0.35), (exchange_json, 0.35), (search_text, 0.2))
    threads = [threading.Thread(target=repeat, name=work.__name__, args=(work, sources, seconds * share, results))
               for work, share in shares]
    for thread in threads:
        thread.start()
    repeat(sort_lines, sources, seconds * 0.1, results)
    for thread in threads:
        thread.join()
    for name, result in sorted(results.items()):
        print("%-16s %s" % (name, result))


if __name__ == "__main__":
    main()
