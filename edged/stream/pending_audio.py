"""Pending audio: the samples that the gate passed and that have no outcome yet, with their segments. Pure.

The law: each sample enters as waiting, once. It leaves once, with exactly one outcome: recorded, silence, evicted or
handed over. Its audio is kept exactly as long as it waits. What is acknowledged is a set of ranges, never one number.
A sample that is handed over waits in the pending audio of another sender.
"""

from array import array
from bisect import bisect_left, bisect_right
from collections import deque
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from edged.model.audio import BYTES_PER_SAMPLE
from edged.model.ranges import Range, Ranges

Outcome = Literal["recorded", "silence", "evicted", "handed over"]
"""Reason why a sample waits no longer."""


class AudioReleased(NamedTuple):
    """An event: whatever waited in `[start, end)` has left, with this outcome."""

    start: int
    end: int
    outcome: Outcome


@dataclass(slots=True)
class SpeechSegment:
    """One opening of the gate: the positions `[start, end)`, and where the gate heard a voice in them.

    Segments that are only cut for their length form a chain; `chain_start` is where its first segment starts.
    """

    start: int
    end: int
    chain_start: int
    closed: bool = False
    """The segment has its last audio."""
    continues: bool = False
    """The segment was cut for its length: the next one starts at its end."""
    voiced: Ranges = field(default_factory=Ranges)
    """Positions of voiced frames; may run ahead of the audio."""

    @property
    def is_over(self) -> bool:
        """Whether the gate closed at its end, so that no speech continues there."""
        return self.closed and not self.continues

    @property
    def voiced_end(self) -> int:
        """End of the last voiced frame, or the segment's start if there is none."""
        return self.voiced.end or self.start

    def speech_start(self, pause_samples: int) -> int:
        """Return where the pre-roll ends: at the first voice of at least `pause_samples`, or at the end without one.

        Shorter voices are clicks. A segment that continues another has no pre-roll.
        """
        if self.start != self.chain_start:
            return self.start
        run_start = run_end = -pause_samples
        for start, end in self.voiced:
            run_start, run_end = (start if start - run_end >= pause_samples else run_start), end
            if run_end - run_start >= pause_samples:
                return min(run_start, self.end)
        return self.end


