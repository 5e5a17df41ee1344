"""Our side of the wire: control messages, and the URL that asks for everything."""

import json
from urllib.parse import parse_qsl, urlsplit

from edged.config.settings import DeepgramSettings
from edged.stream.deepgram import CLOSE_STREAM, FINALIZE, KEEP_ALIVE, listen_url


def test_control_messages_are_text_as_the_server_wants_them() -> None:
    assert [json.loads(text) for text in (KEEP_ALIVE, FINALIZE, CLOSE_STREAM)] == [
        {"type": "KeepAlive"},
        {"type": "Finalize"},
        {"type": "CloseStream"},
    ]


def asked(settings: DeepgramSettings, rate: int = 16_000) -> dict[str, list[str]]:
    query: dict[str, list[str]] = {}
    for name, value in parse_qsl(urlsplit(listen_url(settings, rate)).query, keep_blank_values=True):
        query.setdefault(name, []).append(value)
    return query


def test_the_url_names_everything_that_the_server_must_know() -> None:
    assert asked(DeepgramSettings()) == {
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
    assert listen_url(DeepgramSettings(), 16_000).startswith("wss://api.deepgram.com/v1/listen?model=nova-3&")
    assert listen_url(DeepgramSettings(url="ws://localhost:8080"), 16_000).startswith("ws://localhost:8080/v1/listen?")
    assert listen_url(DeepgramSettings(url="ws://[::1]:80/asr?token=1"), 16_000).startswith(
        "ws://[::1]:80/asr?token=1&model="
    )


def test_the_rate_is_that_of_the_capture() -> None:
    assert asked(DeepgramSettings(), 48_000)["sample_rate"] == ["48000"]


def test_booleans_are_lower_case_and_false_is_said() -> None:
    query = asked(
        DeepgramSettings(endpointing_ms=False, smart_format=False, interim_results=False, options={"numerals": True})
    )
    assert (query["endpointing"], query["smart_format"], query["interim_results"]) == (["false"],) * 3
    assert query["numerals"] == ["true"]


def test_without_interim_results_no_utterance_end_is_asked_for() -> None:
    """The server refuses the pair."""
    assert "utterance_end_ms" not in asked(DeepgramSettings(interim_results=False))
    assert "utterance_end_ms" not in asked(DeepgramSettings(utterance_end_ms=False))


def test_without_a_language_the_server_decides() -> None:
    assert "language" not in asked(DeepgramSettings(language=""))


def test_diarize_is_asked_for_when_it_is_wanted() -> None:
    assert "diarize" not in asked(DeepgramSettings())
    assert asked(DeepgramSettings(diarize=True))["diarize"] == ["true"]


def test_lists_repeat_their_name_and_every_character_survives() -> None:
    query = asked(
        DeepgramSettings(keyterms=["Käse & Brot", "a=b"], keywords=["snuffle:2"], options={"tag": ["x", "y z"]})
    )
    assert query["keyterm"] == ["Käse & Brot", "a=b"]
    assert query["keywords"] == ["snuffle:2"]
    assert query["tag"] == ["x", "y z"]
