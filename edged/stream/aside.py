"""What has ended session after session: kept, in nobody's way, and tried again later. Pure."""

from typing import Final

from edged.ranges import Range, Ranges

AGAIN_S: Final = 600.0
"""A server's trouble with some audio is over by then, or never."""


class Aside:
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
        return bool(self._ranges) and now >= self._since + AGAIN_S

    def following(self, position: int) -> Range | None:
        """The first range that ends behind a position."""
        return self._ranges.following(position) if self._ranges else None