class PendingAudio:
    """Samples that the gate passed and that have no outcome yet, with their audio and their segments."""

    def __init__(self) -> None:
        self.waiting = Ranges()
        """Positions of the samples without an outcome."""
        self.released_samples: dict[Outcome, int] = {"recorded": 0, "silence": 0, "evicted": 0, "handed over": 0}
        """Number of samples that have left, by outcome."""
        self.acknowledged_speech_samples = 0
        """Number of voiced samples that were recorded or settled as silence."""
        self.accepted_samples = 0
        """Number of samples that have entered."""
        self.released: list[AudioReleased] = []
        """Ranges that have left, in order. The caller takes them and clears this list."""
        self.segments: deque[SpeechSegment] = deque()
        """Segments in order: those with waiting audio, and the open one."""
        self._audio: list[tuple[int, bytes]] = []

    @property
    def end(self) -> int:
        """Position after the last sample that entered; 0 if no segment is kept."""
        return self.segments[-1].end if self.segments else 0

    # -- from the gate ------------------------------------------------------------------------------------------------

    def open(self, at: int) -> None:
        """Begin a segment at a position. Raises ValueError while another is open, or if it would overlap one."""
        last = self.segments[-1] if self.segments else None
        if last and (not last.closed or at < last.end):
            raise ValueError(f"a segment can't begin at {at}: its predecessor ends at {last.end}")
        chain = last.chain_start if last and last.continues and last.end == at else at
        self.segments.append(SpeechSegment(at, at, chain))

    def append(self, position: int, pcm: bytes, voiced: tuple[Range, ...] = ()) -> None:
        """Add audio to the open segment. Raises ValueError if none is open, or if the audio would overlap."""
        segment = self.segments[-1] if self.segments else None
        if segment is None or segment.closed or position < segment.end:
            raise ValueError(f"no segment is open for audio at {position}")
        length = len(pcm) // BYTES_PER_SAMPLE
        segment.end = position + length
        for start, end in voiced:
            segment.voiced.add(start, end)
        self.waiting.add(position, position + length)
        self._audio.append((position, pcm))
        self.accepted_samples += length

    def close(self, *, continues: bool = False) -> None:
        """Close the open segment at its last audio. Raises ValueError if none is open.

        `continues`: the segment is only cut for its length; the next one begins at the next sample.
        """
        segment = self.segments[-1] if self.segments else None
        if segment is None or segment.closed:
            raise ValueError("no segment is open")
        segment.closed, segment.continues = True, continues
        self._discard_released(segment.start, segment.end)

    def split(self, at: int) -> None:
        """Split the segment that holds `at`, as if the gate had closed and opened there.

        Splits the open segment if `at` is its end. Does nothing where no segment is, or where one starts.
        """
        newest = self.segments[-1] if self.segments else None
        segment = newest if newest and not newest.closed and at == newest.end else self.segment_at(at)
        if segment is None or segment.start == at:
            return
        later = SpeechSegment(at, segment.end, at, segment.closed, segment.continues)
        known_to = max(segment.end, segment.voiced.end or 0)  # voice is reported ahead of its audio
        for start, end in segment.voiced.within(at, known_to):
            later.voiced.add(start, end)
        segment.voiced.remove(at, known_to)
        segment.end, segment.closed, segment.continues = at, True, False
        i = self.segments.index(segment)
        self.segments.insert(i + 1, later)
        for following in list(self.segments)[i + 2 :]:
            if following.chain_start == segment.chain_start:
                following.chain_start = at

    # -- to a session -------------------------------------------------------------------------------------------------

    def next_piece(self, position: int, max_samples: int) -> Range | None:
        """Return the range of the first waiting audio at or after `position`: at most `max_samples`, in one piece.

        Returns None if nothing waits there.
        """
        following = self.waiting.following(position)
        if following is None:
            return None
        start, end = following
        at, pcm = self._audio[bisect_right(self._audio, start, key=_position) - 1]
        return start, min(end, at + len(pcm) // BYTES_PER_SAMPLE, start + max_samples)

    def pcm(self, start: int, end: int) -> bytes:
        """Return the audio of a range that `next_piece` returned, or of a part of it."""
        at, pcm = self._audio[bisect_right(self._audio, start, key=_position) - 1]
        return pcm[(start - at) * BYTES_PER_SAMPLE : (end - at) * BYTES_PER_SAMPLE]

    def read(self, position: int, max_samples: int) -> tuple[int, bytes] | None:
        """Return the start and the audio of what `next_piece` returns; None if nothing waits there."""
        piece = self.next_piece(position, max_samples)
        return (piece[0], self.pcm(*piece)) if piece else None

    # -- outcomes and segments ----------------------------------------------------------------------------------------

    def release(self, start: int, end: int, outcome: Outcome) -> int:
        """Give an outcome to whatever waits in `[start, end)`; return the number of those samples."""
        self.acknowledged_speech_samples += (
            self.pending_voiced_samples(start, end) if outcome in ("recorded", "silence") else 0
        )
        released = self.waiting.remove(start, end)
        self.released_samples[outcome] += released
        if released:
            self.released.append(AudioReleased(start, end, outcome))
            self._discard_released(start, end)
        return released

    def segment_at(self, position: int) -> SpeechSegment | None:
        """Return the segment that holds a position; None if there is none, or if it is no longer kept."""
        i = bisect_right(self.segments, position, key=lambda segment: segment.start) - 1
        return self.segments[i] if i >= 0 and position < self.segments[i].end else None

    def split_by_segment(self, start: int, end: int) -> list[Range]:
        """Split `[start, end)` where one chain of segments ends and another begins."""
        cuts = [s.start for s in self.segments if start < s.start < end and s.start == s.chain_start]
        return list(zip([start, *cuts], [*cuts, end], strict=True))

    def has_voice(self, start: int, end: int) -> bool:
        """Tell whether the gate heard a voice anywhere in `[start, end)`."""
        return any(s.voiced.overlaps(start, end) for s in self._segments_in(start, end))

    def pending_voiced_samples(self, start: int, end: int) -> int:
        """Return the number of voiced samples that wait in `[start, end)`."""
        return sum(
            b - a
            for segment in self._segments_in(start, end)
            for low, high in segment.voiced.within(start, end)
            for a, b in self.waiting.within(low, high)
        )

    def voiced_runs(self, start: int, end: int) -> Ranges:
        """Return the parts of `[start, end)` in which the gate heard a voice."""
        return Ranges(run for segment in self._segments_in(start, end) for run in segment.voiced.within(start, end))

    def quiet_runs(self, start: int, end: int) -> list[Range]:
        """Return the parts of `[start, end)` in which the gate heard no voice, in order."""
        return self.voiced_runs(start, end).gaps(start, end)

    def quietest_position(self, start: int, end: int, window: int) -> int:
        """Return the middle of the quietest `window` samples in `[start, end)`.

        Returns the middle of the whole range if no window of it waits any more.
        """
        middle = (start + end) // 2
        candidates = [
            (sum(map(abs, array("h", pcm))), abs(at + window // 2 - middle), at + window // 2)
            for position in range(start, end - window + 1, window // 2)
            for at, pcm in [self.read(position, window) or (end, b"")]
            if at == position and len(pcm) == window * BYTES_PER_SAMPLE
        ]
        return min(candidates, default=(0, 0, middle))[2]

    def pauses(self, start: int, end: int, pause_samples: int) -> list[int]:
        """Return the positions where `[start, end]` may be split, in order.

        These are the edges of segments, and the middle of each quiet run of at least `pause_samples`. None lies between
        a segment's start and its speech, which would then lose its pre-roll.
        """
        positions: list[int] = []
        for segment in self._segments_in(start, end):
            if segment.start == segment.chain_start and segment.start >= start:
                positions.append(segment.start)
            quiet = self.quiet_runs(max(start, segment.speech_start(pause_samples)), min(end, segment.end))
            positions += [(a + b) // 2 for a, b in quiet if b - a >= pause_samples]
            if segment.is_over and segment.end <= end:
                positions.append(segment.end)
        return positions

    def next_pause(self, position: int, pause_samples: int, *, beyond: int) -> int:
        """Return where audio sent up to `position` may be split from what follows; later than `beyond` where possible.

        That is the first pause; in an open segment without one, the quietest position near its end.
        """
        open_segment = self.segments[-1] if self.segments and not self.segments[-1].closed else None
        segment = self.segment_at(position) or open_segment
        if segment is None:
            return position
        if beyond < segment.start and position < segment.speech_start(pause_samples):
            return segment.start
        pauses = [pause for pause in self.pauses(position, segment.end, pause_samples) if pause > beyond]
        if pauses:
            return pauses[0]
        if segment is not open_segment:
            return segment.end
        near = max(
            segment.speech_start(pause_samples), segment.end - 10 * pause_samples
        )  # words are shorter than 1.5 s
        return self.quietest_position(near, segment.end, pause_samples // 15)

    def last_pause(self, pause_samples: int) -> int | None:
        """Return the last position that `pauses` finds in any segment; None if there is none."""
        for segment in reversed(self.segments):
            pauses = self.pauses(segment.start, segment.end, pause_samples)
            if pauses:
                return pauses[-1]
        return None

    @property
    def pending_speech_samples(self) -> int:
        """Number of samples in waiting runs that hold a voice, so without mere pre-roll or hangover."""
        return sum(
            end - start
            for segment in self.segments
            for start, end in self.waiting.within(segment.start, segment.end)
            if segment.voiced.overlaps(start, end)
        )

    def oldest_audio(self) -> Range | None:
        """Return the waiting range at the start of the oldest stored piece of audio; None if nothing waits."""
        first = self.waiting.first
        if first is None or not self._audio:
            return None
        found = self.read(first, len(self._audio[0][1]) // BYTES_PER_SAMPLE)
        return (found[0], found[0] + len(found[1]) // BYTES_PER_SAMPLE) if found else None

    def _segments_in(self, start: int, end: int) -> list[SpeechSegment]:
        return [s for s in self.segments if s.start < end and s.end > start]

    def _discard_released(self, start: int, end: int) -> None:
        """Drop the audio within `[start, end)` of which nothing waits, and segments without waiting audio."""
        audio, waits = self._audio, self.waiting.overlaps
        low = max(0, bisect_right(audio, start, key=_position) - 1)
        high = bisect_left(audio, end, key=_position)
        audio[low:high] = [(at, pcm) for at, pcm in audio[low:high] if waits(at, at + len(pcm) // BYTES_PER_SAMPLE)]
        newest = self.segments[-1] if self.segments else None
        self.segments = deque(
            segment
            for segment in self.segments
            # The successor of a segment that continues needs its chain.
            if waits(segment.start, segment.end) or not segment.closed or (segment is newest and segment.continues)
        )


def _position(piece: tuple[int, bytes]) -> int:
    return piece[0]
