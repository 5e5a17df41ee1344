"""Redaction of the API key: some servers echo it in messages that reach the log or a record. Pure."""

import re
from base64 import b64encode
from collections.abc import Callable
from typing import Final

PLACEHOLDER = "<key>"
"""Text that replaces the key."""

_ESCAPES: Final = re.compile(r"\\(?:[^\w\s]|u00[2-7]|x[2-7])|%[2-7]", re.IGNORECASE)
"""Escapes that may stand for a printable ASCII character. Escapes of other letters can't hide a key."""

MIN_BASE64_CHARACTERS: Final = 12
"""Shortest part of a key in base64 to replace. A shorter one may occur in any text."""


def redactor(key: str) -> Callable[[str], str]:
    r"""Return a function that replaces a key in a text, in upper or lower case.

    Any character of the key may be escaped as in JSON (`\u0053`, `\/`), also in a JSON text within another, or as in a
    URL (`%53`). The key may also be part of a base64 text.
    """
    plain = key.lower()
    pattern = re.compile("".join(map(_spellings, key)), re.IGNORECASE)
    parts = _base64_parts(key)

    def may_hold(text: str) -> bool:
        """Tell whether a text may hold the key, much faster than the pattern does."""
        return plain in text.lower() or (("\\" in text or "%" in text) and bool(_ESCAPES.search(text)))

    def redact(text: str) -> str:
        if may_hold(text):
            text = pattern.sub(PLACEHOLDER, text)
        for part in parts:
            text = text.replace(part, PLACEHOLDER)
        return text

    return redact


def _spellings(character: str) -> str:
    """Return a pattern for all spellings of a character of the key; escapes may be escaped up to twice."""
    code = f"{ord(character):02x}"
    if character == "\\":
        return rf"(?:\\{{1,8}}(?:u00{code}|x{code})?|%(?:25){{0,2}}{code})"
    return rf"(?:\\{{0,4}}+(?:{re.escape(character)}|u00{code}|x{code})|%(?:25){{0,2}}{code})"


def _base64_parts(key: str) -> list[str]:
    """Return the base64 characters that a key determines, for each alignment: after 0, 1 or 2 other bytes."""
    parts = [
        b64encode(bytes(before) + key.encode()).decode()[(4 * before + 2) // 3 : (before + len(key)) * 4 // 3]
        for before in range(3)
    ]
    return [part for part in parts if len(part) >= MIN_BASE64_CHARACTERS]
