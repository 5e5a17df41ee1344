"""The wire: what the server says in all its oddities, and the URL that asks for it."""

import json
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edged.settings import Deepgram
from edged.stream.deepgram import (
    CLOSE_STREAM,
    FINALIZE,
    KEEP_ALIVE,
    Metadata,
    Odd,
    Results,
    ServerError,
    UtteranceEnd,
    Word,
    listen_url,
    parse,
)

RATE = 1000

FROM_THE_REFERENCE = """{"type":"Results","channel_index":[0,1],"duration":2.459999,"start":57.52,"is_final":true,
 "speech_final":true,"from_finalize":false,
 "channel":{"alternatives":[{"transcript":"Dying, come at once.","confidence":0.8691406,
   "words":[{"word":"dying","start":58.08,"end":58.72,"confidence":0.8466797,"punctuated_word":"Dying,","speaker":0}]}]},
 "metadata":{"request_id":"01a07aad-cb1e-78c3-9c1c-000000000000","model_info":{"name":"general-nova-3",
 "version":"2025-04-17.21547","arch":"nova-3"},"model_uuid":"40bd3654-0000-0000-0000-000000000000"}}"""


def read(message: dict[str, Any] | str) -> Results:
    parsed = parse(message if isinstance(message, str) else json.dumps(message), RATE)
    assert isinstance(parsed, Results), parsed
    return parsed


def wire(words: Any = (), **fields: Any) -> dict[str, Any]:
    alternative = {"transcript": "", "confidence": 0.5, "words": list(words) if isinstance(words, tuple) else words}
    return {
        "type": "Results",
        "start": 1.0,
        "duration": 2.0,
        "is_final": True,
        "channel": {"alternatives": [alternative]},
        **fields,
    }


def test_control_messages_are_text_as_the_server_wants_them() -> None:
    assert [json.loads(text) for text in (KEEP_ALIVE, FINALIZE, CLOSE_STREAM)] == [
        {"type": "KeepAlive"},
        {"type": "Finalize"},
        {"type": "CloseStream"},
    ]


def test_results_are_read_in_samples_of_stream_time() -> None:
    assert read(FROM_THE_REFERENCE) == Results(
        start=57_520,
        end=59_980,
        words=[Word(58_080, 58_720, "dying", "Dying,", 0.8466797, 0)],
        is_final=True,
        speech_final=True,
        from_finalize=False,
        confidence=0.8691406,
    )


def test_a_word_without_punctuation_is_shown_as_it_is() -> None:
    assert read(wire(({"word": "ah", "start": 1.0, "end": 1.2},))).words[0].text == "ah"


def test_an_unknown_end_of_a_word_is_where_the_next_one_starts() -> None:
    words = ({"word": "ah", "start": 1.0, "end": -1}, {"word": "oh", "start": 1.3, "end": 1.5})
    assert [(w.start, w.end) for w in read(wire(words)).words] == [(1000, 1300), (1300, 1500)]


def test_an_unknown_end_of_the_last_word_is_the_windows_end() -> None:
    assert read(wire(({"word": "ah", "start": 2.8, "end": -1},))).words[0].end == 3000


def test_an_unknown_end_does_not_reach_over_a_long_silence() -> None:
    """The word's middle decides in which segment it was said."""
    words = ({"word": "ah", "start": 1.0, "end": -1}, {"word": "oh", "start": 2.9, "end": -1})
    assert [w.end for w in read(wire(words, duration=9.0)).words] == [1500, 3400]


@pytest.mark.parametrize("end", [0.9, 1.0, None, "soon"])
def test_an_end_that_can_not_be_is_unknown(end: object) -> None:
    assert read(wire(({"word": "ah", "start": 1.0, "end": end},))).words[0].end == 1500


def test_a_words_end_beyond_its_window_is_left_as_it_is() -> None:
    assert read(wire(({"word": "ah", "start": 2.9, "end": 3.1},))).words[0].end == 3100


def test_an_empty_final_is_a_final() -> None:
    result = read(wire())
    assert (result.is_final, result.words, result.start, result.end) == (True, [], 1000, 3000)


def test_words_without_a_text_are_none() -> None:
    assert read(wire(({"word": "", "start": 1.0, "end": 1.1},))).words == []


