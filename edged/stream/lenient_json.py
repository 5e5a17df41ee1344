"""A lenient JSON reader for servers' messages: accepts what their other clients accept. Pure.

A value of the wrong type is never an error: each function converts it, or returns a default.
"""

import json
import re
from math import isfinite
from typing import Any, Final

import msgspec

from edged.model.record import encodable

MAX_INTEGER_DIGITS: Final = 18
"""Most digits of a number to read as an integer. Python takes quadratic time for long ones and refuses 4,300 digits."""

IGNORED_AROUND_JSON: Final = "\ufeff\0 \t\r\n"
"""Characters to ignore around a JSON text: byte order mark, terminator and white space."""


def decode(text: str | bytes) -> Any:
    """Decode one JSON text as liberally as Python's `json` and browsers do. Raises ValueError.

    Accepts NaN and infinities, huge numbers, lone surrogates, control characters in strings, and what
    `IGNORED_AROUND_JSON` names. Decodes bytes as UTF-8 and replaces invalid ones.
    """
    if isinstance(text, bytes):
        text = text.decode(errors="replace")
    try:
        return msgspec.json.decode(text)
    except (msgspec.MsgspecError, ValueError, RecursionError):  # it is strict, but ten times as fast
        pass
    try:
        return json.loads(text.strip(IGNORED_AROUND_JSON), strict=False, parse_int=_integer)
    except RecursionError:
        raise ValueError("nested too deep") from None


def as_object(value: Any) -> dict[str, Any]:
    """Return an object as it is, and an empty one for anything else."""
    return value if isinstance(value, dict) else {}


def as_array(value: Any) -> list[Any]:
    """Return an array as it is, and an empty one for anything else."""
    return value if isinstance(value, list) else []


def as_bool(value: Any) -> bool:
    """Return a boolean, also from 1, "1" or "true"; False for anything else."""
    return value is True or value == 1 or (isinstance(value, str) and value.strip().lower() in ("true", "1"))


def as_string(value: Any) -> str:
    """Return a stripped string that can be encoded, also from a number; an empty one for anything else."""
    if isinstance(value, str):
        return value.strip() if value.isascii() else encodable(value).strip()
    return "" if as_number(value) is None else str(value)


def as_number(value: Any) -> float | None:
    """Return a finite number, also from a string; None for anything else."""
    if type(value) is float and isfinite(value):  # the usual case, without conversion
        return value
    if not isinstance(value, str | int | float) or isinstance(value, bool):
        return None
    try:
        value = float(value)
    except (ValueError, OverflowError):
        return None
    return value if isfinite(value) else None


def one_line(value: str) -> str:
    """Return a text as one printable line."""
    return " ".join(re.sub(r"\s", " ", "".join(c if c.isprintable() else " " for c in value)).split())


def _integer(digits: str) -> int | float:
    return int(digits) if len(digits) <= MAX_INTEGER_DIGITS else float(digits)
