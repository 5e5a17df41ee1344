"""The account of these tests themselves: a wrong one would find nothing."""

import random
import threading
from pathlib import Path

import pytest

from edged.capture.opening import open_pcm
from edged.config.settings import CaptureSettings
from edged.model.record import Record, RecordWord
from edged.testkit.compose import place
from edged.testkit.script import Script
from edged.testkit.virtual_microphone import PlaybackState, VirtualMicrophone
from tests.kills.ear import Ear, expected, judge

RATE = 16_000
PERIOD = 1600


def ear(*seen: tuple[int, int]) -> Ear:
    """One that has read these accounts: since when in one piece, and delivered up to."""
    made = Ear()
    for since, delivered in seen:
        made.observe(PlaybackState(0.0, delivered, delivered + PERIOD, since))
    return made


def test_a_piece_is_heard_up_to_what_was_delivered() -> None:
    """The last played audio may not have reached the reader."""
    assert ear((0, 0), (0, 1600), (0, 8000), (0, 8000)).heard == [(0, 8000)]


def test_what_is_not_in_one_piece_is_a_hole_whatever_its_length() -> None:
    assert ear((0, 1600), (3200, 3200), (3200, 6400)).heard == [(0, 1600), (3200, 6400)]


def test_what_a_killed_reader_was_late_by_is_not_heard() -> None:
    late = ear((0, 8000), (9600, 12_800))
    late.killed(1000)
    assert late.heard == [(0, 8000), (9600, 11_800)]
    late.killed(99_000)
    assert late.heard == [(0, 8000), (9600, 9600)]


def test_a_stall_of_whole_periods_is_reported(
    tmp_path: Path, microphone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The microphone reports the stall to the sample: the next read delivers what sounds from there on."""
    room = random.Random(1).randbytes(2 * 2 * RATE)
    (tmp_path / "room.raw").write_bytes(room)
    virtual = VirtualMicrophone(tmp_path, microphone, tmp_path / "room.raw")
    for name, value in virtual.environment.items():
        monkeypatch.setenv(name, value)
    pcm, _ = open_pcm(virtual.name, CaptureSettings(period_ms=20))
    heard = Ear()

    def read(periods: int) -> bytes:
        data = b""
        for _ in range(periods):
            data += bytes(pcm.read()[1])
            assert virtual.playback_state
            heard.observe(virtual.playback_state)
        return data

    before = read(3)
    virtual.stall()
    threading.Timer(0.2, virtual.resume).start()
    after = read(5)
    pcm.close()
    (start, hole), (goes_on, end) = heard.heard
    assert start == 0
    assert 0.1 * RATE < goes_on - hole < 0.5 * RATE
    tail = after[-PERIOD:]  # a bit of it is enough to find where it sounded
    last = room.index(tail) + len(tail)
    whole = before + after
    assert whole == room[: len(whole) - (last - 2 * goes_on)] + room[2 * goes_on : last]
    assert 2 * end <= last


def script() -> Script:
    return place([("one", 0.5, 0.8), ("two", 1.0, 1.3), ("three", 1.5, 1.8)], 2.0)


def test_only_words_that_were_wholly_heard_are_expected() -> None:
    heard = [(0, int(1.2 * RATE)), (int(1.3 * RATE), 2 * RATE)]
    assert [word.text for word in expected(script(), heard)] == ["one", "three"]


def record(id_: str, from_: int, to: int, *words: tuple[str, float], run: str = "run") -> Record:
    """One that begins with the room's first sample."""
    return Record(
        id=id_,
        start="1970-01-01T00:00:00.000Z",
        end="1970-01-01T00:00:02.000Z",
        text=" ".join(word for word, _ in words),
        confidence=1,
        channel=0,
        words=tuple(RecordWord(word=word, text=word, start=at, end=at + 0.3, confidence=1) for word, at in words),
        language="en",
        model="m",
        request_id="r",
        replayed=False,
        delayed_s=0,
        clock="unknown",
        device="d",
        host="h",
        run=run,
        from_=from_,
        to=to,
    )


ALL = [(0, 2 * RATE)]


def test_what_is_right_is_good() -> None:
    records = [record("a", 0, 20_000, ("one", 0.5), ("two", 1.0)), record("b", 20_000, 32_000, ("three", 1.5))]
    assert judge(script(), ALL, records, room_s=0).good
    assert judge(script(), ALL, records, room_s=3600, wrong_s=(0, -3600)).good, "the clock was set meanwhile"


@pytest.mark.slow
def test_each_fault_is_found() -> None:
    a, b = record("a", 0, 20_000, ("one", 0.5), ("two", 1.0)), record("b", 20_000, 32_000, ("three", 1.5))
    lost = judge(script(), ALL, [a], room_s=0)
    assert ([word.text for word in lost.lost], lost.good) == (["three"], False)
    doubled = judge(script(), ALL, [a, b, record("c", 0, 9, ("two", 1.0), run="other")], room_s=0)
    assert (doubled.doubled, doubled.good) == (["two"], False)
    unknown = judge(script(), ALL, [a, b, record("c", 0, 9, ("what", 1.0), run="other")], room_s=0)
    assert (unknown.unknown, unknown.good) == (["what"], False)
    twice = judge(script(), ALL, [a, b, record("b", 0, 9, run="other")], room_s=0)
    assert (twice.overlapping, twice.good) == (["id b came 2 times"], False)
    shared = judge(script(), ALL, [a, b, record("c", 19_999, 20_000)], room_s=0)
    assert shared.overlapping
    assert not shared.good
    late = judge(script(), ALL, [a, b], room_s=-0.5)
    assert len(late.mistimed) == 3
    assert not late.good
