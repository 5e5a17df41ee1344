"""Where the stream time of one connection lies in the capture. Pure."""

from bisect import bisect_right
from typing import NamedTuple


class SentPiece(NamedTuple):
    """`length` samples that lie at `stream` on the connection and at `position` in the capture."""

    stream_start: int
    position: int
    length: int


class StreamMap:
    """What was really sent on one connection, so that its answers can be placed.

    Audio goes out in order and without overlap; everything sent counts. Stream time stands still in silence, so
    neighbouring stream times can be hours apart in the capture.
    """

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._pieces: list[SentPiece] = []
        self.sent_samples = 0
        """Samples sent so far: the stream's clock."""

    def append(self, position: int, length: int) -> None:
        """`length` samples from `position` were sent. Raises ValueError if that is not after what was sent before."""
        last = self._pieces[-1] if self._pieces else None
        if last and position < last.position + last.length:
            raise ValueError(f"position {position} was sent before on this connection")
        if last and position == last.position + last.length:
            self._pieces[-1] = last._replace(length=last.length + length)
        else:
            self._pieces.append(SentPiece(self.sent_samples, position, length))
        self.sent_samples += length

    def snap(self, stream: int) -> int:
        """Undo the rounding of a time on the wire: to the nearest end of what was sent in one go, if it is very near.

        The wire rounds like a 32-bit float: 1 ms at least, and more as the stream grows long.
        """
        tolerance = max(self._rate // 1000, stream >> 22)
        if stream >= self.sent_samples - tolerance:
            return self.sent_samples
        i = self._index(stream)
        for edge in (
            (self._pieces[i].stream_start, self._pieces[i].stream_start + self._pieces[i].length)
            if self._pieces
            else ()
        ):
            if abs(edge - stream) <= tolerance:
                return edge
        return max(0, stream)

    def pieces(self, start: int, end: int) -> list[SentPiece]:
        """What lies in `[start, end)` of stream time, in order, cut to it."""
        found = []
        for i in range(self._index(start), len(self._pieces)):
            stream, position, length = self._pieces[i]
            if stream >= end:
                break
            low, high = max(start, stream), min(end, stream + length)
            if low < high:
                found.append(SentPiece(low, position + low - stream, high - low))
        return found

    def piece_at(self, stream: int) -> SentPiece:
        """The whole piece that holds a stream time, or the nearest. Raises ValueError if nothing was sent."""
        if not self._pieces:
            raise ValueError("nothing was sent on this connection")
        return self._pieces[self._index(stream)]

    def position(self, stream: int) -> int:
        """The position of a stream time, inside or a little beyond what was sent. Raises like `piece_at`."""
        piece = self.piece_at(stream)
        return piece.position + stream - piece.stream_start

    def position_reached(self, stream: int) -> int:
        """The position up to which `[0, stream)` reaches: the end of what was sent before a skip, not its far side."""
        return self.position(stream - 1) + 1 if stream > 0 else self.position(0)

    def discard_before(self, before: int) -> None:
        """Drop what lies wholly before a stream time; the piece that holds it stays."""
        del self._pieces[: self._index(before)]

    def _index(self, stream: int) -> int:
        return max(0, bisect_right(self._pieces, stream, key=lambda piece: piece.stream_start) - 1)
