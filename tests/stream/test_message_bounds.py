"""Messages of any shape and size are bounded, and none raises."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edged.stream.messages import Results, UnexpectedMessage, parse
from tests.stream.test_messages import RATE, read, wire


@pytest.mark.parametrize("words", [({"word": "abcd", "start": 1.2},) * 5, ()])
def test_what_exceeds_the_bound_is_left_out(words: Any) -> None:
    message = wire(words)
    message["channel"]["alternatives"][0]["transcript"] = "abcd " * 5
    whole, cut = parse(json.dumps(message), RATE, 25), parse(json.dumps(message), RATE, 24)
    assert isinstance(whole, Results)
    assert isinstance(cut, Results)
    assert ([w.text for w in whole.words], whole.truncated) == (["abcd"] * 5, False)
    assert (cut.truncated, cut.characters) == (True, 20)


def test_neither_form_of_a_word_exceeds_the_bound() -> None:
    cut = parse(json.dumps(wire(({"word": "a" * 5000, "punctuated_word": "a"},))), RATE, 1000)
    assert isinstance(cut, Results)
    assert (cut.words, cut.truncated) == ([], True)
    assert read(wire(({"word": "abcd", "punctuated_word": "a"},))).characters == 5


def test_an_unknown_type_is_named_in_short() -> None:
    """The name goes into the log."""
    parsed = parse(json.dumps({"type": "x" * 5000}), RATE)
    assert isinstance(parsed, UnexpectedMessage)
    assert len(parsed.kind) < 80


ANY_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(["nan", "1.5", "-1", 10**400]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
WORD = st.fixed_dictionaries(
    {}, optional=dict.fromkeys(("word", "start", "end", "confidence", "punctuated_word", "speaker"), ANY_JSON)
)
ALTERNATIVE = st.fixed_dictionaries(
    {}, optional={"transcript": ANY_JSON, "confidence": ANY_JSON, "words": st.lists(WORD, max_size=3) | ANY_JSON}
)
CHANNEL = st.fixed_dictionaries({}, optional={"alternatives": st.lists(ALTERNATIVE, max_size=2) | ANY_JSON})
MESSAGE = st.fixed_dictionaries(
    {"type": st.sampled_from(["Results", "UtteranceEnd", "Error", "Metadata", "SpeechStarted", "x", None])},
    optional={
        **dict.fromkeys(("start", "duration", "is_final", "speech_final", "last_word_end", "description"), ANY_JSON),
        "channel": CHANNEL | ANY_JSON,
    },
)


@pytest.mark.parametrize("field", ["start", "duration", "confidence", "speaker"])
def test_a_number_that_no_float_holds_is_none(field: str) -> None:
    """Python's JSON reads an integer, and making a float of it raises."""
    huge = {field: 10**400}
    word = {"word": "ah", "start": 1.2, "end": 1.4, **huge}
    assert [each.word for each in read(wire((word,), **huge)).words] == ["ah"]


@given(MESSAGE)
def test_no_message_of_any_shape_raises(message: object) -> None:
    parse(json.dumps(message), RATE)


@given(MESSAGE, st.integers(0, 300))
def test_no_message_that_is_cut_short_raises(message: object, length: int) -> None:
    parse(json.dumps(message)[:length], RATE)
