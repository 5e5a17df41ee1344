"""Quarantine for audio that ends session after session: kept, skipped, and tried again later. Pure."""

from typing import Final

from edged.model.ranges import Range, Ranges
from edged.stream.pending_audio import PendingAudio

RETRY_AFTER_S: Final = 600.0
"""Delay before quarantined audio is tried again: a server's fault with it is over by then, or never."""


class Quarantine:
    """Ranges of positions, tried again all at once."""

    def __init__(self) -> None:
        self._ranges = Ranges()
        self._since = 0.0

    def __bool__(self) -> bool:
        """Return whether any audio is quarantined."""
        return bool(self._ranges)

    def add(self, start: int, end: int, now: float) -> None:
        """Quarantine a range, and restart the delay of all ranges."""
        self._ranges.add(start, end)
        self._since = now

    def remove(self, start: int, end: int) -> None:
        """Remove a range that another sender has taken."""
        self._ranges.remove(start, end)

    def clear(self) -> None:
        """Release all ranges, so that they are tried again."""
        self._ranges = Ranges()

    def is_due(self, now: float) -> bool:
        """Return whether the delay is over."""
        return bool(self._ranges) and now >= self._since + RETRY_AFTER_S

    def next(self, pending: PendingAudio, cursor: int, most: int) -> Range | None:
        """Return the first pending range at or after the cursor that is not quarantined, at most `most` samples."""
        while (following := pending.next_piece(cursor, most)) is not None:
            start, end = following
            quarantined = self._ranges.following(start) if self._ranges else None
            if quarantined is None or quarantined[0] >= end:
                return following
            if quarantined[0] > start:
                return start, quarantined[0]
            cursor = quarantined[1]
        return None
