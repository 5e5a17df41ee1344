"""The command line's frame: exit statuses, what is imported, and what people see of errors and help."""

import io
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from edged import __version__
from edged.cli import main as frame
from edged.cli.main import COMMANDS, main
from edged.cli.messages import say
from edged.model.errors import ConfigurationError, EdgedError, ExitStatus, SourceError, UsageError


def edged(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run it as people do, without any key of the surroundings."""
    return subprocess.run(
        [sys.executable, "-m", "edged", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        env=os.environ | environ,
        check=False,
    )


def test_version_and_help_are_no_errors(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"edged {__version__}\n"
    assert main(["--help"]) == 0
    out = capsys.readouterr().out
    assert all(re.search(rf"^  {name} +{text}$", out, re.MULTILINE) for name, (_, text) in COMMANDS.items())
    assert all(f"\n  {status:d} " in out for status in ExitStatus)
    assert "/etc/edged/edged.toml" in out
    assert "DEEPGRAM_API_KEY" in out
    assert max(map(len, out.splitlines())) <= 120


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_explains_itself(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([name, "--help"]) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"usage: edged {name} ")
    assert re.search("^exit status:", out, re.MULTILINE | re.IGNORECASE)
    assert re.search(rf"^ +(sudo )?edged {name}\b", out, re.MULTILINE), "an example"


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["chek"],
        ["--wrong"],
        ["check", "--wrong"],
        ["check", "extra"],
        ["check", "--set"],
        ["check", "--set", "rate=1"],
    ],
)
def test_a_wrong_command_line_is_64_and_one_clear_line(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 64
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines()[-1].startswith("edged")


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        ("chek", "check"),
        ("servic", "service"),
        ("spool stat", "status"),
        ("recognizer --engine pocketsphnix", "pocketsphinx"),
    ],
)
def test_what_was_perhaps_meant_is_named(words: str, meant: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words.split()) == 64
    assert capsys.readouterr().err.endswith(f"there is no '{words.split()[-1]}': did you mean {meant}?\n")


def test_what_resembles_nothing_gets_a_list(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["xyz"]) == 64
    assert capsys.readouterr().err.endswith(f"there is no 'xyz': there are {', '.join(COMMANDS)}\n")


def command(monkeypatch: pytest.MonkeyPatch, raises: BaseException | None = None, returns: int = 0) -> None:
    """Put a command `try` in that ends in this way."""
    module = ModuleType("edged_try")

    def run(_arguments: object) -> int:
        if raises is not None:
            raise raises
        return returns

    module.add = lambda subparsers: subparsers.add_parser("try").set_defaults(run=run)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "edged_try", module)
    monkeypatch.setitem(COMMANDS, "try", ("edged_try", "for this test"))


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (UsageError("so not"), 64),
        (ConfigurationError("so not"), 78),
        (SourceError("so not"), 70),
        (EdgedError("so not"), 70),
    ],
)
def test_an_error_for_people_is_its_line_and_its_status(
    error: EdgedError, status: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command(monkeypatch, error)
    assert main(["try"]) == status
    assert capsys.readouterr().err == "edged: so not\n"


def test_every_problem_of_the_configuration_has_its_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command(monkeypatch, ConfigurationError("one", "two\nlines", "three \x1b[2J"))
    assert main(["try"]) == 78
    assert capsys.readouterr().err == "edged: one\nedged: two\\nlines\nedged: three \\x1b[2J\n"


def test_our_own_fault_is_a_traceback_and_70(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command(monkeypatch, ZeroDivisionError("whatever"))
    assert main(["try"]) == 70
    err = capsys.readouterr().err
    assert "ZeroDivisionError: whatever" in err
    assert err.splitlines()[-1] == "edged: this is a bug in edged, not in your settings: please report the lines above"


def test_an_interrupt_is_130_and_quiet(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    command(monkeypatch, KeyboardInterrupt())
    assert main(["try"]) == 130
    assert capsys.readouterr().err == ""


def test_the_commands_status_is_the_exit_status(monkeypatch: pytest.MonkeyPatch) -> None:
    command(monkeypatch, returns=75)
    assert main(["try"]) == 75


@pytest.mark.parametrize("arguments", [["check", "--sample"], ["--help"]])
def test_a_reader_that_has_seen_enough_is_no_error(arguments: list[str]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-m", "edged", "check", "--sample"],
        stdout=writer,
        stderr=subprocess.PIPE,
        timeout=60,
        check=False,
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (0, b"")


def test_names_that_are_no_text_are_shown_somehow(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "edged", "check", "--config", os.fsencode(tmp_path) + b"/\xff.toml"],
        capture_output=True,
        timeout=60,
        check=False,
        env=os.environ | {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    )
    assert done.returncode == 78
    assert b"there is no such file" in done.stderr
    assert b"Traceback" not in done.stderr


def test_a_line_stays_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    say("a\nb\tc\x1bd\u2028e ü")
    assert stream.getvalue() == "edged: a\\nb\\tc\\x1bd\\u2028e ü\n"


def imported_by(*arguments: str) -> set[str]:
    """The modules that a command line has imported at its end; its output is thrown away."""
    code = (
        "import contextlib, io, sys\n"
        "from edged.cli.main import main\n"
        "with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):\n"
        f"    main({list(arguments)!r})\n"
        "print(*sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    return set(done.stdout.split())


NEVER: dict[str, Sequence[str]] = {
    "--version": ("edged.cli.run", "edged.config.loader", "websockets", "alsaaudio", "asyncio", "msgspec.json"),
    "run --help": ("edged.cli.check", "edged.recognizer", "edged.cli.recognizer", "edged.cli.demo", "pocketsphinx"),
    "check --sample": ("edged.daemon.daemon", "edged.recognizer", "websockets", "alsaaudio", "webrtcvad", "asyncio"),
    "devices --help": ("edged.daemon.daemon", "edged.recognizer", "websockets", "webrtcvad", "asyncio"),
    "recognizer --help": ("edged.daemon.daemon", "edged.capture", "edged.stream", "alsaaudio", "edged.cli.run"),
}
"""What a Pi need not load for a command that has no use for it."""


@pytest.mark.parametrize(("line", "unwanted"), NEVER.items())
def test_a_command_imports_only_what_it_needs(line: str, unwanted: Sequence[str]) -> None:
    assert imported_by(*line.split()) & set(unwanted) == set()


def test_every_command_of_the_table_is_there() -> None:
    for module, _ in COMMANDS.values():
        imported: Any = __import__(module, fromlist=["add"])
        assert callable(imported.add)


def test_options_before_the_command_do_not_hide_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help", "run"]) == 0
    assert "commands:" in capsys.readouterr().out


def test_python_m_edged_is_edged() -> None:
    done = edged("--version")
    assert (done.returncode, done.stdout) == (0, f"edged {__version__}\n")


def test_the_frame_is_where_the_entry_point_says() -> None:
    assert frame.main is main
