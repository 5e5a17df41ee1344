import fcntl
import os
import pty
import re
import struct
import termios
import time
import tty
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edged.model.errors import SinkGoneError
from edged.transcripts.sinks.console import ConsoleSink, fit, printable, width
from tests.transcripts.some import record

TERMINAL = {"TERM": "xterm"}


@pytest.fixture(autouse=True)
def berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """UTC+1 in winter."""
    monkeypatch.setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@dataclass
class Terminal:
    """The other end of a real pseudo-terminal."""

    outside: int
    inside: int

    def resize(self, columns: int) -> None:
        fcntl.ioctl(self.inside, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))

    def raw(self) -> str:
        """What was written since the last look."""
        os.set_blocking(self.outside, False)
        data = b""
        try:
            while piece := os.read(self.outside, 65536):
                data += piece
        except BlockingIOError:
            pass
        return data.decode()

    def screen(self) -> list[str]:
        """As people see it: carriage returns, erasing and colours carried out; anything else of that kind fails."""
        lines = [""]
        for part in re.split(r"(\r\x1b\[K|\n|\x1b\[[02]m)", self.raw()):
            if part == "\n":
                lines.append("")
            elif part == "\r\x1b[K":
                lines[-1] = ""
            elif not part.startswith("\x1b"):
                assert part.isprintable(), part
                lines[-1] += part
        return lines


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    outside, inside = pty.openpty()
    tty.setraw(inside)  # no \n to \r\n
    made = Terminal(outside, inside)
    made.resize(80)
    yield made
    os.close(outside)
    os.close(inside)


def test_a_record_is_a_line_with_its_local_time(terminal: Terminal) -> None:
    ConsoleSink(terminal.inside, "utf-8", TERMINAL).deliver([record(1), record(2, start="2026-07-01T22:59:59.999Z")])
    assert terminal.screen() == ["10:15:02  Turn light 1 off.", "00:59:59  Turn light 2 off.", ""]


def test_interims_are_overwritten_in_place_and_then_by_the_record(terminal: Terminal) -> None:
    console = ConsoleSink(terminal.inside, "utf-8", TERMINAL)
    for text in ("turn", "turn light", "turn the light"):
        console.show_interim(text)
    assert terminal.screen() == ["turn the light"]
    console.deliver([record(1)])
    assert terminal.screen() == ["10:15:02  Turn light 1 off.", ""]


def test_an_empty_interim_or_the_end_leaves_a_clean_line(terminal: Terminal) -> None:
    console = ConsoleSink(terminal.inside, "utf-8", TERMINAL)
    console.show_interim("turn")
    console.show_interim("")
    assert terminal.screen() == [""]
    console.show_interim("turn")
    console.close()
    assert terminal.screen() == [""]
    console.close()
    assert terminal.raw() == ""


def test_an_interim_is_one_line_wide_at_most_also_after_the_terminal_was_resized(terminal: Terminal) -> None:
    console = ConsoleSink(terminal.inside, "utf-8", TERMINAL)
    for columns in (20, 10):
        terminal.resize(columns)
        console.show_interim("had he married a more amiable woman")
        (line,) = terminal.screen()
        assert width(line) == columns - 1
        assert line == "…had he married a more amiable woman"[0] + "had he married a more amiable woman"[-columns + 2 :]


def test_marks_show_which_records_are_late_or_replayed(terminal: Terminal) -> None:
    console = ConsoleSink(terminal.inside, "utf-8", {**TERMINAL, "NO_COLOR": "1"})
    console.deliver(
        [
            record(1, replayed=True, delayed_s=125.4),
            record(2, delayed_s=9.9, clock="unknown"),
            record(3, clock="unsynchronized"),
        ]
    )
    assert terminal.screen() == [
        "10:15:02  Turn light 1 off.  [replayed, 2 min 5 s late]",
        "10:15:02  Turn light 2 off.",
        "10:15:02  Turn light 3 off.",
        "",
    ]


def test_no_color_is_honoured_while_interims_stay(terminal: Terminal) -> None:
    console = ConsoleSink(terminal.inside, "utf-8", {**TERMINAL, "NO_COLOR": "1"})
    console.show_interim("turn")
    console.deliver([record(1)])
    assert terminal.raw() == "turn\r\x1b[K10:15:02  Turn light 1 off.\n"


