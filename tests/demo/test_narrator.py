"""What people see of the daemon's log. The lines are made by the formatter that the daemon uses."""

import logging

from edged.demo.narrator import Narrator
from edged.service.log import PlainFormatter
from edged.stream import deepgram


def line(text: str, *, name: str = "edged.stream.client", level: int = logging.INFO) -> str:
    record = logging.LogRecord(name, level, "file.py", 1, text, None, None)
    record.created = 0.0
    return PlainFormatter().format(record)


def shown(told: str | None) -> str:
    """Without the time, which depends on the time zone."""
    assert told is not None
    time, _, text = told.partition("  · ")
    assert len(time) == len("09:15:02")
    return text


def test_a_keep_alive_is_told() -> None:
    sent = f"sent {deepgram.KEEP_ALIVE}"
    assert shown(Narrator(cutting=False).tell(line(sent, level=logging.DEBUG))) == "silence: KeepAlive"


def test_the_first_connection_and_those_after_it_are_told_apart() -> None:
    teller = Narrator(cutting=True)
    connected = line("connected to the recogniser (request 1)")
    assert shown(teller.tell(connected)) == "connected to the recogniser"
    assert "again" in shown(teller.tell(connected))


def test_only_the_first_loss_is_the_demos_own_doing() -> None:
    lost = line("recogniser: connection lost; trying again in 0.2 s", level=logging.WARNING)
    teller = Narrator(cutting=True)
    cut = "the demo has cut the connection in mid-sentence: connection lost; trying again in 0.2 s"
    assert shown(teller.tell(lost)) == cut
    assert shown(teller.tell(lost)) == "warning: recogniser: connection lost; trying again in 0.2 s"
    assert shown(Narrator(cutting=False).tell(lost)) == "warning: recogniser: connection lost; trying again in 0.2 s"


def test_it_knows_when_the_microphone_is_open() -> None:
    teller = Narrator(cutting=False)
    assert not teller.listening
    opened = line("capturing virtual: 16000 Hz, 1 channel(s), periods of 1600 samples", name="edged")
    assert shown(teller.tell(opened)) == "the microphone is open (virtual)"
    assert teller.listening


def test_warnings_and_errors_are_told_and_the_rest_is_not() -> None:
    teller = Narrator(cutting=False)
    lost = line("microphone: plughw:CARD=Device is not there", name="edged", level=logging.WARNING)
    assert shown(teller.tell(lost)) == "warning: microphone: plughw:CARD=Device is not there"
    assert shown(teller.tell(line("capture failed", level=logging.ERROR))) == "error: capture failed"
    assert teller.tell(line("connection closed in order")) is None
    assert teller.tell(line("still: no connection", level=logging.DEBUG)) is None


def test_what_is_no_event_is_told_as_it_is() -> None:
    """Why the daemon would not start, and tracebacks."""
    assert (
        Narrator(cutting=False).tell("edged: [capture] rate = 1: no such rate")
        == "edged: [capture] rate = 1: no such rate"
    )
    assert Narrator(cutting=False).tell("") is None
