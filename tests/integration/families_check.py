# Which stacks the programs of programs/families can have, derived from their text; everything else is impossible.
#
# A line that calls something says so: `# > callee other caller>callee callee@<3.12`. The caller is the innermost function
# around the line unless it is named; `@<3.12` and `@>=3.12` keep an entry for some versions. Functions are named by their
# qualified names without `<locals>`. `lib` stands for frames of the standard library, which may call back into the program
# only where a directive says so. Directives, one in a line that begins with `#:`
#   since 3.6                        the program needs this version
#   thread FUNCTION                  a thread's target: under the bootstrap of `threading`
#   task FUNCTION                    a task's coroutine: under the loop of `asyncio`
#   node NAME FILE FIRST-LAST        a function of generated text
#   edge CALLER LINE CALLEE          a call in generated text; a module of generated text is called `built`
#   depth FUNCTION...                where one of these shows, its family is DEPTH + 1 frames deep, and it
#   churn                            generated functions with numbers in their names and files
import ast
import collections
import os
import re

HERE = os.path.dirname(os.path.abspath(__file__))
FOLDER = os.path.join(HERE, "programs", "families")

Frame = collections.namedtuple("Frame", "name file line")
Node = collections.namedtuple("Node", "name file first last")
Kind = collections.namedtuple("Kind", "name program arguments rate")

KINDS = [Kind(name, name + ".py", [], 10000) for name in (
    "plain", "generators", "genexprs", "coroutines", "asyncio_tasks", "async_generators", "exceptions", "callbacks", "churn", "wide",
    "threads")]
# A walk of 900 frames takes long; at too high a rate the program would stand still.
KINDS[6:6] = [Kind("recursion250", "recursion.py", ["250"], 5000), Kind("recursion900", "recursion.py", ["900"], 1000)]

SCOPES = {ast.GeneratorExp: "<genexpr>", ast.ListComp: "<listcomp>", ast.SetComp: "<setcomp>", ast.DictComp: "<dictcomp>",
          ast.Lambda: "<lambda>"}
THREAD_PATH = ["_bootstrap", "_bootstrap_inner", "run"]
TASK_PATHS = [["run_until_complete", "run_forever", "_run_once", "_run"],
              ["run_until_complete", "run_forever", "_run_once", "_run", "_step"]]
CHURNED = re.compile(r"<([ab])_churn (\d+)>$")


def last_part(name):
    return name.rsplit(".", 1)[-1]


def family(name):
    """`a` or `b`, or None for what belongs to neither."""
    for part in name.split("."):
        match = re.match(r"([ab])_|([AB])[A-Z]", part)
        if match:
            return (match.group(1) or match.group(2)).lower()
    return None


def version_fits(condition, version):
    if not condition:
        return True
    match = re.match(r"(<|>=)(\d+)\.(\d+)$", condition)
    bound = (int(match.group(2)), int(match.group(3)))
    return version < bound if match.group(1) == "<" else version >= bound


