"""Who is let in, and how the others are refused: reference, sections 1 and 5."""

import json

import pytest

from edged.recognizer.handshake import (
    CONTAINER_RATE,
    Query,
    QueryError,
    Refusal,
    check_request,
    make_refusal,
    parse_query,
)
from tests.recognizer.common import USUAL

TARGET = f"/v1/listen?{USUAL}"
KEYS = frozenset({"secret"})


def refused(target: str, authorization: str | None = None, keys: frozenset[str] | None = None) -> tuple[int, str, str]:
    answer = check_request(target, authorization, keys, "id")
    assert isinstance(answer, Refusal)
    body = json.loads(answer.body)
    assert body["request_id"] == "id"
    assert answer.error == body["err_msg"]
    return answer.status, body["err_code"], body["err_msg"]


def test_a_usual_query_is_understood() -> None:
    query = parse_query(
        f"{USUAL}&interim_results=true&endpointing=300&utterance_end_ms=1000&vad_events=true&smart_format=true"
        "&diarize=true&language=en&keyterm=a&keyterm=b&tag=x"
    )
    assert query == Query(16_000, "nova-3", True, 0.3, 1.0, True, True, True)


def test_defaults_are_deepgrams() -> None:
    assert parse_query(USUAL) == Query(16_000, "nova-3", endpointing_s=0.01)
    assert parse_query(f"{USUAL}&endpointing=false").endpointing_s is None


def test_a_container_names_neither_encoding_nor_rate() -> None:
    assert parse_query("model=nova-3").rate == CONTAINER_RATE


@pytest.mark.parametrize(
    ("extra", "code"),
    [
        ("encoding=linear16", "INVALID_QUERY_PARAMETER"),  # without a rate
        ("sample_rate=16000", "INVALID_QUERY_PARAMETER"),  # without an encoding
        ("encoding=opus&sample_rate=16000", "INVALID_QUERY_PARAMETER"),
        ("encoding=linear16&sample_rate=16k", "INVALID_QUERY_PARAMETER"),
        ("encoding=linear16&sample_rate=4000", "INVALID_QUERY_PARAMETER"),
        (f"{USUAL}&sample_rate=8000", "INVALID_QUERY_PARAMETER"),  # twice
        ("model=nova-3&channels=2", "INVALID_QUERY_PARAMETER"),
        ("model=nova-3&multichannel=true", "INVALID_QUERY_PARAMETER"),
        ("model=nova-3&endpointing=soon", "INVALID_QUERY_PARAMETER"),
        ("model=nova-3&utterance_end_ms=1000", "INVALID_QUERY_PARAMETER"),  # needs interim_results
        ("model=nova-3&interim_results=true&utterance_end_ms=500", "INVALID_QUERY_PARAMETER"),
        ("model=nova-2&keyterm=x", "INVALID_QUERY_PARAMETER"),
        ("model=nova-3&keywords=x:1", "INVALID_QUERY_PARAMETER"),
        ("model=nova-3&interim_results=True", "Bad Request"),  # lower case only
        ("model=supernova", "Bad Request"),
        ("model=flux-general-en", "V2_MODEL_ON_V1_LISTEN_ENDPOINT"),
    ],
)
def test_wrong_and_contradictory_parameters_are_refused(extra: str, code: str) -> None:
    with pytest.raises(QueryError) as error:
        parse_query(extra)
    assert error.value.code == code
    assert refused(f"/v1/listen?{extra}")[:2] == (400, code)


def test_an_unknown_model_has_its_own_words() -> None:
    assert refused("/v1/listen?model=supernova")[2] == "No such model/language/tier combination found."


@pytest.mark.parametrize("target", ["/v2/listen?model=nova-3", "//[", "//[::1", "/v1/listen/[", "//\u2100/v1/listen"])
def test_another_path_is_404(target: str) -> None:
    assert refused(target)[:2] == (404, "NOT_FOUND")


@pytest.mark.parametrize("name", ["sample_rate", "channels", "endpointing", "utterance_end_ms"])
def test_a_number_of_thousands_of_digits_is_refused_like_any_other_wrong_one(name: str) -> None:
    target = f"/v1/listen?encoding=linear16&interim_results=true&{name}={'9' * 5000}"
    assert refused(target if name == "sample_rate" else f"{target}&sample_rate=16000")[0] == 400


@pytest.mark.parametrize("authorization", [None, "Token wrong", "Bearer secret", "secret", "Token", "", "Token \udcff"])
def test_without_the_right_key_as_token_it_is_401(authorization: str | None) -> None:
    assert refused(TARGET, authorization, KEYS) == (401, "INVALID_AUTH", "Invalid credentials.")


@pytest.mark.parametrize("authorization", ["Token secret", "token secret", "Token secret "])
def test_the_right_key_is_let_in(authorization: str) -> None:
    assert isinstance(check_request(TARGET, authorization, KEYS, "id"), Query)


def test_a_stranger_learns_nothing_of_the_query() -> None:
    assert refused("/v1/listen?model=supernova", "Token wrong", KEYS)[0] == 401


def test_without_keys_everybody_is_let_in() -> None:
    assert isinstance(check_request(TARGET, None, None, "id"), Query)


def test_from_500_on_the_key_is_error_code() -> None:
    assert "err_code" in json.loads(make_refusal(429, "id").body)
    assert "error_code" in json.loads(make_refusal(503, "id").body)


def test_retry_after_is_a_header() -> None:
    assert ("Retry-After", "7") in make_refusal(429, "id", retry_after="7").headers
