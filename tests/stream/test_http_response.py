"""Whatever a server or a proxy refuses with: its status, its headers and its words are read."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edged.stream.http_response import MAX_RESPONSE_BYTES, HttpResponse, NotHttpError, retry_after_s


def read(*parts: bytes, ended: bool = False) -> HttpResponse:
    response = HttpResponse()
    for part in parts:
        response.feed(part)
    if ended:
        response.feed_eof()
    return response


@pytest.mark.parametrize(
    "line",
    [
        b"HTTP/1.1 403 Forbidden\r\n",
        b"HTTP/1.0 403 Forbidden\r\n",
        b"HTTP/1.1 403\r\n",
        b"HTTP/1.1 403 \r\n",
        b"HTTP/1.1  403 Forbidden\r\n",
        b"HTTP/2 403 \r\n",
        b"HTTP/1.1 403 Forbidden\n",
        b"HTTP/1.1 403 Verboten\xfc\r\n",
    ],
)
def test_the_status_is_read_however_it_is_written(line: bytes) -> None:
    end = b"\r\n" if line.endswith(b"\r\n") else b"\n"
    response = read(line, b"X: 1" + end, end)
    assert (response.status, response.headers) == (403, {"x": "1"})


def test_nothing_is_known_before_the_head_is_complete() -> None:
    assert read(b"HTTP/1.1 403 Forbidden\r\nX: 1\r\n").status == 0


@pytest.mark.parametrize("said", [b"SSH-2.0-OpenSSH\r\n", b"h", b"HTTP/1.1 no\r\n\r\n", b"\r\n\r\n", b"HTTP/" * 20_000])
def test_an_answer_that_is_no_http_is_reported_at_once(said: bytes) -> None:
    with pytest.raises(NotHttpError):
        read(said)


def test_header_lines_that_are_none_are_passed_over() -> None:
    head = b"HTTP/1.1 403 No\r\nnonsense\r\n folded\r\n: \r\nA : b:c\r\nA: d\r\nLong: " + b"x" * 20_000 + b"\r\n\r\n"
    response = read(head)
    assert response.headers["a"] == "b:c, d"
    assert len(response.headers["long"]) == 20_000


def test_an_informational_response_is_not_the_answer() -> None:
    assert read(b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 401 No\r\n\r\n").status == 401


@pytest.mark.parametrize(
    ("headers", "content", "body", "complete"),
    [
        (b"Content-Length: 4\r\n", b"full and more", b"full", True),
        (b"Content-Length: 9\r\n", b"half", b"half", False),
        (b"Content-Length: -1\r\n", b"all", b"all", False),
        (b"Content-Length: " + b"9" * 5000 + b"\r\n", b"all", b"all", False),
        (b"", b"all", b"all", False),
        (b"Transfer-Encoding: chunked\r\n", b"2;x=y\r\nab\r\n1\r\nc\r\n0\r\n\r\n", b"abc", True),
        (b"Transfer-Encoding: chunked\r\n", b"2\nab\n0\n\n", b"ab", True),
        (b"Transfer-Encoding: chunked\r\n", b"5\r\nab", b"ab", False),
        (b"Transfer-Encoding: chunked\r\n", b"nonsense\r\n", b"", False),
        (b"Content-Length: 99999999\r\n", b"x" * MAX_RESPONSE_BYTES, b"x" * MAX_RESPONSE_BYTES, True),
    ],
)
def test_the_body_as_far_as_it_is_there(headers: bytes, content: bytes, body: bytes, complete: bool) -> None:
    response = read(b"HTTP/1.1 403 No\r\n" + headers + b"\r\n", content)
    assert (response.body, response.complete) == (body, complete)
    response.feed_eof()
    assert (response.body, response.complete) == (body, True)


def test_an_upgrade_reaches_websockets_in_the_strict_form() -> None:
    accept = b"Upgrade: websocket\nConnection: keep-alive\nConnection: Upgrade\nSec-WebSocket-Accept: x\nOdd: \x01\n\n"
    assert read(b"HTTP/1.0 101\n" + accept + b"\x81\x00").upgrade_bytes == (
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: keep-alive, Upgrade\r\n"
        b"sec-websocket-accept: x\r\n\r\n\x81\x00"
    )


@given(st.lists(st.binary(max_size=40), max_size=4), st.booleans())
def test_no_answer_breaks_it(parts: list[bytes], ended: bool) -> None:
    response = read(b"HTTP/1.1 403 No\r\nTransfer-Encoding: chunked\r\nA", *parts, ended=ended)
    assert isinstance(response.complete, bool)
    assert isinstance(response.upgrade_bytes, bytes)


# Retry-After

NOW_S = 1_794_000_000.0
"""Fri, 06 Nov 2026 21:20:00 GMT."""


@pytest.mark.parametrize(
    ("headers", "wait_s"),
    [
        ({}, None),
        ({"retry-after": "17"}, 17),
        ({"retry-after": " 1.5 "}, 1.5),
        ({"retry-after": "-17"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "Fri, 06 Nov 2026 21:22:00 GMT"}, 120),
        ({"retry-after": "Friday, 06-Nov-26 21:22:00 GMT"}, 120),
        ({"retry-after": "Fri Nov  6 21:22:00 2026"}, 120),
        ({"retry-after": "Fri, 06 Nov 2026 21:10:00 GMT"}, 0),
        ({"retry-after": "Wed, 21 Oct 2015 07:30:00 GMT", "date": "Wed, 21 Oct 2015 07:28:00 GMT"}, 120),
        ({"retry-after": "Fri, 06 Nov 2026 21:22:00 GMT", "date": "today"}, 120),
        ({"retry-after": "Fri, 06 Nov 99999999999999999999 21:22:00 GMT"}, None),
    ],
)
def test_a_wait_is_a_number_or_a_date(headers: dict[str, str], wait_s: float | None) -> None:
    """A date is compared with the server's own, so that this machine's clock does not matter."""
    assert retry_after_s(headers, NOW_S) == wait_s


def test_a_clock_that_is_not_set_makes_no_wait_of_years() -> None:
    assert retry_after_s({"retry-after": "Fri, 06 Nov 2026 21:22:00 GMT"}, 60.0) is None
