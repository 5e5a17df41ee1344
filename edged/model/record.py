"""The schema of a transcript record, as the file sink writes it: text, times, and the samples it transcribes. Pure."""

from datetime import datetime
from math import isfinite
from typing import Final

import msgspec


class RecordWord(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One word of a record. `start` and `end` are seconds after the record's `start`."""

    word: str
    """The word as the server gives it: lower case, without punctuation."""
    text: str
    """The word with punctuation and capitals, where the server gives them."""
    start: float
    end: float
    confidence: float
    speaker: int | None = None


class Record(msgspec.Struct, frozen=True, kw_only=True, rename={"from_": "from"}):
    """One utterance, unchangeable once committed: every sink gets the same, and so does a delivery after a crash."""

    id: str
    start: str
    """Wall time of the first word's start: UTC, RFC 3339, milliseconds, `Z`."""
    end: str
    """Wall time of the last word's end."""
    text: str
    confidence: float
    channel: int
    words: tuple[RecordWord, ...]
    language: str | None
    model: str
    request_id: str
    """The server's id of the connection that gave the last words: its support asks for this id."""
    replayed: bool
    """Whether some of the audio was sent more than once."""
    delayed_s: float
    """Seconds from the end of the speech to the commit of the record."""
    clock: str
    """State of the clock that `start` and `end` rely on: `synchronized`, `unsynchronized` or `unknown`."""
    device: str
    host: str
    run: str
    """Id of one run of the daemon; `from` and `to` count its samples."""
    from_: int
    to: int


def encodable(text: str) -> str:
    """Return the text with lone surrogates replaced, as JSON and UTF-8 can't hold them."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def probability(value: float | None) -> float:
    """Return a confidence as a number from 0 to 1; 0 if it is absent or not finite."""
    if value is None or not isfinite(value):
        return 0.0
    return value if 0.0 <= value <= 1.0 else float(value > 0)


encode = msgspec.json.Encoder().encode
"""Encode a record as one line of JSON in UTF-8, without a newline."""
UNREADABLE: Final = (msgspec.MsgspecError, ValueError, OverflowError, RecursionError)
"""All errors that decoding raises: not JSON, another schema, not UTF-8, too many brackets, impossible times or
positions."""

LONGEST_SAMPLES: Final = 600 * 48_000
"""Most samples of a record: ten minutes at the highest rate. It keeps a flipped bit from releasing hours of speech."""


def decode(line: bytes | str) -> Record:
    """Decode one line. Raises one of `UNREADABLE` for anything that is no record."""
    return plausible(_decode(line))


_decode = msgspec.json.Decoder(Record).decode


def plausible(record: Record) -> Record:
    """Return the same record. Raises ValueError or OverflowError if its times or positions are impossible."""
    for timestamp in (record.start, record.end):
        datetime.fromisoformat(timestamp).astimezone()  # as a console shows it
    if not 0 <= record.from_ <= record.to <= record.from_ + LONGEST_SAMPLES:
        raise ValueError("its positions are impossible")
    return record
