"""A transcript record: what was said, when, and which samples it answers. This is the format of the file sink. Pure."""

from datetime import datetime
from math import isfinite
from typing import Final

import msgspec


class RecordWord(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One word. `start` and `end` are seconds after the record's `start`."""

    word: str
    """As the server gives it: lower case, bare."""
    text: str
    """With punctuation and capitals, where the server gives them."""
    start: float
    end: float
    confidence: float
    speaker: int | None = None


class Record(msgspec.Struct, frozen=True, kw_only=True, rename={"from_": "from"}):
    """One utterance, fixed when it is committed: every sink gets the same, and so does a delivery after a crash."""

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
    """Of the connection that gave the last of it: what the server's support asks for."""
    replayed: bool
    """Some of its audio was sent more than once."""
    delayed_s: float
    """From the end of the speech to the writing."""
    clock: str
    """`synchronized`, `unsynchronized` or `unknown`: how far `start` and `end` can be trusted."""
    device: str
    host: str
    run: str
    """Identifies one run of the daemon; `from` and `to` count its samples."""
    from_: int
    to: int


def encodable(text: str) -> str:
    """The text with halves of characters (lone surrogates) replaced: JSON and UTF-8 can't hold them."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def probability(value: float | None) -> float:
    """A confidence, from 0 to 1; 0 if it is unknown or none."""
    if value is None or not isfinite(value):
        return 0.0
    return value if 0.0 <= value <= 1.0 else float(value > 0)


encode = msgspec.json.Encoder().encode
"""Record to JSON, UTF-8, one line without its newline."""
UNREADABLE: Final = (msgspec.MsgspecError, ValueError, OverflowError, RecursionError)
"""What decoding raises, whatever is wrong: no JSON, another shape, text that is no UTF-8, brackets without end, times
or positions that can't be true."""

LONGEST_SAMPLES: Final = 600 * 48_000
"""No record answers more: ten minutes at the highest rate. One flipped bit would have it release hours of speech."""


def decode(line: bytes | str) -> Record:
    """Raises one of `UNREADABLE` for anything that is no record."""
    return plausible(_decode(line))


_decode = msgspec.json.Decoder(Record).decode


def plausible(record: Record) -> Record:
    """The same record. Raises ValueError or OverflowError if its times or positions can't be true."""
    for time in (record.start, record.end):
        datetime.fromisoformat(time).astimezone()  # as a console shows it
    if not 0 <= record.from_ <= record.to <= record.from_ + LONGEST_SAMPLES:
        raise ValueError("its positions can't be true")
    return record
