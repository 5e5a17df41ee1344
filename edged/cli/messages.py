"""How commands speak to people beside their output."""

import sys


def say(text: str) -> None:
    """One line of edged's on standard error, kept to one line whatever a file in it is called."""
    print("edged: " + "".join(c if c.isprintable() else repr(c)[1:-1] for c in text), file=sys.stderr)
