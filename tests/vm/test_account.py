"""The account of power cuts itself: a wrong one would find nothing."""

import json

import pytest

from edged.model.record import Record, RecordWord
from edged.testkit.compose import place
from edged.testkit.script import Script
from tests.transcripts import some
from tests.vm.account import Balance, Heard, Life, answered, balance

RATE = 16_000


def script() -> Script:
    """Four words, a second apart."""
    return place([(text, 1.0 + at, 1.4 + at) for at, text in enumerate(("one", "two", "three", "four"))], 6.0)


def record(number: int, *words: tuple[str, float]) -> Record:
    """Each word with its second; the recording began with 1970."""
    said = tuple(RecordWord(word=text, text=text, start=at, end=at + 0.4, confidence=1) for text, at in words)
    start = number * 1000
    return some.record(number, start="1970-01-01T00:00:00.000Z", words=said, from_=start, to=start + 1000)


def made(*records: Record, end_s: float = 5.0, promised_s: float = 1.0) -> Balance:
    """One life, in which the first `end_s` were heard, and its cut."""
    life = Life("cut", [Heard(0, round(end_s * RATE), 0.0, 0.0)], promised_s)
    return balance(script(), [life], records, within_s=0.25)


ALL = (("one", 1.0), ("two", 2.0), ("three", 3.0), ("four", 4.0))


def test_all_that_was_heard_must_be_there() -> None:
    """A word that the cut went through is not among it."""
    good = made(record(1, *ALL))
    assert good.good
    assert [row.expected for row in good.rows] == [4]
    assert [row.expected for row in made(record(1, *ALL[:3]), end_s=4.3).rows] == [3]


@pytest.mark.parametrize(("promised_s", "kept"), [(1.0, True), (0.5, False)])
def test_what_was_said_last_may_be_lost(promised_s: float, kept: bool) -> None:
    """The loss counts from the end of the first lost word: `four` ended 0.6 s before the cut."""
    result = made(record(1, *ALL[:3]), promised_s=promised_s)
    assert result.good is kept
    assert result.rows[0].lost_s == pytest.approx(0.6)


def test_an_earlier_word_may_not() -> None:
    assert not made(record(1, *ALL[1:])).good


@pytest.mark.parametrize(
    "records",
    [
        (record(1, *ALL), record(2, ALL[3])),
        (record(1, *ALL), record(1, ("five", 5.0))),
        (record(1, *ALL[:3], ("four", 4.4)),),
    ],
    ids=["twice", "never said", "wrong time"],
)
def test_what_must_not_be(records: tuple[Record, ...]) -> None:
    assert not made(*records).good


def result(*words: str, **marks: bool) -> str:
    """Make a result of a recogniser."""
    alternatives = [{"words": [{"word": word} for word in words]}]
    return json.dumps({"type": "Results", "is_final": True, "channel": {"alternatives": alternatives}, **marks})


def test_answered_are_the_finals_of_utterances_that_have_ended() -> None:
    """The server's messages and the time decide which finals count."""
    interim = result("nothing").replace('"is_final": true', '"is_final": false')
    said = [(1.0, interim), (2.0, result("one")), (3.0, result("two", speech_final=True)), (4.0, result("three"))]
    said += [(5.0, result(from_finalize=True)), (6.0, result("four")), (7.0, json.dumps({"type": "UtteranceEnd"}))]
    assert [sorted(answered(said, until_s)) for until_s in (2.5, 3.5, 4.5, 5.5, 7.5)] == [
        [],
        ["one", "two"],
        ["one", "two"],
        ["one", "three", "two"],
        ["four", "one", "three", "two"],
    ]
