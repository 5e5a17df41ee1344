"""Messages of the commands on standard error."""

import sys


def say(text: str) -> None:
    """Print a message on standard error, with control characters escaped so that it stays one line."""
    print("edged: " + "".join(c if c.isprintable() else repr(c)[1:-1] for c in text), file=sys.stderr)
