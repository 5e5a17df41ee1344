"""Refused handshakes and closes: try again soon, or slowly with a loud log line."""

import json
from typing import Any

import pytest

from edged.model.errors import RefusedError, UnreachableError
from edged.model.message_ids import MessageId
from edged.stream.deepgram import close_error, refusal_error


@pytest.mark.parametrize(
    ("status", "advice"),
    [
        (400, "check the parameters in [deepgram]"),
        (401, "no key was given"),
        (402, "no credit is left"),
        (403, "the key may not use this model"),
        (404, "check deepgram.url and deepgram.model"),
        (405, "check deepgram.url and deepgram.model"),
        (418, "check [deepgram]"),
    ],
)
def test_a_refusal_that_somebody_must_do_something_about_is_retried_slowly(status: int, advice: str) -> None:
    error = refusal_error(status, {}, b"")
    assert isinstance(error, RefusedError)
    assert f"HTTP {status}: {advice}" in str(error)


def test_a_wrong_key_is_named_by_where_it_is_from() -> None:
    assert "the key from /etc/edged/key is wrong" in str(refusal_error(401, {}, b"", "/etc/edged/key"))


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
def test_a_refusal_that_passes_is_retried_soon(status: int) -> None:
    assert isinstance(refusal_error(status, {}, b""), UnreachableError)


PAGE = b"<html><body>Log in</body></html>"
HTML = {"content-type": "Text/HTML; charset=utf-8"}


@pytest.mark.parametrize(
    ("status", "headers"),
    [
        *((status, {"location": "http://login.example/"}) for status in (200, 301, 302, 307)),
        *((status, HTML) for status in (200, 400, 402, 403, 404, 405, 451, 511)),
        (511, {}),
        (511, {"content-type": "application/json"}),
    ],
)
def test_a_page_instead_of_the_recogniser_is_a_captive_portal(status: int, headers: dict[str, str]) -> None:
    """A portal disappears when somebody logs in: the client tries again soon, with the jitter of `Unreachable`."""
    error = refusal_error(status, headers, PAGE, "/etc/edged/key")
    assert isinstance(error, UnreachableError)
    assert (
        f"a web page answered instead of the recogniser (HTTP {status}): is there a captive portal or a proxy?"
        in str(error)
    )
    assert error.message_id is MessageId.PORTAL


@pytest.mark.parametrize(
    ("status", "headers"),
    [
        (403, {"content-type": "application/json"}),
        (404, {"content-type": "text/plain"}),
        (403, {}),
        (403, {**HTML, "dg-request-id": "01a07aad"}),
        (404, {**HTML, "dg-error": "no"}),
        (401, HTML),
    ],
)
def test_a_refusal_of_the_recogniser_itself_is_none(status: int, headers: dict[str, str]) -> None:
    """The recogniser refuses without a page, or with headers of its own. A 401 is about the key, whatever sends it."""
    assert isinstance(refusal_error(status, headers, PAGE), RefusedError)


@pytest.mark.parametrize("status", [408, 429, 503])
def test_a_busy_server_may_say_so_in_a_page(status: int) -> None:
    """A front-end of the server sends the page: then Retry-After counts."""
    error = refusal_error(status, {**HTML, "retry-after": "7"}, PAGE)
    assert isinstance(error, UnreachableError)
    assert error.retry_after_s == 7


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (
            {"err_code": "Bad Request", "err_msg": "No such model/language/tier combination found.", "request_id": "u"},
            "No such model/language/tier combination found.",
        ),
        ({"err_code": "INVALID_AUTH", "err_msg": "Invalid credentials."}, "Invalid credentials."),
        ({"category": "C", "message": "M", "details": "D", "request_id": "u"}, "M"),
        ({"error_code": "ASR_BUSY"}, "ASR_BUSY"),
        ({"err_code": "TOO_MANY_REQUESTS"}, "TOO_MANY_REQUESTS"),
        ({"error": {"type": "invalid_request", "message": "no such model"}}, "no such model"),
        ({"detail": [{"loc": ["query", "model"], "msg": "no such model"}]}, "no such model"),
        ({"errorMessage": "no"}, "no"),
    ],
)
def test_the_servers_own_words_are_reported_whatever_key_they_are_under(body: dict[str, Any], said: str) -> None:
    assert f'"{said}"' in str(refusal_error(400, {}, json.dumps(body).encode()))
    assert f'"{said}"' in str(refusal_error(503, {}, json.dumps(body).encode()))


