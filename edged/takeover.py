"""What an earlier process left behind, made into what this one works with: segments to transcribe."""

import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from msgspec.structs import replace

from edged.audio import BYTES_PER_SAMPLE, Block
from edged.gate.detectors import webrtc
from edged.gate.gate import Close, Open
from edged.gate.intake import Audio, Intake, Let
from edged.ranges import Range
from edged.settings import Gate
from edged.spool.items import Backlog, Recovered
from edged.spool.ring import Kept, recover
from edged.stream.effects import Handed

log = logging.getLogger("edged")

BLOCK_S: Final = 0.1
"""What a ring's audio is judged by, as a microphone's is."""


def left_behind(ring: Path) -> Kept | None:
    """What was captured before a kill and not decided yet; blocks."""
    try:
        return recover(ring)
    except OSError as error:
        log.warning("%s can't be read (%s): what was undecided in it is lost", ring, error.strerror)
        return None


def judged_again(kept: Kept, settings: Gate, after: int = 0) -> list[Let]:
    """What the gate lets through of it, if one voiced frame is enough: the rest of the word was never captured.

    What lies before `after` is known from elsewhere.
    """
    gate = replace(settings, onset_ms=settings.frame_ms)
    intake = Intake(gate, kept.rate, webrtc(gate.aggressiveness, kept.rate))
    start = max(kept.position, kept.let_to, after)
    pcm = memoryview(kept.pcm)[(start - kept.position) * BYTES_PER_SAMPLE :]
    size = round(BLOCK_S * kept.rate) * BYTES_PER_SAMPLE
    let: list[Let] = []
    for low in range(0, len(pcm), size):
        at = start + low // BYTES_PER_SAMPLE
        let += intake.block(Block(at, bytes(pcm[low : low + size]), kept.at_s + (at - kept.position) / kept.rate))
    return let + intake.finish()


def known_to(recovered: Recovered, run: str) -> int:
    """Up to where the spool knows the run's audio: it is taken in order, so that what lies before was dealt with."""
    ends = [stretch.end for backlog in recovered.backlogs if backlog.run.run == run for stretch in backlog.stretches]
    records = [*(pending.record for pending in recovered.pending), *recovered.kept]
    return max([*ends, *(record.to for record in records if record.run == run)], default=0)


def stretches(backlog: Backlog, rest: Iterable[Handed] = ()) -> tuple[Handed, ...]:
    """What waits of a run, with the `rest` from elsewhere; neighbours as one: a word may lie across their border."""
    joined: list[Handed] = []
    for start, end, voiced in [*(Handed(s.start, s.end, s.voiced) for s in backlog.stretches), *rest]:
        if joined and start == joined[-1].end:
            joined[-1] = Handed(joined[-1].start, end, (*joined[-1].voiced, *voiced))
        else:
            joined.append(Handed(start, end, voiced))
    return tuple(joined)


def segments(let: list[Let]) -> tuple[Handed, ...]:
    """What was let through, a stretch for each segment."""
    stretches: list[Handed] = []
    start, voiced = 0, list[Range]()
    for event in let:
        match event:
            case Open(start):
                voiced = []
            case Audio():
                voiced += event.voiced
            case Close(end):
                stretches.append(Handed(start, end, tuple(voiced)))
    return tuple(stretches)
