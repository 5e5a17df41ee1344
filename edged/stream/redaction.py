"""Takes a key out of what a server says, before any of that reaches a log or a record: some say it back. Pure."""

import re
from base64 import b64encode
from collections.abc import Callable
from typing import Final

PLACEHOLDER = "<key>"
"""What stands in its place."""

_ESCAPES: Final = re.compile(r"\\(?:[^\w\s]|u00[2-7]|x[2-7])|%[2-7]", re.IGNORECASE)
"""What may stand for a printable ASCII character. Letters beyond that are often escaped, and then it is not there."""

MIN_BASE64_CHARACTERS: Final = 12
"""Less of a key than so many characters of base64 may be a part of any word."""


def redactor(key: str) -> Callable[[str], str]:
    r"""Return what replaces a key in a text, in capitals or small letters.

    Any of its characters may be written as in JSON (`\u0053`, `\/`), also in a JSON text within another, or as in a URL
    (`%53`); or the key may be part of something in base64.
    """
    plain = key.lower()
    pattern = re.compile("".join(map(_spellings, key)), re.IGNORECASE)
    parts = _base64_parts(key)

    def may_hold(text: str) -> bool:
        """Many times as fast as the pattern."""
        return plain in text.lower() or (("\\" in text or "%" in text) and bool(_ESCAPES.search(text)))

    def redact(text: str) -> str:
        if may_hold(text):
            text = pattern.sub(PLACEHOLDER, text)
        for part in parts:
            text = text.replace(part, PLACEHOLDER)
        return text

    return redact


def _spellings(character: str) -> str:
    """A pattern for how a character of a key may be written; escapes may have been escaped twice."""
    code = f"{ord(character):02x}"
    if character == "\\":
        return rf"(?:\\{{1,8}}(?:u00{code}|x{code})?|%(?:25){{0,2}}{code})"
    return rf"(?:\\{{0,4}}+(?:{re.escape(character)}|u00{code}|x{code})|%(?:25){{0,2}}{code})"


def _base64_parts(key: str) -> list[str]:
    """What a key is in base64, with nothing, one or two bytes before it, as far as these and what follows leave it."""
    parts = [
        b64encode(bytes(before) + key.encode()).decode()[(4 * before + 2) // 3 : (before + len(key)) * 4 // 3]
        for before in range(3)
    ]
    return [part for part in parts if len(part) >= MIN_BASE64_CHARACTERS]
