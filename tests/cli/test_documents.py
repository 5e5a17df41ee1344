"""What a package brings beside the program, made by script/documents: manual pages, completion, configuration."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from edged.cli.main import COMMANDS, whole_parser
from edged.cli.manual import body, escape
from edged.cli.outline import Command, outline
from edged.config import loader
from edged.config.options import options

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def documents(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("documents")
    subprocess.run([sys.executable, ROOT / "script/documents", directory], check=True, env={"PYTHONPATH": str(ROOT)})
    return directory


@pytest.fixture(scope="module")
def edged() -> Command:
    return outline(whole_parser())


def plain(page: str) -> str:
    """A page's text, without what is there for roff only."""
    return re.sub(r"\s+", " ", page.replace("\\-", "-").replace("\\(dq", '"').replace("\\&", "").replace("\\e", "\\"))


def test_the_outline_is_the_command_line(edged: Command) -> None:
    assert [each.words[0] for each in edged.commands] == list(COMMANDS)
    spool = next(each for each in edged.commands if each.words == ("spool",))
    assert [each.words for each in spool.commands] == [("spool", "status"), ("spool", "export"), ("spool", "drop")]
    run = next(each for each in edged.commands if each.words == ("run",))
    takes = {flag: argument.takes for argument in run.arguments for flag in argument.flags}
    assert takes == {"-h": "nothing", "--help": "nothing", "--config": "file", "--set": "setting", "--summary": "file"}


def test_edged_1_has_each_command_option_and_text_of_help(documents: Path, edged: Command) -> None:
    page = plain((documents / "edged.1").read_text())
    for command in edged.all():
        assert command.usage in page
        for argument in command.arguments:
            if argument.flags != ("-h", "--help"):
                assert " ".join(argument.text.split())[1:] in page
    for heading in (".SH EXIT STATUS", ".SH FILES", ".SH EXAMPLES"):
        assert heading in page


def test_edged_toml_5_has_each_option_with_its_text(documents: Path) -> None:
    page = plain((documents / "edged.toml.5").read_text())
    for option in options():
        assert f".B {option.key} = " in page or f".B [{option.name}]" in page
        assert " ".join(option.text.split())[1:] in page


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("two lines of\none paragraph", [".PP", "two lines of one paragraph"]),
        ("one\n\ntwo", [".PP", "one", ".PP", "two"]),
        ("  0    done\n  64   no\n       more", [".TP", ".B 0", "done", ".TP", ".B 64", "no more"]),
        ("install: puts it\n  in place", [".PP", "install: puts it in place"]),
        ("examples:\n  edged check", [".PP", "examples:", ".TP", ".B edged check"]),
        (
            "  edged run --set 'a=b'\n                 and show it",
            [".TP", ".B edged run \\-\\-set 'a=b'", "and show it"],
        ),
    ],
)
def test_how_a_text_of_help_becomes_roff(text: str, lines: list[str]) -> None:
    assert body(text) == lines


def test_headings_of_an_epilog_can_begin_sections() -> None:
    assert body("exit status:\n  0  done", ".SH") == [".SH EXIT STATUS", ".TP", ".B 0", "done"]


@pytest.mark.parametrize(("text", "safe"), [(".x", "\\&.x"), ("'x", "\\&'x"), ("a\\b", "a\\eb"), ('"', "\\(dq")])
def test_what_roff_would_take_for_orders_is_escaped(text: str, safe: str) -> None:
    assert escape(text) == safe


def test_the_configuration_of_the_package_is_the_sample_with_both_sinks(documents: Path) -> None:
    loaded = loader.read(documents / "edged.toml", [])
    assert loaded.problems == []
    assert loaded.settings.transcripts.sinks == ["file", "journal"]
    changed = {name for name, origin in loaded.origins.items() if origin != "default"}
    assert changed == {"transcripts.sinks", "deepgram.options"}, "the second is a table, and empty"
    assert loaded.settings.deepgram.options == {}


COMPLETIONS = [
    ("edged ", {"run", "check", "spool", "--version"}, {"status", "--config"}),
    ("edged sp", {"spool"}, {"run"}),
    ("edged spool ", {"status", "export", "drop"}, {"run"}),
    ("edged spool drop --o", {"--older-than"}, {"--yes"}),
    ("edged service ", {"install", "uninstall"}, {"run"}),
    ("edged recognizer --engine ", {"pocketsphinx", "script"}, {"--engine"}),
    ("edged run --set capture.dev", {"capture.device="}, {"capture.path="}),
    ("edged run --set x=1 --conf", {"--config"}, {"--set"}),
    ("edged run --config ", {"edged.toml"}, {"--config"}),
]
"""A line up to the cursor, what is offered among others, and what is not."""

BASH = r"""
source "$1"/edged.bash
compopt() { :; }  # it works only while somebody types
read -ra COMP_WORDS <<<"$2"
[[ $2 != *' ' ]] || COMP_WORDS+=("")
COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
_edged
printf '%s\n' "${COMPREPLY[@]}"
"""


@pytest.mark.parametrize(("line", "offered", "not_offered"), COMPLETIONS)
def test_bash_completes(documents: Path, line: str, offered: set[str], not_offered: set[str]) -> None:
    bash = shutil.which("bash")
    assert bash
    done = subprocess.run(
        [bash, "-c", BASH, "bash", str(documents), line], cwd=documents, capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    found = set(done.stdout.splitlines())
    assert offered <= found
    assert not found & not_offered
