"""JSON of others, read as leniently as their other clients read it. Pure.

A value of the wrong type is never an error: each function returns what can be made of it, or a default.
"""

import json
import re
from math import isfinite
from typing import Any, Final

import msgspec

from edged.model.record import encodable

MAX_INTEGER_DIGITS: Final = 18
"""Of a number that is read as an integer; Python takes quadratic time for long ones, and refuses those over 4,300."""

IGNORED_AROUND_JSON: Final = "\ufeff\0 \t\r\n"
"""A byte order mark, a terminator or white space around the text is no part of it."""


def decode(text: str | bytes) -> Any:
    """Decode one JSON text, with the liberties that Python's `json` and browsers take. Raises ValueError.

    Those are NaN and infinities, numbers too large, lone surrogates, control characters in strings, and what `AROUND`
    names. Bytes are UTF-8; what is not is replaced.
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
    """An object; anything else is an empty one."""
    return value if isinstance(value, dict) else {}


def as_array(value: Any) -> list[Any]:
    """An array; anything else is an empty one."""
    return value if isinstance(value, list) else []


def as_bool(value: Any) -> bool:
    """A boolean, also as a number or in words; anything else is false."""
    return value is True or value == 1 or (isinstance(value, str) and value.strip().lower() in ("true", "1"))


def as_string(value: Any) -> str:
    """A text without white space around it, or a number as one; anything else is empty. It can always be encoded."""
    if isinstance(value, str):
        return value.strip() if value.isascii() else encodable(value).strip()
    return "" if as_number(value) is None else str(value)


def as_number(value: Any) -> float | None:
    """A finite number, also written as a text; None for anything else."""
    if type(value) is float and isfinite(value):  # nearly always, and at once
        return value
    if not isinstance(value, str | int | float) or isinstance(value, bool):
        return None
    try:
        value = float(value)
    except (ValueError, OverflowError):
        return None
    return value if isfinite(value) else None


def one_line(value: str) -> str:
    """A text as one printable line."""
    return " ".join(re.sub(r"\s", " ", "".join(c if c.isprintable() else " " for c in value)).split())


def _integer(digits: str) -> int | float:
    return int(digits) if len(digits) <= MAX_INTEGER_DIGITS else float(digits)