class Program:
    """The legal stacks of one program on one version. `check` is given a stack, root first."""

    def __init__(self, path, version, arguments=()):
        self.path, self.version, self.arguments = path, tuple(version[:2]), list(arguments)
        with open(path) as file:
            self.text = file.read()
        self.base = os.path.basename(path)
        lines = self.text.splitlines()
        self.nodes = {"<module>": Node("<module>", self.base, 0, len(lines))}
        self.import_lines = set()
        self.edges = collections.defaultdict(set)
        self.threads, self.tasks, self.bottoms, self.since, self.churn = set(), set(), set(), (3, 5), False
        self.known = {}
        self._collect(ast.parse(self.text), "")
        for number, line in enumerate(lines, 1):
            if line.startswith("#:"):
                self._directive(line[2:].split())
            elif "  # > " in line:
                for entry in line.split("  # > ")[1].split():
                    self._mark(number, entry)
        for (caller, callee) in self.edges:
            for name in (caller, callee):
                if name not in self.nodes and name not in ("lib", "built", "churned"):
                    raise ValueError("%s: no function %r" % (self.base, name))

    @property
    def supported(self):
        return self.version >= self.since

    def _collect(self, tree, prefix):
        for child in ast.iter_child_nodes(tree):
            name = getattr(child, "name", None) if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)) else None
            name = name or SCOPES.get(type(child))
            if isinstance(child, (ast.Import, ast.ImportFrom)):
                self.import_lines.add(child.lineno)
            if name is None:
                self._collect(child, prefix)
                continue
            first = min([child.lineno] + [d.lineno for d in getattr(child, "decorator_list", [])])
            last = child.end_lineno
            if prefix + name in self.nodes:  # two generator expressions of one function
                first, last = min(first, self.nodes[prefix + name].first), max(last, self.nodes[prefix + name].last)
            self.nodes[prefix + name] = Node(prefix + name, self.base, first, last)
            if isinstance(child, ast.ClassDef):
                self.edges[prefix[:-1] or "<module>", prefix + name].add(child.lineno)
            self._collect(child, prefix + name + ".")

    def _directive(self, words):
        if words[0] == "since":
            self.since = tuple(int(part) for part in words[1].split("."))
        elif words[0] == "thread":
            self.threads.add(words[1])
        elif words[0] == "task":
            self.tasks.add(words[1])
        elif words[0] == "depth":
            self.bottoms.update(words[1:])
        elif words[0] == "churn":
            self.churn = True
        elif words[0] == "node":
            first, last = words[3].split("-")
            self.nodes[words[1]] = Node(words[1], words[2], int(first), int(last))
        elif words[0] == "edge":
            self.edges[words[1], words[3]].add(int(words[2]))
        else:
            raise ValueError("%s: unknown directive %r" % (self.base, words[0]))

    def _mark(self, line, entry):
        entry, _, condition = entry.partition("@")
        if not version_fits(condition, self.version):
            return
        caller, arrow, callee = re.match(r"(?:([^>]\S*?[\w>])(>))?([^>\s]\S*)$", entry).groups()
        if not arrow:
            around = [n for n in self.nodes.values() if n.file == self.base and n.first <= line <= n.last and
                      not last_part(n.name).startswith("<") or n.name == "<module>"]
            caller = max(around, key=lambda node: node.first).name
        self.edges[caller, callee].add(line)

    def _name_of(self, frame):
        if frame not in self.known:
            self.known[frame] = self._resolve(frame)
        return self.known[frame]

    def _resolve(self, frame):
        """The node of a frame, `built` or `churned` for modules of generated text, or None for the library."""
        if not frame.file:
            return "?"
        base = os.path.basename(frame.file)
        if base == self.base:
            plain = frame.name.replace(".<locals>", "")
            if self.version >= (3, 11):
                return plain if plain in self.nodes else "?"
            found = [n for n in self.nodes.values() if n.file == base and last_part(n.name) == last_part(plain) and
                     n.first <= frame.line <= n.last]
            if len(found) != 1:
                return "?"
            return found[0].name if plain in (last_part(found[0].name), found[0].name) else "?"
        if any(n.file == frame.file for n in self.nodes.values()):
            if frame.name == "<module>":
                return "built"
            return frame.name if frame.name in self.nodes and self.nodes[frame.name].file == frame.file else "?"
        if self.churn and CHURNED.match(frame.file):
            return "churned"
        if frame.file.startswith("<") and not frame.file.startswith(("<frozen ", "<string>")):
            return "?"
        return None

    def check(self, stack):
        """None for a possible stack, else why it is impossible."""
        names = [self._name_of(frame) for frame in stack]
        if not stack:
            return "empty"
        if "?" in names:
            at = names.index("?")
            return "no such frame: %s (%s:%s)" % tuple(stack[at])
        return (self._check_root(stack, names) or self._check_steps(stack, names) or self._check_families(names) or
                self._check_lines(stack, names) or self._check_depth(names))

    def check_order(self, stacks):
        """Stacks of one thread in order of time: yields those without a frame of the program in the midst of others.

        Before the program and after it the interpreter calls its library by itself: imports, codecs, finalizers.
        """
        inside = [any(self._name_of(frame) for frame in stack) for stack in stacks]
        if any(inside):
            first, last = inside.index(True), len(inside) - inside[::-1].index(True)
            for stack, is_inside in zip(stacks[first:last], inside[first:last]):
                if not is_inside and last_part(stack[0].name) != THREAD_PATH[0]:
                    yield stack

    def _check_root(self, stack, names):
        if names[0] is None:
            is_legal = last_part(stack[0].name) == THREAD_PATH[0] or not any(names)
            return None if is_legal else "begins in the library: %s" % stack[0].name
        return None if names[0] == "<module>" else "begins with %s" % stack[0].name

    def _check_steps(self, stack, names):
        for at in range(1, len(stack)):
            caller, callee = names[at - 1], names[at]
            line = stack[at - 1].line
            if callee == "churned":
                reason = self._check_churned(stack, names, at)
            elif caller is None:
                reason = self._check_callback(stack, names, at)
            elif callee is None:
                allowed = line in self.edges.get((caller, "lib"), ()) or caller == "<module>" and line in self.import_lines
                reason = None if allowed else "%s:%d does not call the library (%s)" % (caller, line, stack[at].name)
            elif (caller, callee) not in self.edges:
                reason = "%s never calls %s" % (caller, callee)
            else:
                reason = None if line in self.edges[caller, callee] else "%s does not call %s at line %d" % (caller, callee, line)
            if reason:
                return reason
        return None

    def _check_callback(self, stack, names, at):
        if names[at] is None:
            return None
        begin = at
        while begin > 0 and names[begin - 1] is None:
            begin -= 1
        path = [last_part(frame.name).replace("_Task__", "_") for frame in stack[begin:at]]
        if names[at] in self.threads and begin == 0 and path == THREAD_PATH:
            return None
        if names[at] in self.tasks and begin > 0 and path in TASK_PATHS:
            return None
        return "%s called from the library by %s" % (names[at], " ".join(path))

    def _check_churned(self, stack, names, at):
        """Text of churn.py: the module calls fn at line 12, fn calls in at line 4, both moved by number % 7."""
        letter, number = CHURNED.match(stack[at].file).groups()
        shift = int(number) % 7
        before, frame = stack[at - 1], stack[at]
        spans = {"<module>": (0, 12 + shift), "%s_fn_%s" % (letter, number): (2 + shift, 5 + shift),
                 "%s_in_%s" % (letter, number): (8 + shift, 9 + shift)}
        if frame.name not in spans or not spans[frame.name][0] <= frame.line <= spans[frame.name][1]:
            return "no such frame: %s (%s:%s)" % tuple(frame)
        if names[at - 1] == "churned" and before.file != frame.file:
            return "%s called from %s" % (frame.file, before.file)
        callers = {"<module>": (letter + "_churn", None), "%s_fn_%s" % (letter, number): ("<module>", 12 + shift),
                   "%s_in_%s" % (letter, number): ("%s_fn_%s" % (letter, number), 4 + shift)}
        caller, line = callers[frame.name]
        lines = self.edges[caller, "churned"] if line is None else {line}
        if before.name != caller or before.line not in lines:
            return "%s called from %s:%d" % (frame.name, before.name, before.line)
        return None

    def _check_families(self, names):
        found = {family(name) for name in names if name and family(name)}
        return "mixes the families" if len(found) > 1 else None

    def _check_lines(self, stack, names):
        for frame, name in zip(stack, names):
            node = self.nodes.get(name)
            if node and not node.first <= frame.line <= node.last:
                return "%s has no line %d" % (name, frame.line)
        return None

    def _check_depth(self, names):
        if names[-1] not in self.bottoms:
            return None
        expected = int(self.arguments[0]) + 3  # run, first to third for DEPTH..0, bottom
        depth = sum(1 for name in names if name and family(name))
        return None if depth == expected else "%s is %d frames deep, not %d" % (names[-1], depth, expected)


def load(kind, version):
    """The legal stacks of a kind's program on a version."""
    return Program(os.path.join(FOLDER, kind.program), version, kind.arguments)
