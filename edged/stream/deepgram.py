"""Deepgram's live protocol, version 1: the URL, the client's messages, the meaning of refusals and closes. Pure.

Everything specific to this wire format is here and in `messages`, so that another one can be added beside it. The
facts come from Deepgram's documentation and from recorded traffic. Where these disagree, edged copes with both.
"""

import re
from collections.abc import Mapping
from contextlib import suppress
from typing import Final
from urllib.parse import urlencode, urlsplit, urlunsplit

from edged.config.settings import DeepgramSettings
from edged.model.errors import RefusedError, UnreachableError
from edged.model.message_ids import MessageId
from edged.stream.http_response import retry_after_s
from edged.stream.lenient_json import decode
from edged.stream.messages import explanation

KEEP_ALIVE: Final = '{"type":"KeepAlive"}'
"""Keep-alive message. Sent as text: the server takes a binary frame for audio."""
FINALIZE: Final = '{"type":"Finalize"}'
CLOSE_STREAM: Final = '{"type":"CloseStream"}'

IDLE_LIMIT_S: Final = 12.0
"""Time after the client's last message when the server closes the connection (documented: 10, measured: about 12)."""

MAX_MESSAGE_BYTES: Final = 1 << 20
"""Largest message to accept. No Results comes near this size."""


def listen_url(settings: DeepgramSettings, rate: int) -> str:
    """Return the URL to connect to, with its query made from the settings.

    Booleans are written in lower case; a list repeats its parameter.
    """
    query: list[tuple[str, str]] = [
        ("model", settings.model),
        ("encoding", settings.encoding),
        ("sample_rate", str(rate)),
        ("channels", "1"),
        ("interim_results", _query_value(settings.interim_results)),
        ("endpointing", _query_value(settings.endpointing_ms)),
        ("smart_format", _query_value(settings.smart_format)),
    ]
    if settings.language:
        query.append(("language", settings.language))
    if settings.utterance_end_ms and settings.interim_results:
        query.append(("utterance_end_ms", str(settings.utterance_end_ms)))
    if settings.diarize:
        query.append(("diarize", "true"))
    query += [("keyterm", term) for term in settings.keyterms]
    query += [("keywords", word) for word in settings.keywords]
    for name, value in settings.options.items():
        query += [(name, _query_value(v)) for v in (value if isinstance(value, list) else [value])]
    parts = urlsplit(settings.url)
    return urlunsplit(
        (
            parts.scheme,
            parts.netloc,
            parts.path or "/v1/listen",
            "&".join(filter(None, [parts.query, urlencode(query)])),
            "",
        )
    )


def _query_value(value: str | float | bool) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,63}")
"""Format of a request id: a UUID, or what compatible servers send instead."""


def request_id(headers: Mapping[str, str]) -> str:
    """Return the id that the server's support asks for, from the headers of a handshake; empty without a valid one."""
    value = headers.get("dg-request-id", "")
    return value if _ID.fullmatch(value) else ""


RETRYABLE_STATUSES: Final = frozenset({408, 425, 429})
"""HTTP statuses below 500 that call for another attempt, as all of 5xx do."""
NETWORK_AUTHENTICATION_REQUIRED: Final = 511
"""HTTP status of login pages (RFC 6585)."""


def refusal_error(
    status: int, headers: Mapping[str, str], body: bytes, key_origin: str | None = None, *, now_s: float = 0.0
) -> RefusedError | UnreachableError:
    """Return the error that a refused handshake means: unreachable if retrying helps, refused if a person must act.

    Its text quotes the server's explanation and names the origin of the key. `now_s` is Unix time, for a `Retry-After`
    that is a date.
    """
    quote = _explanation(headers, body)
    id_ = request_id(headers)
    request = f" (request {id_})" if id_ else ""
    if _is_web_page(status, headers):
        return UnreachableError(
            f"a web page answered instead of the recogniser (HTTP {status}): is there a captive portal or a proxy? "
            "Log in to the network, or check deepgram.url"
        ).with_message_id(MessageId.PORTAL)
    if status in RETRYABLE_STATUSES or status >= 500:
        wait_s = retry_after_s(headers, now_s)
        busy = UnreachableError(f"the server can't take us now: HTTP {status}{quote}{request}", retry_after_s=wait_s)
        busy.status = status
        return busy
    advice = {
        400: "check the parameters in [deepgram]",
        401: f"the key from {key_origin} is wrong" if key_origin else "no key was given",
        402: "no credit is left",
        403: "the key may not use this model",
        404: "check deepgram.url and deepgram.model",
        405: "check deepgram.url and deepgram.model",
    }.get(status, "check [deepgram]")
    refused = RefusedError(f"refused by the server: HTTP {status}: {advice}{quote}{request}")
    refused.status = status
    if status != 401:
        return refused
    return refused.with_message_id(MessageId.KEY_REFUSED if key_origin else MessageId.KEY_ABSENT)


def _is_web_page(status: int, headers: Mapping[str, str]) -> bool:
    """Tell whether something between answered in the server's place, such as a login page or a filter.

    The recogniser itself answers with 101, or with an error in JSON. A 401 is always about the key, even if a reverse
    proxy in front of the server sends it.
    """
    if status < 400 or status == NETWORK_AUTHENTICATION_REQUIRED:
        return True
    from_recogniser = any(name.startswith("dg-") for name in headers)
    is_html = headers.get("content-type", "").lower().startswith(("text/html", "application/xhtml"))
    return is_html and not from_recogniser and status < 500 and status not in {401, *RETRYABLE_STATUSES}


def _explanation(headers: Mapping[str, str], body: bytes) -> str:
    """Return the server's explanation of a refusal, from `dg-error` or the JSON body, as `: "..."`; empty without."""
    text = explanation(headers.get("dg-error", ""))
    if not text:
        with suppress(ValueError):
            fields = decode(body)
            text = explanation(fields) if isinstance(fields, dict) else ""
    return f': "{text}"' if text else ""


UNDECODABLE_AUDIO: Final = ("data0000", "cannot be decoded as audio")
"""Marks in the reason of a close, in lower case and without hyphens: Deepgram's code and its prose."""


def close_error(code: int | None, reason: str) -> RefusedError | UnreachableError:
    """Return the error that an unrequested close means: refused only if the server can't decode the audio.

    Code 1008 alone does not tell: it also means too many clients, or too long a silence.
    """
    flat = reason.lower().replace("-", "")
    text = explanation(reason)
    quote = f': "{text}"' if text else ""
    if any(mark in flat for mark in UNDECODABLE_AUDIO):
        return RefusedError(
            f"the server can't decode the audio (close {code}{quote}): check [deepgram.options] and deepgram.url"
        )
    if "net0001" in flat:
        return UnreachableError(f"the server closed an idle connection (close {code}, NET-0001)")
    if "net0000" in flat:
        return UnreachableError(f"the server gave no answer in time and closed (close {code}, NET-0000)")
    return UnreachableError(f"connection closed with code {code}{quote}" if code else "connection lost")
