"""Narration of the demo from the daemon's log. Pure: a line in, a line (or nothing) out.

The demo runs `edged run` as anybody would, and learns of what happens only by what it logs.
"""

import re
from typing import Final

EVENT: Final = re.compile(r"\d{4}-\d\d-\d\d (?P<time>\d\d:\d\d:\d\d)\.\d{3} (?P<level>[A-Z]+) +(?P<text>.*)")
"""A line as `edged.service.log.PlainFormatter` writes it."""
PART: Final = re.compile(r"[a-z_]+(\.[a-z_]+)+: ")
"""The part of edged that speaks, such as `stream.client: `."""

CAPTURING: Final = "capturing "
CONNECTED: Final = "connected to the recogniser"
RECOVERED: Final = "recogniser: works again"
KEEP_ALIVE: Final = 'sent {"type":"KeepAlive"}'
LOST: Final = "recogniser: "
ABSENT: Final = "microphone: "
"""Before it has opened: it can't be had. Later warnings are about its signal."""


class Narrator:
    """`listening` tells that the microphone is open, `absent` that it can't be had; `cutting`, that the demo breaks the
    connection on purpose.
    """

    def __init__(self, *, cutting: bool) -> None:
        self.listening = False
        self.absent = False
        self._cutting = cutting
        self._connections = 0

    def tell(self, line: str) -> str | None:
        """Return what to show for a line of the log, or None to show nothing."""
        event = EVENT.fullmatch(line)
        if event is None:
            return line or None  # no event: why edged would not start, or a traceback
        told = self._told(event["level"], PART.sub("", event["text"], count=1))
        return told and f"{event['time']}  · {told}"

    def _told(self, level: str, text: str) -> str | None:
        if text.startswith(CAPTURING):
            self.listening = True
            device = text.removeprefix(CAPTURING).partition(": ")[0]
            return f"the microphone is open ({device})"
        if text.startswith(CONNECTED):
            self._connections += 1
            return (
                CONNECTED if self._connections == 1 else "connected again; resending audio that has no transcript yet"
            )
        if text == KEEP_ALIVE:
            return "silence: KeepAlive"
        if text.startswith(RECOVERED):
            return text
        self.absent |= level == "WARNING" and text.startswith(ABSENT) and not self.listening
        if level == "WARNING" and text.startswith(LOST) and self._cutting:
            self._cutting = False
            return f"the demo has cut the connection in mid-sentence: {text.removeprefix(LOST)}"
        return None if level in ("INFO", "DEBUG") else f"{level.lower()}: {text}"
