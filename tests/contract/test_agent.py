"""What libpyagent.so promises to the program it is loaded into."""
import fnmatch
import pathlib
import re
import subprocess

import pytest

import headers

HERE = pathlib.Path(__file__).resolve().parent


def output(*command):
    return subprocess.run([str(part) for part in command], stdout=subprocess.PIPE, encoding="utf-8", check=True).stdout


def test_the_agent_needs_nothing_but_libc(agent):
    needed = set(re.findall(r"\(NEEDED\).*\[(.*)\]", output("readelf", "-dW", agent)))
    assert "libc.so.6" in needed
    assert needed <= {"libc.so.6", "libm.so.6", "ld-linux-x86-64.so.2", "ld-linux-aarch64.so.1"}


def test_the_agent_exports_exactly_what_is_listed(agent):
    exported = {line.split()[0].split("@")[0] for line in output("nm", "-DP", "--defined-only", agent).splitlines()}
    assert exported == headers.read_list(HERE / "agent_exports.txt")


def test_the_agent_is_bound_at_start_and_never_unloaded(agent):
    flags = re.search(r"\(FLAGS_1\).*", output("readelf", "-dW", agent)).group()
    assert "NOW" in flags and "NODELETE" in flags


def test_the_agent_has_no_call_that_may_allocate_thread_storage(agent):
    # Undefined in the dynamic table, and a general-dynamic or descriptor relocation: both end in the loader.
    assert "__tls_get_addr" not in output("nm", "-D", agent)
    assert not re.search("DTPMOD|DTPOFF|TLSDESC", output("readelf", "-rW", agent))


def test_the_agent_has_no_executable_stack_and_no_text_relocations(agent):
    assert "TEXTREL" not in output("readelf", "-dW", agent)
    assert re.search(r"GNU_STACK.* RW ", output("readelf", "-lW", agent))


def agent_object(build_dir, name):
    found = list(build_dir.rglob(name + ".cpp.o"))
    assert len(found) == 1, found
    return found[0]


def undefined_symbols(build_dir, name):
    return {line.split()[0] for line in output("nm", "-uP", agent_object(build_dir, name)).splitlines()}


def unlisted(symbols, also=()):
    allowed = headers.read_list(HERE / "handler_symbols.txt") | {"_GLOBAL_OFFSET_TABLE_"} | set(also)
    return sorted(symbol for symbol in symbols if not any(fnmatch.fnmatchcase(symbol, name) for name in allowed))


def test_the_handler_needs_only_listed_symbols(build_dir):
    assert unlisted(undefined_symbols(build_dir, "handler")) == []


def test_what_the_handler_calls_needs_only_listed_symbols_too(build_dir):
    # Beside the handler's helpers it holds what runs at the start and end of threads.
    assert unlisted(undefined_symbols(build_dir, "engine"), ["_ZN7pyagent5agent*", "_ZTHN7pyagent5agent*", "__gxx_personality_v0"]) == []


def test_what_unwinds_in_the_handler_needs_only_listed_symbols(build_dir):
    # Both objects also hold what prepares them before there is a handler.
    assert unlisted(undefined_symbols(build_dir, "native"), ["mmap", "_ZN7pyagent5agent15prepare_modulesEv", "_ZN7pyagent5agent5stateE"]) == []
    preparing = ["dlsym", "getauxval", "getcwd", "mmap", "readlink", "_ZN7pyagent5agent5stateE"]
    assert unlisted(undefined_symbols(build_dir, "modules"), ["_r_debug", *preparing]) == []


@pytest.mark.parametrize("name", ["handler", "native", "modules"])
def test_the_handler_has_no_initializers_guards_or_landing_pads(build_dir, name):
    sections = output("readelf", "-SW", agent_object(build_dir, name))
    assert not re.search(r"\.(init_array|ctors|gcc_except_table)", sections)
    assert "_ZGV" not in output("nm", agent_object(build_dir, name))
