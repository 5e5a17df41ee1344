"""Takes a key out of what a server says, before any of that reaches a log or a record: some say it back. Pure."""

import json
import re
from collections.abc import Callable

from edged.stream.lenient import decode

SHOWN = "<key>"
"""What stands in its place."""


def redactor(key: str) -> Callable[[str], str]:
    r"""Return what replaces a key in a text, in capitals or small letters.

    Also in the strings of a JSON text, where any character may stand as `\u0053`: if it is there, the text comes back
    written anew.
    """
    pattern = re.compile(f"{re.escape(key)}|{re.escape(json.dumps(key)[1:-1])}", re.IGNORECASE)

    def redact(text: str) -> str:
        text = pattern.sub(SHOWN, text)
        if "\\" not in text:
            return text
        try:
            plain = json.dumps(decode(text), ensure_ascii=False)
        except (ValueError, RecursionError):
            return text
        return pattern.sub(SHOWN, plain) if pattern.search(plain) else text

    return redact
