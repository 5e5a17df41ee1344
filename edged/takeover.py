"""What an earlier process left behind, made into what this one works with: segments to transcribe."""

import logging
from pathlib import Path
from typing import Final

from msgspec.structs import replace

from edged.audio import BYTES_PER_SAMPLE, Block
from edged.gate.detectors import webrtc
from edged.gate.gate import Close, Open
from edged.gate.intake import Audio, Intake, Let
from edged.ranges import Range
from edged.settings import Gate
from edged.spool.items import Backlog
from edged.spool.ring import Kept, recover
from edged.stream.lane import Handed

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


def judged_again(kept: Kept, settings: Gate) -> list[Let]:
    """What the gate lets through of it, if one voiced frame is enough: the rest of the word was never captured."""
    gate = replace(settings, onset_ms=settings.frame_ms)
    intake = Intake(gate, kept.rate, webrtc(gate.aggressiveness, kept.rate))
    start = max(kept.position, kept.let_to)
    pcm = memoryview(kept.pcm)[(start - kept.position) * BYTES_PER_SAMPLE :]
    size = round(BLOCK_S * kept.rate) * BYTES_PER_SAMPLE
    let: list[Let] = []
    for low in range(0, len(pcm), size):
        at = start + low // BYTES_PER_SAMPLE
        let += intake.block(Block(at, bytes(pcm[low : low + size]), kept.at_s + (at - kept.position) / kept.rate))
    return let + intake.finish()


def stretches(backlog: Backlog) -> tuple[Handed, ...]:
    """What waits of a run, with the pieces of a long segment as one: nobody was silent between them."""
    joined: list[Handed] = []
    open_end: int | None = None
    for start, end, _, continues, voiced in backlog.stretches:
        if start == open_end:
            joined[-1] = Handed(joined[-1].start, end, (*joined[-1].voiced, *voiced))
        else:
            joined.append(Handed(start, end, voiced))
        open_end = end if continues else None
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
