"""The account of samples: each one that the gate let through waits, is recorded, settled as silence, or evicted. Pure.

The law: a sample enters as waiting, once; it leaves to exactly one of the others, once; and its audio is kept exactly
as long as it waits. What is answered is a set of ranges, never one number. (To be handed over is to wait elsewhere:
in the account of another lane.)
"""

from array import array
from bisect import bisect_left, bisect_right
from collections import deque
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from edged.model.audio import BYTES_PER_SAMPLE
from edged.model.ranges import Range, Ranges

Outcome = Literal["recorded", "silence", "evicted", "handed over"]


class AudioReleased(NamedTuple):
    """What waited in `[start, end)` waits no longer."""

    start: int
    end: int
    outcome: Outcome


@dataclass(slots=True)
class SpeechSegment:
    """One opening of the gate. `chain` is where its first piece began, if it was only cut for its length."""

    start: int
    end: int
    chain_start: int
    closed: bool = False
    continues: bool = False
    voiced: Ranges = field(default_factory=Ranges)

    @property
    def is_over(self) -> bool:
        """The gate has closed behind it: nobody goes on speaking at its end."""
        return self.closed and not self.continues

    @property
    def voiced_end(self) -> int:
        """The end of the last voiced frame, or the start if there is none."""
        return self.voiced.end or self.start

    def speech_start(self, pause: int) -> int:
        """Where its pre-roll ends: at the first voice that goes on for `pause` samples, or at its end without one.

        Shorter ones are clicks. A piece that continues a segment has no pre-roll.
        """
        if self.start != self.chain_start:
            return self.start
        since = until = -pause
        for start, end in self.voiced:
            since, until = (start if start - until >= pause else since), end
            if until - since >= pause:
                return min(since, self.end)
        return self.end