def test_a_text_without_words_shares_its_window_among_them() -> None:
    """Compatible servers leave out the words."""
    message = wire()
    message["channel"]["alternatives"][0] = {"transcript": "Ah, oh!", "confidence": 0.0}
    assert [(w.start, w.end, w.word, w.text) for w in read(message).words] == [
        (1000, 2000, "ah", "Ah,"),
        (2000, 3000, "oh", "oh!"),
    ]


@pytest.mark.parametrize(
    "fields",
    [
        {"speech_final": None},
        {"from_finalize": "maybe"},
        {"metadata": []},
        {"channel_index": None},
        {"new_field": {"deep": [1]}},
        {"start": "1.0"},
        {"duration": 2},
    ],
)
def test_no_odd_or_unknown_field_costs_a_word(fields: dict[str, Any]) -> None:
    word = {"word": "ah", "start": 1.2, "end": 1.4, "confidence": 0.7}
    result = read(wire((word,), **fields))
    assert (result.is_final, result.start, result.end) == (True, 1000, 3000)
    assert result.words == [Word(1200, 1400, "ah", "ah", 0.7, None)]


@pytest.mark.parametrize(
    "odd",
    [
        {"confidence": None},
        {"confidence": "high"},
        {"punctuated_word": 7},
        {"speaker": "A"},
        {"speaker": None},
        {"extra": [[]]},
    ],
)
def test_no_odd_field_of_a_word_costs_a_word(odd: dict[str, Any]) -> None:
    words = ({"word": "ah", "start": 1.2, "end": 1.4, **odd}, {"word": "oh", "start": 1.5, "end": 1.7})
    assert [(w.start, w.end, w.word) for w in read(wire(words)).words] == [(1200, 1400, "ah"), (1500, 1700, "oh")]


@pytest.mark.parametrize("words", [None, "ah", {"word": "ah"}, [None, 5, "ah"]])
def test_words_that_are_no_list_of_words_leave_the_window(words: object) -> None:
    result = read(wire(words))
    assert (result.start, result.end, result.words) == (1000, 3000, [])


@pytest.mark.parametrize("channel", [{}, {"alternatives": []}, None, {"alternatives": None}, [], {"alternatives": [3]}])
def test_a_final_without_alternatives_is_an_empty_one(channel: object) -> None:
    result = read(wire(channel=channel))
    assert (result.is_final, result.end, result.words) == (True, 3000, [])


@pytest.mark.parametrize(
    "fields", [{"start": None}, {"duration": None}, {"start": "soon"}, {"start": -1, "channel": 0}]
)
def test_without_a_window_it_is_no_result(fields: dict[str, Any]) -> None:
    """A window can't be guessed: it says which audio is answered."""
    assert parse(json.dumps(wire(**fields)), RATE) == Odd("a Results that can't be read")


def test_a_negative_duration_is_none() -> None:
    assert read(wire(duration=-1.0)).end == 1000


def test_an_utterance_end_tells_its_last_word() -> None:
    assert parse('{"type":"UtteranceEnd","channel":[0,1],"last_word_end":2.395}', RATE) == UtteranceEnd(2395)


@pytest.mark.parametrize("last", ["-1", "-1.0", "null", '"soon"'])
def test_an_utterance_end_may_not_know_it(last: str) -> None:
    parsed = parse(f'{{"type":"UtteranceEnd","last_word_end":{last}}}', RATE)
    assert isinstance(parsed, UtteranceEnd)
    assert parsed.last_word_end < 0


def test_metadata_is_the_end_of_a_stream() -> None:
    assert parse('{"type":"Metadata","duration":44.2,"models":["..."]}', RATE) == Metadata()


def test_an_error_is_told_in_the_servers_words() -> None:
    assert parse('{"type":"Error","description":"no","message":"m"}', RATE) == ServerError("no")
    assert parse('{"type":"Error","message":"m"}', RATE) == ServerError("m")
    assert parse('{"type":"Error","description":{}}', RATE) == ServerError("no description")


