"""The server's messages, in all their oddities."""

import json
from typing import Any

import pytest

from edged.stream.messages import (
    Metadata,
    Results,
    ServerError,
    StreamWord,
    UnexpectedMessage,
    UnreadableMessage,
    UtteranceEnd,
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


def is_odd(text: str | bytes, kind: str) -> None:
    parsed = parse(text, RATE)
    assert isinstance(parsed, UnexpectedMessage)
    assert parsed.kind == kind


def is_unreadable(text: str | bytes, kind: str) -> None:
    parsed = parse(text, RATE)
    assert isinstance(parsed, UnreadableMessage)
    assert parsed.kind == kind


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


def test_results_are_read_in_samples_of_stream_time() -> None:
    assert read(FROM_THE_REFERENCE) == Results(
        start=57_520,
        end=59_980,
        words=[StreamWord(58_080, 58_720, "dying", "Dying,", 0.8466797, 0)],
        is_final=True,
        speech_final=True,
        from_finalize=False,
        transcript="Dying, come at once.",
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
    assert result.words == [StreamWord(1200, 1400, "ah", "ah", 0.7, None)]


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


@pytest.mark.parametrize("words", [None, "", {}, [], [None, {}], [{"word": None}, {"punctuated_word": " "}]])
def test_where_no_word_is_the_window_is_left(words: object) -> None:
    result = read(wire(words))
    assert (result.start, result.end, result.words) == (1000, 3000, [])


@pytest.mark.parametrize("words", ["ah", {"word": "ah"}, [None, 5, "ah"], [{"word": ["ah"]}], [{"token": "ah"}]])
def test_a_final_whose_words_can_not_be_read_is_no_silence(words: object) -> None:
    is_unreadable(json.dumps(wire(words)), "a Results whose text can't be read")
    assert isinstance(parse(json.dumps(wire(words, is_final=False)), RATE), Results)
    message = wire(words)
    message["channel"]["alternatives"][0]["transcript"] = "ah"
    assert [word.word for word in read(message).words] == ["ah"], "the transcript is enough"


@pytest.mark.parametrize("alternatives", ["ah", [3], ["ah"], {"transcript": "ah"}, [{"transcript": ["ah"]}]])
def test_nor_is_one_whose_transcript_stands_elsewhere(alternatives: object) -> None:
    is_unreadable(json.dumps(wire(channel={"alternatives": alternatives})), "a Results whose text can't be read")
    is_unreadable(json.dumps(wire(channel=[{"alternatives": alternatives}])), "a Results whose text can't be read")


@pytest.mark.parametrize(
    "channel", [{}, {"alternatives": []}, None, {"alternatives": None}, [], {"alternatives": [{}]}]
)
def test_a_final_without_alternatives_is_an_empty_one(channel: object) -> None:
    result = read(wire(channel=channel))
    assert (result.is_final, result.end, result.words) == (True, 3000, [])


@pytest.mark.parametrize(
    "fields",
    [{"start": None}, {"duration": None}, {"start": "soon"}, {"start": -1, "channel": 0}, {"start": 1e308}],
)
def test_without_a_window_it_is_no_result(fields: dict[str, Any]) -> None:
    """A window can't be guessed: it says which audio is answered."""
    is_odd(json.dumps(wire(**fields)), "a Results that can't be read")


@pytest.mark.parametrize(
    ("fields", "window"),
    [
        ({"start": None}, (1200, 3200)),
        ({"duration": "soon"}, (1000, 1700)),
        ({"start": -1, "duration": None}, (1200, 1700)),
        ({"start": 1e999, "duration": float("nan")}, (1200, 1700)),
    ],
)
def test_without_a_window_it_is_where_its_words_are(fields: dict[str, Any], window: tuple[int, int]) -> None:
    """Compatible servers go by words anyway."""
    words = ({"word": "ah", "start": 1.2, "end": 1.4}, {"word": "oh", "start": 1.5, "end": 1.7})
    result = read(wire(words, **fields))
    assert (result.start, result.end) == window


def test_a_final_with_words_and_no_time_at_all_is_unreadable() -> None:
    """Nobody knows what it answers, and what comes next would answer that."""
    message = wire(({"word": "ah"},), start=None)
    is_unreadable(json.dumps(message), "a Results that can't be read")
    is_odd(json.dumps({**message, "is_final": False}), "a Results that can't be read")


def test_a_negative_duration_is_none() -> None:
    assert read(wire(duration=-1.0)).end == 1000


def test_an_utterance_end_tells_its_last_word() -> None:
    assert parse('{"type":"UtteranceEnd","channel":[0,1],"last_word_end":2.395}', RATE) == UtteranceEnd(2395)


@pytest.mark.parametrize("last", ["-1", "-1.0", "null", '"soon"', "1e306", "NaN"])
def test_an_utterance_end_may_not_know_it(last: str) -> None:
    parsed = parse(f'{{"type":"UtteranceEnd","last_word_end":{last}}}', RATE)
    assert isinstance(parsed, UtteranceEnd)
    assert parsed.last_word_end < 0


def test_metadata_is_the_end_of_a_stream() -> None:
    assert parse('{"type":"Metadata","duration":44.2,"models":["..."]}', RATE) == Metadata()


@pytest.mark.parametrize(
    ("message", "told"),
    [
        ({"type": "Error", "description": "no", "message": "m"}, "no"),
        ({"type": "Error", "message": "m"}, "m"),
        ({"type": "Error", "description": {}}, "no description"),
        ({"type": "error", "error": {"type": "invalid_request", "message": "no"}}, "no"),
        ({"type": "Error", "error_code": 5, "error_message": "no"}, "no"),
        ({"type": "Error", "err_code": "E", "err_msg": "no"}, "no"),
        ({"type": "Error", "errorMessage": "no"}, "no"),
        ({"type": "Error", "detail": [{"loc": ["query"], "msg": "no"}]}, "no"),
        ({"type": "Warning", "description": "slow"}, "slow"),
        ({"type": "ConfigureFailure", "reason": "no"}, "no"),
        ({"type": "Status", "Error": "no"}, "no"),
        ({"error": "no"}, "no"),
        ({"error": True, "message": "no"}, "no"),
        ({"message": "m", "err_code": "INVALID_AUTH"}, "m"),
        ({"error": 500}, "500"),
        ({"error": 10**400}, "no description"),
        ({"status": "error", "message": "no"}, "no"),
        ({"event": "Error", "message": "no"}, "no"),
        ({"message": "Error", "type": "not_authorised", "reason": "no"}, "no"),
        ({"success": False, "message": "no"}, "no"),
        ({"type": "error", "data": {"message": "no"}}, "no"),
        ({"type": "error", "error": {"message": {"text": "no"}}}, "no"),
        ({"type": "Error", "payload": [{"error_description": "no"}]}, "no"),
        ({"type": "error", "error": "error", "msg": "no"}, "no"),
        ({"type": "Error", "description": "a\nb\x1b[2J\ud800"}, "a b [2J\ufffd"),
        ({"type": "Error", "description": "x" * 5000}, "x" * 200),
    ],
)
def test_an_error_is_logged_in_the_servers_words(message: dict[str, Any], told: str) -> None:
    parsed = parse(json.dumps(message), RATE)
    assert isinstance(parsed, ServerError)
    assert parsed.text == told


def test_an_error_that_is_none_is_no_complaint() -> None:
    is_odd('{"type":"Status","error":null,"warning":""}', "a message of type 'Status'")


def test_speech_started_is_known_and_not_needed() -> None:
    assert parse('{"type":"SpeechStarted","channel":[0,1],"timestamp":9.54}', RATE) is None


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (b"", "a binary message"),
        (b"\x00", "a binary message"),
        ("", "text that is not JSON"),
        ("hello", "text that is not JSON"),
        ("[" * 100_000, "text that is not JSON"),
        ("{}", "a message without a type"),
        ('{"type":null}', "a message without a type"),
        ('"Results"', "a message without a type"),
        ("[]", "a message without a type"),
        ("null", "a message without a type"),
        ('{"type":"TurnInfo"}', "a message of type 'TurnInfo'"),
    ],
)
def test_whatever_means_nothing_is_odd_and_no_more(text: str | bytes, kind: str) -> None:
    is_odd(text, kind)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ('{"type":"Results"', "text that is not JSON"),
        ('"duration":1.0,"is_final":true}', "text that is not JSON"),
        ("{'type': 'Results'}", "text that is not JSON"),
        ('{"a":' * 100_000, "text that is not JSON"),
        ('{"type":"Results"}{"type":"Results"}', "text that is not JSON"),
        (b'{"type":"Results"', "a binary message"),
        ('[{"type":"Results"}]', "a message without a type"),
        (json.dumps('{"type":"Results"}'), "a message without a type"),
    ],
)
def test_an_unreadable_message_that_may_have_been_a_final_is_told_apart(text: str | bytes, kind: str) -> None:
    is_unreadable(text, kind)


