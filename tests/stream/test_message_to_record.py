"""The whole chain from a message to the record in a file: whatever a server says, each record can be read back."""

import json
from itertools import count
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from edged.config.settings import Settings
from edged.model.record import Record, decode, encode
from edged.transcripts.record_builder import RecordBuilder
from tests.stream.some import Bench
from tests.stream.test_message_bounds import ANY_JSON, MESSAGE, WORD


class Times:
    def at_s(self, position: int) -> float:
        return position / 1000


def maker() -> RecordBuilder:
    ids = count()
    return RecordBuilder(Settings(), "run", "kiosk", Times(), lambda: "unknown", lambda: f"run-{next(ids)}")


def records(bench: Bench) -> list[Record]:
    """Return the records of all utterances; assert that each can be read back and holds text."""
    made = maker()
    found = [made.build(uttered.utterance, bench.now, 0.0) for uttered in bench.uttered]
    for record in found:
        assert decode(encode(record)) == record
        assert record.words
        assert 0 <= record.confidence <= 1
    return found


TIME = st.one_of(st.floats(-5, 120), st.integers(-5, 120), ANY_JSON)
HEARD = st.one_of(
    st.fixed_dictionaries({"word": st.text(max_size=4), "start": TIME, "end": TIME, "confidence": ANY_JSON}), WORD
)
FINAL = st.builds(
    lambda start, duration, words, transcript, last: {
        "type": "Results",
        "start": start,
        "duration": duration,
        "is_final": True,
        "speech_final": last,
        "channel": {"alternatives": [{"transcript": transcript, "confidence": 0.5, "words": words}]},
    },
    st.floats(0, 60) | TIME,
    st.floats(0, 10) | TIME,
    st.lists(HEARD, max_size=6),
    st.text(max_size=20),
    st.booleans(),
)
STEP = st.one_of(
    st.tuples(st.just("hear"), st.integers(100, 5000)),
    st.tuples(st.just("say"), FINAL | MESSAGE),
    st.tuples(st.just("bytes"), FINAL),
    st.tuples(st.just("torn"), st.tuples(FINAL, st.integers(1, 400))),
    st.tuples(st.sampled_from(["next", "lose"]), st.none()),
)


def play(steps: list[tuple[str, Any]]) -> Bench:
    bench = Bench(utterance_max_s=5, keep_max_s=60)
    bench.connect()
    bench.open()
    for verb, value in steps:
        if bench.lane.session is None:
            bench.connect()
        match verb:
            case "hear":
                bench.hear(bench.at + value)
            case "say":
                bench.serve(json.dumps(value))
            case "bytes":
                bench.serve(json.dumps(value).encode())
            case "torn":
                message, length = value
                bench.serve(json.dumps(message)[:length])
            case "next":
                bench.close()
                bench.open()
            case "lose":
                bench.lose()
    return bench


def same_times(window: int) -> dict[str, Any]:
    """A final whose words have the times that those of every other have."""
    words = [{"word": text, "start": 0.1, "end": 0.5, "confidence": "nan"} for text in ("ah", "oh", "eh")]
    alternatives = [{"transcript": "", "confidence": 0.5, "words": words}]
    return {
        "type": "Results",
        "start": window * 2.0,
        "duration": 2.0,
        "is_final": True,
        "channel": {"alternatives": alternatives},
    }


@pytest.mark.slow
@settings(max_examples=200)
@example([each for i in range(6) for each in (("hear", 2000), ("say", same_times(i)))])
@given(st.lists(STEP, max_size=25))
def test_whatever_a_server_says_each_record_can_be_read_back(steps: list[tuple[str, Any]]) -> None:
    records(play(steps))


def test_finals_that_all_have_the_same_word_times_become_records_with_all_words() -> None:
    """Such finals once ended the daemon at each start."""
    bench = play([each for i in range(6) for each in (("hear", 2000), ("say", same_times(i)))])
    bench.close()
    texts = " ".join(record.text for record in records(bench))
    assert texts == " ".join(["ah oh eh"] * 6)


def test_a_flood_of_words_becomes_no_more_than_can_be_said() -> None:
    """Half a million of them, in records of their own for audio that was answered before."""
    bench = play([("hear", 4000)])
    flood = {**same_times(0), "duration": 4.0}
    flood["channel"] = {"alternatives": [{"transcript": "a " * 500_000, "confidence": 0.5}]}
    for _ in range(20):
        bench.serve(json.dumps(flood))
    bench.close()
    written = sum(len(encode(record)) for record in records(bench))
    assert written < 100_000