class PendingAudio:
    """Samples let through and not yet answered, with their audio and their segments."""

    def __init__(self) -> None:
        self.waiting = Ranges()
        self.released_samples: dict[Outcome, int] = {"recorded": 0, "silence": 0, "evicted": 0, "handed over": 0}
        """How many samples have left, and where to."""
        self.acknowledged_speech_samples = 0
        """How many of those in which the gate heard a voice were recorded, or settled as silence."""
        self.accepted_samples = 0
        """How many samples have entered."""
        self.released: list[AudioReleased] = []
        """What has left since the caller last emptied this list, in order."""
        self.segments: deque[SpeechSegment] = deque()
        """Those of which something waits, and the open one, in order."""
        self._audio: list[tuple[int, bytes]] = []

    @property
    def end(self) -> int:
        """How far audio was let through."""
        return self.segments[-1].end if self.segments else 0

    # -- from the gate ------------------------------------------------------------------------------------------------

    def open(self, at: int) -> None:
        """A segment begins. Raises ValueError while another is open or if it would overlap."""
        last = self.segments[-1] if self.segments else None
        if last and (not last.closed or at < last.end):
            raise ValueError(f"a segment can't begin at {at}: the one before it reaches to {last.end}")
        chain = last.chain_start if last and last.continues and last.end == at else at
        self.segments.append(SpeechSegment(at, at, chain))

    def append(self, position: int, pcm: bytes, voiced: tuple[Range, ...] = ()) -> None:
        """Audio of the open segment. Raises ValueError without one, or if it would overlap."""
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
        """The open segment ends with its last audio. `continues`: the next begins at the next sample."""
        segment = self.segments[-1] if self.segments else None
        if segment is None or segment.closed:
            raise ValueError("no segment is open")
        segment.closed, segment.continues = True, continues
        self._discard_released(segment.start, segment.end)

    def split(self, at: int) -> None:
        """Part the segment that holds `at`, or the open one at its end, as if the gate had closed and opened there."""
        newest = self.segments[-1] if self.segments else None
        segment = newest if newest and not newest.closed and at == newest.end else self.segment_at(at)
        if segment is None or segment.start == at:
            return
        later = SpeechSegment(at, segment.end, at, segment.closed, segment.continues)
        told_to = max(segment.end, segment.voiced.end or 0)  # a voice is told of ahead of its audio
        for start, end in segment.voiced.within(at, told_to):
            later.voiced.add(start, end)
        segment.voiced.remove(at, told_to)
        segment.end, segment.closed, segment.continues = at, True, False
        i = self.segments.index(segment)
        self.segments.insert(i + 1, later)
        for following in list(self.segments)[i + 2 :]:
            if following.chain_start == segment.chain_start:
                following.chain_start = at

    # -- to a session -------------------------------------------------------------------------------------------------

    def next_piece(self, position: int, most: int) -> Range | None:
        """Where the first audio is that waits at or after `position`: at most `most` samples, in one piece."""
        following = self.waiting.following(position)
        if following is None:
            return None
        start, end = following
        at, pcm = self._audio[bisect_right(self._audio, start, key=_position) - 1]
        return start, min(end, at + len(pcm) // BYTES_PER_SAMPLE, start + most)

    def pcm(self, start: int, end: int) -> bytes:
        """The audio of what `ahead` gave, or of a part of it."""
        at, pcm = self._audio[bisect_right(self._audio, start, key=_position) - 1]
        return pcm[(start - at) * BYTES_PER_SAMPLE : (end - at) * BYTES_PER_SAMPLE]

    def read(self, position: int, most: int) -> tuple[int, bytes] | None:
        """What `ahead` gives, with its audio: where it begins, and its samples."""
        piece = self.next_piece(position, most)
        return (piece[0], self.pcm(*piece)) if piece else None

    # -- from the answers ---------------------------------------------------------------------------------------------

    def release(self, start: int, end: int, fate: Outcome) -> int:
        """What waits in `[start, end)` is answered (or evicted); returns how many samples that were."""
        self.acknowledged_speech_samples += (
            self.pending_voiced_samples(start, end) if fate in ("recorded", "silence") else 0
        )
        released = self.waiting.remove(start, end)
        self.released_samples[fate] += released
        if released:
            self.released.append(AudioReleased(start, end, fate))
            self._discard_released(start, end)
        return released

    def segment_at(self, position: int) -> SpeechSegment | None:
        """The segment that holds a position, if it is still kept."""
        i = bisect_right(self.segments, position, key=lambda segment: segment.start) - 1
        return self.segments[i] if i >= 0 and position < self.segments[i].end else None

    def split_by_segment(self, start: int, end: int) -> list[Range]:
        """`[start, end)` cut where one chain of segments ends and another begins."""
        cuts = [s.start for s in self.segments if start < s.start < end and s.start == s.chain_start]
        return list(zip([start, *cuts], [*cuts, end], strict=True))

    def has_voice(self, start: int, end: int) -> bool:
        """Whether the gate heard a voice anywhere in `[start, end)`."""
        return any(s.voiced.overlaps(start, end) for s in self._segments_in(start, end))

    def pending_voiced_samples(self, start: int, end: int) -> int:
        """How many samples wait in `[start, end)` in which the gate heard a voice."""
        return sum(
            b - a
            for segment in self._segments_in(start, end)
            for low, high in segment.voiced.within(start, end)
            for a, b in self.waiting.within(low, high)
        )

    def voiced_runs(self, start: int, end: int) -> Ranges:
        """In which parts of `[start, end)` the gate heard a voice."""
        return Ranges(run for segment in self._segments_in(start, end) for run in segment.voiced.within(start, end))

    def quiet_runs(self, start: int, end: int) -> list[Range]:
        """The unvoiced runs of `[start, end)`, in order."""
        return self.voiced_runs(start, end).gaps(start, end)

    def quietest_position(self, start: int, end: int, window: int) -> int:
        """The middle of the quietest `window` samples in `[start, end)`, or of them all if none waits any more."""
        middle = (start + end) // 2
        found = [
            (sum(map(abs, array("h", pcm))), abs(at + window // 2 - middle), at + window // 2)
            for position in range(start, end - window + 1, window // 2)
            for at, pcm in [self.read(position, window) or (end, b"")]
            if at == position and len(pcm) == window * BYTES_PER_SAMPLE
        ]
        return min(found, default=(0, 0, middle))[2]

    def pauses(self, start: int, end: int, pause: int) -> list[int]:
        """Where `[start, end]` may be parted, in order: between segments, and midway through `pause` quiet samples.

        Never between a segment's start and its speech, which would then begin without its pre-roll.
        """
        places: list[int] = []
        for segment in self._segments_in(start, end):
            if segment.start == segment.chain_start and segment.start >= start:
                places.append(segment.start)
            quiet = self.quiet_runs(max(start, segment.speech_start(pause)), min(end, segment.end))
            places += [(a + b) // 2 for a, b in quiet if b - a >= pause]
            if segment.is_over and segment.end <= end:
                places.append(segment.end)
        return places

    def next_pause(self, position: int, pause: int, *, beyond: int) -> int:
        """Where what was sent up to `position` may be parted from what follows, somewhere after `beyond`.

        At the first pause; if the open segment has none yet, at the quietest place near its end.
        """
        open_one = self.segments[-1] if self.segments and not self.segments[-1].closed else None
        segment = self.segment_at(position) or open_one
        if segment is None:
            return position
        if beyond < segment.start and position < segment.speech_start(pause):
            return segment.start
        found = [place for place in self.pauses(position, segment.end, pause) if place > beyond]
        if found:
            return found[0]
        if segment is not open_one:
            return segment.end
        near = max(segment.speech_start(pause), segment.end - 10 * pause)  # words are shorter than 1.5 s
        return self.quietest_position(near, segment.end, pause // 15)

    def last_pause(self, pause: int) -> int | None:
        """The last place where nobody speaks for `pause` samples."""
        for segment in reversed(self.segments):
            places = self.pauses(segment.start, segment.end, pause)
            if places:
                return places[-1]
        return None

    @property
    def pending_speech_samples(self) -> int:
        """How many samples wait in stretches in which a voice was heard: not those of priming, or a mere hangover."""
        return sum(
            end - start
            for segment in self.segments
            for start, end in self.waiting.within(segment.start, segment.end)
            if segment.voiced.overlaps(start, end)
        )

    def oldest_audio(self) -> Range | None:
        """The piece of audio that has waited longest, as far as it waits."""
        first = self.waiting.first
        if first is None or not self._audio:
            return None
        found = self.read(first, len(self._audio[0][1]) // BYTES_PER_SAMPLE)
        return (found[0], found[0] + len(found[1]) // BYTES_PER_SAMPLE) if found else None

    def _segments_in(self, start: int, end: int) -> list[SpeechSegment]:
        return [s for s in self.segments if s.start < end and s.end > start]

    def _discard_released(self, start: int, end: int) -> None:
        """Forget audio within `[start, end)` of which nothing waits, and segments."""
        audio, waits = self._audio, self.waiting.overlaps
        low = max(0, bisect_right(audio, start, key=_position) - 1)
        high = bisect_left(audio, end, key=_position)
        audio[low:high] = [(at, pcm) for at, pcm in audio[low:high] if waits(at, at + len(pcm) // BYTES_PER_SAMPLE)]
        newest = self.segments[-1] if self.segments else None
        self.segments = deque(
            segment
            for segment in self.segments
            # Of a piece that continues, the next one must learn its chain.
            if waits(segment.start, segment.end) or not segment.closed or (segment is newest and segment.continues)
        )


def _position(piece: tuple[int, bytes]) -> int:
    return piece[0]
