"""Whether a connection is let in: the path, the query and the key, and the words of a refusal. Pure.

Statuses, bodies and texts after Deepgram's documentation; parameters that this server knows nothing of are let
through, as there are dozens that do not matter to it.
"""

import hmac
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple, TypeVar
from urllib.parse import parse_qs, urlsplit

from edged.recognizer.decoding import DECODERS

T = TypeVar("T")

PATH = "/v1/listen"
MODELS = re.compile(r"(nova-[23]|nova|enhanced|base|whisper)(-[a-z0-9]+)*|general|default")
DIGITS = 9
"""Longest whole number to parse; no allowed value has as many digits."""
CONTAINER_RATE = 0
"""Stands for a stream that names no encoding, and so must bring its own header."""


@dataclass(frozen=True)
class Query:
    """Validated parameters of a connection."""

    rate: int
    model: str = "general"
    interim_results: bool = False
    endpointing_s: float | None = 0.01
    """Silence that ends an utterance; None: never. Deepgram's default is 10 ms."""
    utterance_end_s: float | None = None
    vad_events: bool = False
    punctuate: bool = False
    diarize: bool = False
    encoding: str = "linear16"
    """Key of `DECODERS`."""


class Refusal(NamedTuple):
    """An HTTP answer instead of a connection."""

    status: int
    error: str
    """The header `dg-error`."""
    body: str
    headers: tuple[tuple[str, str], ...] = (("Content-Type", "application/json"),)


DEFAULT_ERRORS: Mapping[int, tuple[str, str]] = {
    400: ("Bad Request", "Invalid query string."),
    401: ("INVALID_AUTH", "Invalid credentials."),
    402: ("ASR_PAYMENT_REQUIRED", "Project does not have enough credits for an ASR request."),
    403: ("INSUFFICIENT_PERMISSIONS", "Project does not have access to the requested model."),
    404: ("NOT_FOUND", "Not found."),
    405: ("METHOD_NOT_ALLOWED", "Method not allowed."),
    408: ("REQUEST_TIMEOUT", "Request timed out."),
    429: ("TOO_MANY_REQUESTS", "Too many requests. Please try again later."),
}
"""Deepgram's error code and message for each status."""


def make_refusal(
    status: int, request_id: str, *, code: str | None = None, text: str | None = None, retry_after: str | None = None
) -> Refusal:
    """A refusal in Deepgram's form: `err_code` below 500, `error_code` from there on."""
    usual_code, usual_text = DEFAULT_ERRORS.get(status, ("INTERNAL_SERVER_ERROR", "Service unavailable."))
    code, text = code or usual_code, text or usual_text
    fields = ("err_code", "err_msg") if status < 500 else ("error_code", "error_msg")
    body = json.dumps({fields[0]: code, fields[1]: text, "request_id": request_id})
    headers = [("Content-Type", "application/json")]
    if retry_after is not None:
        headers.append(("Retry-After", retry_after))
    return Refusal(status, text, body, tuple(headers))


def check_request(
    target: str, authorization: str | None, keys: frozenset[str] | None, request_id: str
) -> Query | Refusal:
    """Judge a request: its target as in the request line, its `Authorization`, and the keys that are let in.

    Without `keys` everybody is let in. The key comes first, as a stranger learns nothing more.
    """
    if keys is not None and not _known(authorization, keys):
        return make_refusal(401, request_id)
    try:
        parts = urlsplit(target)
    except ValueError:  # such as //[
        return make_refusal(404, request_id)
    if parts.path != PATH:
        return make_refusal(404, request_id)
    try:
        return parse_query(parts.query)
    except QueryError as error:
        return make_refusal(400, request_id, code=error.code, text=str(error))


def _known(authorization: str | None, keys: frozenset[str]) -> bool:
    scheme, _, key = (authorization or "").partition(" ")
    # All are compared, in constant time. A raw key as `Bearer` is refused, as Deepgram does: that is for JWTs.
    matches = [hmac.compare_digest(key.strip().encode("utf-8", "surrogateescape"), known.encode()) for known in keys]
    return scheme.lower() == "token" and any(matches)


