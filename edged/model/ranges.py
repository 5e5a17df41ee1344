"""Sets of sample positions, kept as sorted, disjoint, half-open ranges `[start, end)`. Pure."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator

Range = tuple[int, int]


class Ranges:
    """A set of sample positions. Adjacent ranges are joined; empty ones vanish."""

    __slots__ = ("_ends", "_starts")

    def __init__(self, ranges: Iterable[Range] = ()) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []
        for start, end in ranges:
            self.add(start, end)

    def __iter__(self) -> Iterator[Range]:
        return iter(list(zip(self._starts, self._ends, strict=True)))

    def __len__(self) -> int:
        """Return the number of ranges; `total` counts positions."""
        return len(self._starts)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Ranges) and self._starts == other._starts and self._ends == other._ends

    __hash__ = None  # type: ignore[assignment]  # mutable

    def __repr__(self) -> str:
        return f"Ranges({list(self)})"

    @property
    def total(self) -> int:
        """Number of positions in the set."""
        return sum(self._ends) - sum(self._starts)

    @property
    def first(self) -> int | None:
        """Lowest position in the set, or None if it is empty."""
        return self._starts[0] if self._starts else None

    @property
    def end(self) -> int | None:
        """Highest position in the set plus one, or None if it is empty."""
        return self._ends[-1] if self._ends else None

    def add(self, start: int, end: int) -> None:
        """Add the positions `[start, end)`."""
        if start >= end:
            return
        low = bisect_left(self._ends, start)
        high = bisect_right(self._starts, end)
        if low < high:
            start = min(start, self._starts[low])
            end = max(end, self._ends[high - 1])
        self._starts[low:high] = [start]
        self._ends[low:high] = [end]

    def remove(self, start: int, end: int) -> int:
        """Remove the positions `[start, end)`. Returns how many of them were in the set."""
        if start >= end:
            return 0
        low = bisect_right(self._ends, start)
        high = bisect_left(self._starts, end)
        if low >= high:
            return 0
        had = self.within(start, end)
        starts, ends = [], []
        if self._starts[low] < start:
            starts.append(self._starts[low])
            ends.append(start)
        if self._ends[high - 1] > end:
            starts.append(end)
            ends.append(self._ends[high - 1])
        self._starts[low:high] = starts
        self._ends[low:high] = ends
        return sum(b - a for a, b in had)

    def within(self, start: int, end: int) -> list[Range]:
        """Return the parts of the set inside `[start, end)`, in order."""
        if start >= end:
            return []
        low = bisect_right(self._ends, start)
        high = bisect_left(self._starts, end)
        return [(max(start, self._starts[i]), min(end, self._ends[i])) for i in range(low, high)]

    def gaps(self, start: int, end: int) -> list[Range]:
        """Return the parts of `[start, end)` that are not in the set, in order."""
        found: list[Range] = []
        for a, b in self.within(start, end):
            if a > start:
                found.append((start, a))
            start = b
        if start < end:
            found.append((start, end))
        return found

    def following(self, position: int) -> Range | None:
        """Return the first range at or after `position`, without what lies before it; None if there is none."""
        i = bisect_right(self._ends, position)
        return (max(position, self._starts[i]), self._ends[i]) if i < len(self._starts) else None

    def overlaps(self, start: int, end: int) -> bool:
        """Return whether any position of `[start, end)` is in the set."""
        i = bisect_right(self._ends, start)
        return start < end and i < len(self._starts) and self._starts[i] < end