@pytest.mark.parametrize("where", ["pipe", "dumb terminal"])
def test_outside_a_terminal_lines_are_plain_without_interims_and_escape_codes(terminal: Terminal, where: str) -> None:
    reading, writing = os.pipe()
    console = (
        ConsoleSink(writing, "utf-8", TERMINAL)
        if where == "pipe"
        else ConsoleSink(terminal.inside, "utf-8", {"TERM": "dumb"})
    )
    console.show_interim("turn")
    console.deliver([record(1)])
    console.close()
    shown = os.read(reading, 1000).decode() if where == "pipe" else terminal.raw()
    assert shown == "10:15:02  Turn light 1 off.\n"
    os.close(reading)
    os.close(writing)


def test_control_characters_never_reach_the_terminal(terminal: Terminal) -> None:
    evil = "a\x1b[2Jb\x9b31mc\rd\ne\x07f\u2028g\u202eh\x7f\x00\u200f"
    console = ConsoleSink(terminal.inside, "utf-8", {**TERMINAL, "NO_COLOR": "1"})
    console.show_interim(evil)
    console.deliver([record(1, text=evil)])
    shown = terminal.raw()
    clean = "a\ufffd[2Jb\ufffd31mc d e\ufffdf gh\ufffd\ufffd"
    assert shown == f"{clean}\r\x1b[K10:15:02  {clean}\n"


@given(st.text(max_size=30))
def test_printable_text_holds_no_control_character_whatever_comes(text: str) -> None:
    assert not re.search(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]", printable(text))


def test_joiners_that_scripts_and_emoji_need_stay() -> None:
    assert printable("می\u200cخواهم \U0001f468\u200d\U0001f469") == "می\u200cخواهم \U0001f468\u200d\U0001f469"


@pytest.mark.parametrize(
    ("text", "columns"),
    [
        ("abc", 3),
        ("日本", 4),
        ("e\u0301", 1),
        ("\U0001f600", 2),
        ("❤\ufe0f", 2),
        ("a\u200db", 2),
        ("ｱ", 1),
        ("a\xadb", 3),
        ("", 0),
    ],
)
def test_width_counts_wide_and_combining_characters_as_terminals_do(text: str, columns: int) -> None:
    assert width(text) == columns


@pytest.mark.parametrize(
    ("text", "columns", "fitted"),
    [
        ("abcdef", 6, "abcdef"),
        ("abcdef", 4, "…def"),
        ("日本語", 5, "…本語"),
        ("日本語", 4, "…語"),
        ("xe\u0301y", 2, "…y"),
        ("abc", 1, "…"),
        ("abc", 0, ""),
    ],
)
def test_a_text_that_is_too_wide_is_cut_to_its_end(text: str, columns: int, fitted: str) -> None:
    assert fit(text, columns) == fitted


@given(st.text(max_size=40), st.integers(1, 30))
def test_a_fitted_text_fits_and_is_an_end_of_the_text(text: str, columns: int) -> None:
    fitted = fit(text, columns)
    assert width(fitted) <= columns
    assert text.endswith(fitted.removeprefix("…")) or fitted == text


def test_a_console_that_is_gone_is_an_error_that_says_how_many_lines_were_written() -> None:
    reading, writing = os.pipe()
    console = ConsoleSink(writing, "utf-8", TERMINAL)
    console.deliver([record(1)])
    os.close(reading)
    with pytest.raises(SinkGoneError, match="can't write to the console: Broken pipe") as caught:
        console.deliver([record(2)])
    assert caught.value.delivered == 0
    os.close(writing)


def test_an_interim_on_a_terminal_that_is_gone_is_an_error(terminal: Terminal) -> None:
    outside, inside = pty.openpty()
    console = ConsoleSink(inside, "utf-8", TERMINAL)
    os.close(outside)
    with pytest.raises(SinkGoneError, match="can't write to the console"):
        console.show_interim("turn")
    os.close(inside)


def test_characters_that_the_terminal_does_not_know_are_replaced() -> None:
    reading, writing = os.pipe()
    ConsoleSink(writing, "ascii", TERMINAL).deliver([record(1, text="Grüße")])
    assert os.read(reading, 100) == b"10:15:02  Gr??e\n"
    os.close(reading)
    os.close(writing)
