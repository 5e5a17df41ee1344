"""Whatever a server says, in whatever order: nothing is raised, and the account holds."""

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from edged.transcripts.text import text_of
from tests.stream.some import METADATA, Bench, results, text, utterance_end

SPAN = st.tuples(st.integers(0, 30_000), st.integers(0, 6000))
STEP = st.one_of(
    st.tuples(st.sampled_from(["hear", "hum", "wait"]), st.integers(50, 4000)),
    st.tuples(st.sampled_from(["next", "continue", "connect", "lose", "refuse", "odd", "finish"]), st.none()),
    st.tuples(
        st.just("say"),
        st.tuples(SPAN, st.lists(SPAN, max_size=4), st.booleans(), st.booleans(), st.booleans()),
    ),
    st.tuples(st.just("text"), st.tuples(SPAN, st.sampled_from(["ah oh", ". ah", "今日は", ".", "( ", ""]))),
    st.tuples(st.just("end"), st.integers(-1000, 30_000)),
)
ODD = (METADATA, "nonsense", '{"type":"Error"}', '{"type":"New"}', '{"type":"Results"}')


def play(bench: Bench, steps: list[tuple[str, Any]]) -> None:
    """One history, of a microphone that is always there."""
    finished = False
    bench.connect()
    bench.open()
    for verb, value in steps:
        if verb in ("hear", "hum") and not finished:
            bench.hear(bench.at + value, voiced=verb == "hear")
        elif verb == "wait":
            bench.wait(bench.at + value)
        elif verb in ("next", "continue") and not finished:
            bench.close(continues=verb == "continue")
            bench.open()
        elif verb == "connect" and bench.lane.session is None:
            bench.connect()
        elif verb == "lose":
            bench.lose()
        elif verb == "refuse":
            bench.lose(4400)
        elif verb == "odd":
            bench.serve(*ODD)
        elif verb == "end":
            bench.serve(utterance_end(value))
        elif verb == "say":
            (start, length), said, is_final, speech_final, from_finalize = value
            spoken = " ".join(f"w{i}@{at}-{at + long}" for i, (at, long) in enumerate(said))
            flags = {"is_final": is_final, "speech_final": speech_final, "from_finalize": from_finalize}
            bench.serve(results(start, start + length, spoken, **flags))
        elif verb == "text":
            (start, length), spoken = value
            bench.serve(text(start, start + (0 if length < 3000 else length), spoken))
        elif verb == "finish" and not finished:
            finished = True
            bench.close()
            bench.lane.finish()
            bench.poll()


LATE_WORD = [
    ("hear", 2503),
    ("say", ((0, 2501), [], True, False, False)),
    ("say", ((2501, 1), [(0, 0)], True, True, False)),
]
"""A word that is said to lie before all that is still drafted."""


OUT_OF_ORDER = [
    ("hum", 50),
    ("say", ((0, 2), [(1, 0), (0, 1)], True, True, False)),
    ("next", None),
    ("lose", None),
]
"""The later word comes first."""


@pytest.mark.slow
@settings(max_examples=150)
@example(LATE_WORD, "auto")
@example(OUT_OF_ORDER, "auto")
@given(st.lists(STEP, max_size=40), st.sampled_from(["auto", "message", "off"]))
def test_whatever_the_server_says_the_sender_goes_on(steps: list[tuple[str, Any]], finalize: str) -> None:
    """The bench checks the account at each step, and that no deadline lies in the past."""
    bench = Bench(utterance_max_s=5, keep_max_s=10, finalize=finalize, stall_s=5, inflight_s=8, idle_close_s=20)
    play(bench, steps)
    for uttered in bench.uttered:
        assert text_of(uttered.utterance.words).strip(".( "), "a record of nothing"
        assert uttered.utterance.start < uttered.utterance.end
    account = bench.lane.pending
    for segment, following in pairwise(account.segments):
        assert segment.end <= following.start