SAID = {"word": "ah", "start": 1.2, "end": 1.4, "confidence": 0.7, "punctuated_word": "Ah."}
AH = StreamWord(1200, 1400, "ah", "Ah.", 0.7, None)


@pytest.mark.parametrize(
    "text",
    [
        json.dumps(wire((SAID,))).replace("0.5", "NaN"),
        json.dumps(wire((SAID,), metadata={"x": float("-inf")})),
        json.dumps(wire((SAID,))).replace("0.5", "1e999"),
        json.dumps(wire((SAID,), channel_index="@")).replace('"@"', "9" * 5000),
        json.dumps(wire((SAID,), metadata={"name": "\ud800"})),
        json.dumps(wire((SAID,), metadata={"name": "@"})).replace("@", "\n\x01\t"),
        "\ufeff" + json.dumps(wire((SAID,))),
        "\n " + json.dumps(wire((SAID,))) + "\0\r\n",
        json.dumps(wire((SAID,))).encode(),
        b"\xef\xbb\xbf" + json.dumps(wire((SAID,))).encode(),
        json.dumps(wire((SAID,), metadata={"name": "@"})).encode().replace(b"@", b"\xff\xfe"),
        json.dumps({**wire((SAID,)), "type": "results"}),
        json.dumps({key: value for key, value in wire((SAID,)).items() if key != "type"}),
        json.dumps(wire((SAID,), is_final="true", start="1", duration=" 2.0 ")),
        json.dumps(wire((SAID,), is_final=1)),
        json.dumps(wire(({**SAID, "start": "1.2", "end": "1.4", "confidence": "0.7", "speaker": True},))),
    ],
)
def test_what_other_clients_can_read_is_read(text: str | bytes) -> None:
    result = parse(text, RATE)
    assert isinstance(result, Results)
    assert (result.is_final, result.start, result.end, result.words) == (True, 1000, 3000, [AH])


