"""Conversion between records and journal entries with native fields. Pure."""

from collections.abc import Iterator, Mapping

import msgspec

from edged.model.record import Record, plausible

MESSAGE_ID = "7c5fa3b1d86e4e0f9a40c2d1f6b8e913"
"""MESSAGE_ID of every transcript and of nothing else: `journalctl MESSAGE_ID=...` shows them all. Never changes."""

IDENTIFIER = "edged-transcripts"
"""SYSLOG_IDENTIFIER of transcripts: `journalctl -t edged-transcripts` shows them, `-t edged` the log without them."""

INFO = 6
"""Priority of a transcript, in syslog's numbers."""

_json = msgspec.json.Encoder()
_decode = msgspec.json.Decoder().decode


def entry_fields(record: Record) -> Iterator[tuple[str, str]]:
    """Yield name and value of each field. Numbers and `EDGED_WORDS` are written as in the file sink's JSON."""
    yield "MESSAGE", record.text
    yield "MESSAGE_ID", MESSAGE_ID
    yield "PRIORITY", str(INFO)
    yield "SYSLOG_IDENTIFIER", IDENTIFIER
    for name in record.__struct_fields__:
        value = getattr(record, name)
        if name == "text" or value is None:
            continue
        text = value if isinstance(value, str) else _json.encode(value).decode()
        yield _field_name(name), text


def record_from_entry(entry: Mapping[str, object]) -> Record:
    """Return the record that an entry, as systemd's `Reader` gives it, was made from.

    Raises KeyError or one of `UNREADABLE` for an entry that is no record, or one of another version.
    """
    values: dict[str, object] = {}
    for field in msgspec.structs.fields(Record):
        name = _field_name(field.name)
        value = entry.get(name) if field.name == "language" else entry[name]
        is_text = value is None or field.type in (str, str | None)
        values[field.encode_name] = value if is_text else _decode(str(value))
    return plausible(msgspec.convert(values, Record))


def _field_name(attribute: str) -> str:
    return "MESSAGE" if attribute == "text" else f"EDGED_{attribute.strip('_').upper()}"
