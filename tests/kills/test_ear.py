"""The account of these tests themselves: a wrong one would find nothing."""

from edged.capture.virtual import Played
from edged.recognizer.compose import place
from edged.recognizer.script import Script
from edged.transcripts.record import Record, Word
from tests.kills.ear import Ear, expected, judge

RATE = 16_000
PERIOD = 1600


def ear(*seen: tuple[int, int]) -> Ear:
    """One that has read these accounts: delivered and played."""
    made = Ear(RATE, PERIOD)
    for delivered, played in seen:
        made.observe(Played(0.0, delivered, played))
    return made


def test_a_stream_goes_on_by_whole_periods() -> None:
    assert ear((0, 0), (0, 1600), (1600, 3200), (3200, 8000)).heard == [(0, 8000)]


def test_any_other_step_begins_a_stream() -> None:
    """After a restart, an overrun or a stall the room is anywhere."""
    assert ear((0, 1600), (5001, 5001), (5001, 6601)).heard == [(0, 1600), (5001, 6601)]


def test_a_stream_that_comes_back_after_seconds_was_broken() -> None:
    """Even if the step is a whole number of periods by chance."""
    assert ear((0, 1600), (64_000, 64_000)).heard == [(0, 1600), (64_000, 64_000)]


def test_the_last_period_of_a_stream_is_not_certain() -> None:
    assert ear((0, 0), (0, 1600), (1600, 3200)).certain() == [(0, 1600)]
    assert ear((0, 1600)).certain() == []


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
        words=tuple(Word(word=word, text=word, start=at, end=at + 0.3, confidence=1) for word, at in words),
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