@pytest.mark.parametrize(
    ("given", "word", "text"),
    [
        ({"word": "ah"}, "ah", "ah"),
        ({"punctuated_word": "Ah,"}, "ah", "Ah,"),
        ({"word": None, "punctuated_word": "Ah,"}, "ah", "Ah,"),
        ({"word": "ah", "punctuated_word": ""}, "ah", "ah"),
        ({"word": " ah\n"}, "ah", "ah"),
        ({"word": "a\ud800h"}, "a\ufffdh", "a\ufffdh"),
        ({"word": "\ud83d\ude00"}, "\U0001f600", "\U0001f600"),
        ({"word": 7, "punctuated_word": 7.5}, "7", "7.5"),
    ],
)
def test_either_form_of_a_word_is_enough(given: dict[str, Any], word: str, text: str) -> None:
    [one] = read(wire(({"start": 1.2, "end": 1.4, **given},))).words
    assert (one.word, one.text) == (word, text)


@pytest.mark.parametrize(
    ("given", "confidence"),
    [
        (float("nan"), 0),
        (float("inf"), 0),
        (1e308, 1),
        (-0.5, 0),
        ("nan", 0),
        ("0.25", 0.25),
        (True, 0),
        ([], 0),
        (1, 1),
    ],
)
def test_a_confidence_is_from_0_to_1(given: object, confidence: float) -> None:
    assert read(wire(({"word": "ah", "start": 1.2, "confidence": given},))).words[0].confidence == confidence


@pytest.mark.parametrize(
    ("given", "speaker"),
    [(0, 0), ("1", 1), (2.0, 2), (True, None), (-1, None), (1e30, None), (10**25, None), ({}, None)],
)
def test_a_speaker_is_a_number(given: object, speaker: int | None) -> None:
    assert read(wire(({"word": "ah", "start": 1.2, "speaker": given},))).words[0].speaker == speaker
