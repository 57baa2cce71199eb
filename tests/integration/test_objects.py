"""Strings, code objects, line tables, dicts, thread names and defining classes of real interpreters, read from outside.

programs/objects.py makes them and says what they hold, read_objects.cpp reads them: every answer must be equal.
"""
import json
import subprocess

import support

READ_OBJECTS = support.BUILD / "tests" / "read_objects"


def read_objects(python):
    """[(question, expected answer, answer)]"""
    with subprocess.Popen([python.exe, str(support.ROOT / "tests/integration/programs/objects.py")], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE) as target:
        try:
            expected = json.loads(target.stdout.readline().decode("ascii"))
            reader = subprocess.run([str(READ_OBJECTS), str(target.pid)], input="\n".join(question for question, _ in expected),
                                    stdout=subprocess.PIPE, check=True, encoding="utf-8")
        finally:
            target.stdin.close()
    answers = [json.loads(line) for line in reader.stdout.rstrip("\n").split("\n")]  # text may hold other line ends
    assert len(answers) == len(expected)
    return [(question, wanted, answer) for (question, wanted), answer in zip(expected, answers)]


def shorten(value):
    text = json.dumps(value)
    return text if len(text) < 400 else text[:400] + "..."


def test_objects_are_read_as_the_interpreter_sees_them(python):
    rows = read_objects(python)
    wrong, locations, identities = [], 0, {}
    for question, wanted, answer in rows:
        if question.startswith("code"):
            assert "error" not in answer, (question, answer)
            identities.setdefault(answer.pop("identity"), set()).add(question)
            locations += len(answer["locations"])
        if answer != wanted:
            wrong.append("%s: %s, not %s" % (question, shorten(answer), shorten(wanted)))
    kinds = {kind: sum(question.startswith(kind + " ") for question, _, _ in rows)
             for kind in ("string", "code", "item", "attribute", "thread", "class")}
    print("%s: %s, %d locations: %d mismatches" % (python.tag, kinds, locations, len(wrong)))
    assert not wrong, "%d of %d answers are wrong:\n%s" % (len(wrong), len(rows), "\n".join(wrong[:10]))
    assert kinds["code"] > 300 and locations > 40000 and kinds["string"] > 400 and kinds["item"] > 600
    assert kinds["attribute"] > 100 and kinds["thread"] > 20 and (kinds["class"] > 20) == (python.version < (3, 11))
    assert all(len(questions) == 1 for questions in identities.values()), "code objects that look alike to code_identity"


METHODS = """
class Base:
    count = 5; ratio = 2.5; sizes = (1,); name = "x"; debt = -7; large = 2**40; yes = True; nothing = None; kind = int
    run = 1
    def call(self):
        for _ in range(30):
            self.__work()
    def __work(self):
        for i in range(200000):
            pass
class Derived(Base):
    pass
def run(self):
    for i in range(3000000):
        pass
Derived().call()
run(Derived())
print("done")
"""


def test_the_agent_names_methods_of_classes_that_hold_other_things_too(python):
    run = support.run_agent(python.exe, ("-c", METHODS), {"rate": 200})
    assert (run.returncode, run.stdout) == (0, "done\n"), run.stderr
    names = {frame.name for samples in support.load_speedscope(run.profile).values() for sample in samples for frame in sample.stack}
    assert "Base.__work" in names or "Base.call" in names, names
    if python.version >= (3, 11):
        assert "run" in names, names