class QueryError(ValueError):
    """A parameter is wrong, or contradicts another one."""

    def __init__(self, text: str, code: str = "INVALID_QUERY_PARAMETER") -> None:
        super().__init__(text)
        self.code = code


def parse_query(query: str) -> Query:
    """Query string to `Query`; raises `QueryError`."""
    values = parse_qs(query, keep_blank_values=True)
    rate = _rate(values)
    model = _model(values)
    interims = _flag(values, "interim_results")
    utterance_end = _one(values, "utterance_end_ms", _whole("utterance_end_ms", 1000, 5000))
    if utterance_end is not None and not interims:
        raise QueryError("utterance_end_ms needs interim_results=true.")
    if _one(values, "channels", _whole("channels", 1, 64)) not in (None, 1) or _flag(values, "multichannel"):
        raise QueryError("This server takes one channel: set channels=1.")
    endpointing: float | None = 0.01
    if values.get("endpointing") == ["false"]:
        endpointing = None
    elif "endpointing" in values:
        wanted = _one(values, "endpointing", _whole("endpointing", 0, 60_000))
        endpointing = 0.01 if wanted is None else wanted / 1000
    return Query(
        rate=rate,
        encoding=_one(values, "encoding", str) or "linear16",
        model=model,
        interim_results=interims,
        endpointing_s=endpointing,
        utterance_end_s=None if utterance_end is None else utterance_end / 1000,
        vad_events=_flag(values, "vad_events"),
        punctuate=_flag(values, "punctuate") or _flag(values, "smart_format"),
        diarize=_flag(values, "diarize"),
    )


def _rate(values: Mapping[str, list[str]]) -> int:
    rate = _one(values, "sample_rate", _whole("sample_rate", 8000, 48_000))
    encoding = _one(values, "encoding", str)
    if encoding is None and rate is None:
        return CONTAINER_RATE
    if encoding is None:
        raise QueryError("sample_rate was given without encoding.")
    if encoding not in DECODERS:
        raise QueryError(f"This server takes {' and '.join(DECODERS)}: set encoding to one of them.")
    if rate is None:
        raise QueryError("encoding was given without sample_rate.")
    return rate


def _model(values: Mapping[str, list[str]]) -> str:
    model = _one(values, "model", str) or "general"
    if model.startswith("flux"):
        raise QueryError("This model is served on /v2/listen.", "V2_MODEL_ON_V1_LISTEN_ENDPOINT")
    if not MODELS.fullmatch(model):
        raise QueryError("No such model/language/tier combination found.", "Bad Request")
    if "keyterm" in values and not model.startswith("nova-3"):
        raise QueryError("keyterm is for nova-3 models; use keywords.")
    if "keywords" in values and model.startswith("nova-3"):
        raise QueryError("keywords is not for nova-3 models; use keyterm.")
    return model


def _one(values: Mapping[str, list[str]], name: str, convert: Callable[[str], T]) -> T | None:
    given = values.get(name)
    if given is None:
        return None
    if len(given) > 1:
        raise QueryError(f"{name} was given more than once.")
    return convert(given[0])


def _whole(name: str, low: int, high: int) -> Callable[[str], int]:
    def convert(text: str) -> int:
        is_whole = text.isascii() and text.isdigit() and len(text) <= DIGITS
        if not is_whole or not low <= int(text) <= high:
            raise QueryError(f"{name} is a whole number from {low} to {high}.")
        return int(text)

    return convert


def _flag(values: Mapping[str, list[str]], name: str) -> bool:
    def convert(text: str) -> bool:
        if text not in ("true", "false"):
            raise QueryError("Invalid query string.", "Bad Request")
        return text == "true"

    return bool(_one(values, name, convert))