def test_speech_started_is_known_and_not_needed() -> None:
    assert parse('{"type":"SpeechStarted","channel":[0,1],"timestamp":9.54}', RATE) is None


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (b"\x00", "a binary message"),
        ("", "text that is not JSON"),
        ("hello", "text that is not JSON"),
        ('{"type":"Results"', "text that is not JSON"),
        ('{"type":5,', "text that is not JSON"),
        ("[" * 100_000, "text that is not JSON"),
        ('{"type":"Results","start":0,"x":"\\ud800"', "text that is not JSON"),
        ('{"type":"Results","start":1e999,"duration":1,"channel":{}}', "text that is not JSON"),
        ('{"type":"Results","start":1e308,"duration":1,"channel":{}}', "a message with a time that is none"),
        ('{"type":"Results","start":"nan","duration":1,"channel":{}}', "a message with a time that is none"),
        ('{"type":"UtteranceEnd","last_word_end":1e306}', "a message with a time that is none"),
        ("{}", "a message without a type"),
        ('{"type":null}', "a message without a type"),
        ('"Results"', "a message without a type"),
        ("[]", "a message without a type"),
        ("null", "a message without a type"),
        ('{"type":"TurnInfo"}', "a message of type 'TurnInfo'"),
    ],
)
def test_whatever_means_nothing_is_odd_and_no_more(text: str | bytes, kind: str) -> None:
    assert parse(text, RATE) == Odd(kind)


def test_an_unknown_type_is_named_in_short() -> None:
    """It goes into the log."""
    parsed = parse(json.dumps({"type": "x" * 5000}), RATE)
    assert isinstance(parsed, Odd)
    assert len(parsed.kind) < 80


ANY_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(["nan", "1.5", "-1"]),
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


@given(MESSAGE)
def test_no_message_of_any_shape_raises(message: object) -> None:
    parse(json.dumps(message), RATE)


@given(MESSAGE, st.integers(0, 300))
def test_no_message_that_is_cut_short_raises(message: object, length: int) -> None:
    parse(json.dumps(message)[:length], RATE)


# -- the URL ----------------------------------------------------------------------------------------------------------


def asked(settings: Deepgram, rate: int = 16_000) -> dict[str, list[str]]:
    query: dict[str, list[str]] = {}
    for name, value in parse_qsl(urlsplit(listen_url(settings, rate)).query, keep_blank_values=True):
        query.setdefault(name, []).append(value)
    return query


def test_the_url_names_everything_that_the_server_must_know() -> None:
    assert asked(Deepgram()) == {
        "model": ["nova-3"],
        "language": ["en"],
        "encoding": ["linear16"],
        "sample_rate": ["16000"],
        "channels": ["1"],
        "interim_results": ["true"],
        "endpointing": ["300"],
        "utterance_end_ms": ["1000"],
        "smart_format": ["true"],
    }


def test_it_goes_to_the_endpoint_that_is_configured() -> None:
    assert listen_url(Deepgram(), 16_000).startswith("wss://api.deepgram.com/v1/listen?model=nova-3&")
    assert listen_url(Deepgram(url="ws://localhost:8080"), 16_000).startswith("ws://localhost:8080/v1/listen?")
    assert listen_url(Deepgram(url="ws://[::1]:80/asr?token=1"), 16_000).startswith("ws://[::1]:80/asr?token=1&model=")


def test_the_rate_is_that_of_the_capture() -> None:
    assert asked(Deepgram(), 48_000)["sample_rate"] == ["48000"]


def test_booleans_are_lower_case_and_false_is_said() -> None:
    query = asked(Deepgram(endpointing_ms=False, smart_format=False, interim_results=False, options={"numerals": True}))
    assert (query["endpointing"], query["smart_format"], query["interim_results"]) == (["false"],) * 3
    assert query["numerals"] == ["true"]


def test_without_interim_results_no_utterance_end_is_asked_for() -> None:
    """The server refuses the pair."""
    assert "utterance_end_ms" not in asked(Deepgram(interim_results=False))
    assert "utterance_end_ms" not in asked(Deepgram(utterance_end_ms=False))


def test_without_a_language_the_server_decides() -> None:
    assert "language" not in asked(Deepgram(language=""))


def test_diarize_is_asked_for_when_it_is_wanted() -> None:
    assert "diarize" not in asked(Deepgram())
    assert asked(Deepgram(diarize=True))["diarize"] == ["true"]


def test_lists_repeat_their_name_and_every_character_survives() -> None:
    query = asked(Deepgram(keyterms=["Käse & Brot", "a=b"], keywords=["snuffle:2"], options={"tag": ["x", "y z"]}))
    assert query["keyterm"] == ["Käse & Brot", "a=b"]
    assert query["keywords"] == ["snuffle:2"]
    assert query["tag"] == ["x", "y z"]
