"""Prints where the time of a speedscope file went: show_profile.py PROFILE [ROWS]."""
import collections
import json
import os
import sys


def shorten(path, width):
    return path if len(path) <= width else "..." + path[-(width - 3):]


def main(path, rows=15):
    with open(path, encoding="utf-8") as file:
        document = json.load(file)
    frames = document["shared"]["frames"]
    # A function is its name and file: recursion and its many lines count once.
    keys = [(frame["name"], frame.get("file", "")) for frame in frames]
    own, total = collections.Counter(), collections.Counter()
    threads = []
    for profile in document["profiles"]:
        for stack, weight in zip(profile["samples"], profile["weights"]):
            if stack:
                own[keys[stack[-1]]] += weight
            for key in {keys[index] for index in stack}:
                total[key] += weight
        threads.append((profile["name"], sum(profile["weights"])))
    everything = sum(weight for _, weight in threads)

    print("\n%s: %.2f s in %d threads" % (document.get("name") or os.path.basename(path), everything, len(threads)))
    if not everything:
        print("no samples: the program used hardly any CPU time")
        return
    for name, weight in sorted(threads, key=lambda thread: -thread[1])[:8]:
        print("  %7.2f s  %s" % (weight, name))
    print("\n    self   total   function")
    for key, weight in own.most_common(rows):
        name, file = key
        print("  %5.1f %%  %5.1f %%  %s (%s)" % (100 * weight / everything, 100 * total[key] / everything, name, shorten(file, 60)))


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:3]))