def test_the_header_comes_before_the_body() -> None:
    error = refusal_error(400, {"dg-error": "Invalid query string."}, b'{"err_msg":"other"}')
    assert '"Invalid query string."' in str(error)
    assert "other" not in str(error)


def test_the_request_id_is_logged_as_support_asks_for_it() -> None:
    assert "(request 01a07aad)" in str(refusal_error(401, {"dg-request-id": "01a07aad"}, b""))
    assert "(request 01a07aad)" in str(refusal_error(500, {"dg-request-id": "01a07aad"}, b""))


@pytest.mark.parametrize("value", ["<key>", "Token abc", "", "a" * 65, "a\nb"])
def test_a_request_id_that_looks_like_none_is_not_logged(value: str) -> None:
    assert "(request" not in str(refusal_error(500, {"dg-request-id": value}, b""))


@pytest.mark.parametrize("body", [b"", b"<html>no</html>", b"[]", b"null", b'"no"', b"{", b"\xff\xfe", b"[" * 100_000])
def test_a_body_that_says_nothing_disturbs_nothing(body: bytes) -> None:
    assert str(refusal_error(401, {}, body)) == "refused by the server: HTTP 401: no key was given"


def test_a_server_message_becomes_one_short_line() -> None:
    error = refusal_error(400, {}, json.dumps({"err_msg": "a\nb\r\n" + "x" * 10_000}).encode())
    assert "\n" not in str(error)
    assert '"a b x' in str(error)
    assert len(str(error)) < 400


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("120", 120.0), ("0", 0.0), ("Wed, 21 Oct 2026 07:28:00 GMT", None), ("-1", None), ("", None)],
)
def test_retry_after_is_taken_in_seconds(value: str, seconds: float | None) -> None:
    error = refusal_error(429, {"retry-after": value}, b"")
    assert isinstance(error, UnreachableError)
    assert error.retry_after_s == seconds


@pytest.mark.parametrize(
    ("code", "reason"),
    [(1008, "DATA-0000"), (1008, "The payload cannot be decoded as audio."), (1011, "data0000")],
)
def test_audio_that_can_not_be_decoded_is_a_fault_of_the_configuration(code: int, reason: str) -> None:
    assert isinstance(close_error(code, reason), RefusedError)


@pytest.mark.parametrize(
    "reason", ["Only one client allowed!", "Have not received new audio within the timeout of 20 seconds.", "bad key"]
)
def test_1008_with_any_other_reason_is_told_in_the_servers_words_and_retried_soon(reason: str) -> None:
    error = close_error(1008, reason)
    assert isinstance(error, UnreachableError)
    assert reason in str(error)


def test_a_reason_is_one_printable_line() -> None:
    assert str(close_error(1008, "a\n\x1b[2Jb")) == 'connection closed with code 1008: "a [2Jb"'


TIMEOUT = "Deepgram did not receive audio data or a text message within the timeout window. See https://dpgr.am/net"


@pytest.mark.parametrize("reason", [f"{TIMEOUT}0001", "NET-0001", "net-0001"])
def test_the_idle_limit_is_named(reason: str) -> None:
    error = close_error(1011, reason)
    assert isinstance(error, UnreachableError)
    assert "NET-0001" in str(error)


@pytest.mark.parametrize("reason", [f"{TIMEOUT}0000", "NET-0000", "net-0000"])
def test_the_mute_limit_is_named(reason: str) -> None:
    error = close_error(1011, reason)
    assert isinstance(error, UnreachableError)
    assert "NET-0000" in str(error)


@pytest.mark.parametrize("code", [1000, 1001, 1005, 1006, 1008, 1011, 1012, 1013, 4400])
def test_any_other_close_is_retried_soon(code: int) -> None:
    error = close_error(code, "as it is")
    assert isinstance(error, UnreachableError)
    assert str(error) == f'connection closed with code {code}: "as it is"'


def test_a_connection_that_ends_without_a_close_is_lost() -> None:
    assert str(close_error(None, "")) == "connection lost"
