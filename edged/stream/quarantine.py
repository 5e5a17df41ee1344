"""What has ended session after session: kept, in nobody's way, and tried again later. Pure."""

from typing import Final

from edged.model.ranges import Range, Ranges
from edged.stream.pending_audio import PendingAudio

RETRY_AFTER_S: Final = 600.0
"""A server's trouble with some audio is over by then, or never."""


class Quarantine:
    """Ranges of positions, tried again all at once."""

    def __init__(self) -> None:
        self._ranges = Ranges()
        self._since = 0.0

    def __bool__(self) -> bool:
        """Something is set aside."""
        return bool(self._ranges)

    def add(self, start: int, end: int, now: float) -> None:
        """Set this aside, and all of it from now on."""
        self._ranges.add(start, end)
        self._since = now

    def remove(self, start: int, end: int) -> None:
        """Somebody else has it."""
        self._ranges.remove(start, end)

    def clear(self) -> None:
        """It is tried again."""
        self._ranges = Ranges()

    def is_due(self, now: float) -> bool:
        """It is time to try it again."""
        return bool(self._ranges) and now >= self._since + RETRY_AFTER_S

    def next(self, account: PendingAudio, cursor: int, most: int) -> Range | None:
        """Where the first audio is that waits at or after the cursor and is not set aside, at most `most` samples."""
        while (following := account.next_piece(cursor, most)) is not None:
            start, end = following
            aside = self._ranges.following(start) if self._ranges else None
            if aside is None or aside[0] >= end:
                return following
            if aside[0] > start:
                return start, aside[0]
            cursor = aside[1]
        return None
