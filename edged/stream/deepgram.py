"""Deepgram's live protocol, version 1: the URL, our messages, and what a refusal or a close means. Pure.

Everything that is peculiar to this wire format is here and in `messages`, so that another can stand beside it. The
facts come from Deepgram's documentation and from traffic that others recorded; where sources disagree either answer is
survived.
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
"""As text: in a binary frame it would be taken for audio."""
FINALIZE: Final = '{"type":"Finalize"}'
CLOSE_STREAM: Final = '{"type":"CloseStream"}'

IDLE_LIMIT_S: Final = 12.0
"""The server closes a connection this long after our last message (documented as 10, measured as about 12)."""

MAX_MESSAGE_BYTES: Final = 1 << 20
"""No Results comes near this; a server that sends more is not what we think it is."""


def listen_url(settings: DeepgramSettings, rate: int) -> str:
    """The URL to connect to, its query made from the settings. Booleans are lower case, lists repeat their name."""
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
"""A UUID, or what others make in its place."""


def request_id(headers: Mapping[str, str]) -> str:
    """What the server's support asks for, from the answer to a handshake; empty if it is absent or looks like no id."""
    value = headers.get("dg-request-id", "")
    return value if _ID.fullmatch(value) else ""


RETRYABLE_STATUSES: Final = frozenset({408, 425, 429})
"""Refusals that pass by themselves; 5xx do too."""
NETWORK_AUTHENTICATION_REQUIRED: Final = 511
"""RFC 6585: for login pages only."""


def refusal_error(
    status: int, headers: Mapping[str, str], body: bytes, key_origin: str | None = None, *, now_s: float = 0.0
) -> RefusedError | UnreachableError:
    """What a refused handshake means for us. The text names the server's own words, and where our key is from.

    `now_s`: Unix time, for a `Retry-After` that is a date.
    """
    said = _explanation(headers, body)
    id_ = request_id(headers)
    where = f" (request {id_})" if id_ else ""
    if _is_web_page(status, headers):
        return UnreachableError(
            f"a web page answered instead of the recogniser (HTTP {status}): a captive portal or a proxy? "
            "Log in to the network, or check deepgram.url"
        ).with_message_id(MessageId.PORTAL)
    if status in RETRYABLE_STATUSES or status >= 500:
        wait_s = retry_after_s(headers, now_s)
        busy = UnreachableError(f"the server can't take us now: HTTP {status}{said}{where}", retry_after_s=wait_s)
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
    refused = RefusedError(f"refused by the server: HTTP {status}: {advice}{said}{where}")
    refused.status = status
    return (
        refused
        if status != 401
        else refused.with_message_id(MessageId.KEY_REFUSED if key_origin else MessageId.KEY_ABSENT)
    )


def _is_web_page(status: int, headers: Mapping[str, str]) -> bool:
    """Whether something between answers in the server's place: a login page, or a filter's.

    The recogniser answers with 101 or an error, in JSON. 401 is about a key, whoever says it in front of a server of
    one's own.
    """
    if status < 400 or status == NETWORK_AUTHENTICATION_REQUIRED:
        return True
    ours = any(name.startswith("dg-") for name in headers)
    in_html = headers.get("content-type", "").lower().startswith(("text/html", "application/xhtml"))
    return in_html and not ours and status < 500 and status not in {401, *RETRYABLE_STATUSES}


def _explanation(headers: Mapping[str, str], body: bytes) -> str:
    """The server's own explanation: `dg-error`, or what the JSON body has."""
    text = explanation(headers.get("dg-error", ""))
    if not text:
        with suppress(ValueError):
            fields = decode(body)
            text = explanation(fields) if isinstance(fields, dict) else ""
    return f': "{text}"' if text else ""


UNDECODABLE_AUDIO: Final = ("data0000", "cannot be decoded as audio")
"""In the reason of a close, in lower case and without hyphens: Deepgram's code and its prose."""


def close_error(code: int | None, reason: str) -> RefusedError | UnreachableError:
    """What a close that we did not ask for means for us. Only what the server says of the audio is for people to cure:
    1008 alone has many meanings (one client too many, too long a silence)."""
    flat = reason.lower().replace("-", "")
    text = explanation(reason)
    said = f': "{text}"' if text else ""
    if any(mark in flat for mark in UNDECODABLE_AUDIO):
        return RefusedError(
            f"the server can't decode the audio (close {code}{said}): check [deepgram.options] and deepgram.url"
        )
    if "net0001" in flat:
        return UnreachableError(f"the server closed an idle connection (close {code}, NET-0001)")
    if "net0000" in flat:
        return UnreachableError(f"the server gave no answer in time and closed (close {code}, NET-0000)")
    return UnreachableError(f"connection closed with code {code}{said}" if code else "connection lost")
