"""The map from the stream time of one connection to positions in the capture. Pure."""

from bisect import bisect_right
from typing import NamedTuple


class SentPiece(NamedTuple):
    """A run of `length` samples, at `stream_start` in the connection's stream and at `position` in the capture."""

    stream_start: int
    position: int
    length: int


class StreamMap:
    """The audio sent on one connection, for placing the server's results in the capture.

    Audio is sent in order and without overlap. Stream time stands still while nothing is sent, so that neighbouring
    stream times can be hours apart in the capture.
    """

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._pieces: list[SentPiece] = []
        self.sent_samples = 0
        """Samples sent so far, which is the current stream time."""

    def append(self, position: int, length: int) -> None:
        """Add `length` samples sent from `position`. Raises ValueError unless they follow everything sent before."""
        last = self._pieces[-1] if self._pieces else None
        if last and position < last.position + last.length:
            raise ValueError(f"position {position} was sent before on this connection")
        if last and position == last.position + last.length:
            self._pieces[-1] = last._replace(length=last.length + length)
        else:
            self._pieces.append(SentPiece(self.sent_samples, position, length))
        self.sent_samples += length

    def snap(self, stream: int) -> int:
        """Undo the rounding of a time on the wire: return the edge of a sent piece that is very near, if there is one.

        Servers round to 1 ms or to a 32-bit float, which grows coarser as the stream grows long.
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
        """Return the sent pieces in `[start, end)` of stream time, in order and cut to that range."""
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
        """Return the piece that holds a stream time, or the nearest one. Raises ValueError if nothing was sent."""
        if not self._pieces:
            raise ValueError("nothing was sent on this connection")
        return self._pieces[self._index(stream)]

    def position(self, stream: int) -> int:
        """Return the position of a stream time, in or near what was sent. Raises ValueError if nothing was sent."""
        piece = self.piece_at(stream)
        return piece.position + stream - piece.stream_start

    def position_reached(self, stream: int) -> int:
        """Return the position where `[0, stream)` ends: at a gap in the audio its near side, not its far side."""
        return self.position(stream - 1) + 1 if stream > 0 else self.position(0)

    def discard_before(self, before: int) -> None:
        """Drop the pieces that lie wholly before a stream time."""
        del self._pieces[: self._index(before)]

    def _index(self, stream: int) -> int:
        return max(0, bisect_right(self._pieces, stream, key=lambda piece: piece.stream_start) - 1)
