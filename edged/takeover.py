"""What an earlier process left behind, made into what this one works with: segments to transcribe."""

import asyncio
import dataclasses
import logging
from collections import defaultdict
from pathlib import Path
from typing import Final

from msgspec.structs import replace

from edged.audio import BYTES_PER_SAMPLE, Block
from edged.cures import with_cure
from edged.errors import SinkError
from edged.gate.detectors import webrtc
from edged.gate.gate import Close, Open
from edged.gate.intake import Audio, Intake, Let
from edged.ranges import Range, Ranges
from edged.service.clock import boottime_s
from edged.settings import Capture, Gate, Transcripts
from edged.spool.dating import Anchor, age_s
from edged.spool.items import Backlog, Recovered, Run, Stretch
from edged.spool.ring import Kept, recover
from edged.stream.effects import Handed
from edged.transcripts.reconcile import Asked, Held
from edged.transcripts.reread import rereaders

log = logging.getLogger("edged")

BLOCK_S: Final = 0.1
"""What a ring's audio is judged by, as a microphone's is."""

WARM_S: Final = 1.0
"""webrtcvad takes the first frames that it hears for a voice, whatever is in them: it hears what comes before, or the
beginning itself."""


def left_behind(ring: Path) -> Kept | None:
    """What was captured before a kill and not decided yet; blocks."""
    try:
        kept = recover(ring)
        if kept is None and ring.exists():
            log.warning("%s makes no sense, or is another version's: what was undecided in it is lost", ring)
    except OSError as error:
        log.warning("%s can't be read (%s): what was undecided in it is lost", ring, with_cure(error))
        return None
    return kept


def judged_again(kept: Kept, settings: Gate, after: int = 0) -> list[Let]:
    """What the gate lets through of it, if one voiced frame is enough: the rest of the word was never captured.

    What lies before `after` is known from elsewhere.
    """
    gate = replace(settings, onset_ms=settings.frame_ms)
    start = max(kept.position, kept.let_to, after)
    begins = (start - kept.position) * BYTES_PER_SAMPLE
    detector = webrtc(gate.aggressiveness, kept.rate)
    warm, frame = round(WARM_S * kept.rate) * BYTES_PER_SAMPLE, gate.frame_ms * kept.rate // 1000 * BYTES_PER_SAMPLE
    before = kept.pcm[max(0, begins - warm) : begins] or kept.pcm[:warm]
    for low in range(0, len(before) - frame + 1, frame):
        detector(before[low : low + frame])
    intake = Intake(gate, kept.rate, detector)
    size = round(BLOCK_S * kept.rate)
    let: list[Let] = []
    for low, high in Ranges(kept.holes).gaps(start, kept.position + len(kept.pcm) // BYTES_PER_SAMPLE):
        for at in range(low, high, size):
            first, last = at - kept.position, min(at + size, high) - kept.position
            pcm = kept.pcm[first * BYTES_PER_SAMPLE : last * BYTES_PER_SAMPLE]
            let += intake.block(Block(at, pcm, kept.at_s + first / kept.rate))
    return let + intake.finish()


def known_to(recovered: Recovered, run: str) -> int:
    """Up to where the spool knows the run's audio: it is taken in order, so that what lies before was dealt with."""
    ends = [stretch.end for backlog in recovered.backlogs if backlog.run.run == run for stretch in backlog.stretches]
    records = [*(pending.record for pending in recovered.pending), *recovered.kept]
    return max([*ends, *(record.to for record in records if record.run == run)], default=0)


def from_ring(kept: Kept, let: list[Let], recovered: Recovered, capture: Capture) -> Backlog | None:
    """What the gate has now let through of a ring, as what waits of its run; None if that is nothing.

    Of a run that is not known, `capture` tells the device.
    """
    rest = tuple(Stretch(start, end, start, False, voiced) for start, end, voiced in segments(let))
    if not rest:
        return None
    anchor = Anchor(rest[0].start, kept.at_s + (rest[0].start - kept.position) / kept.rate)
    unknown = Run(kept.run, kept.boot_id, kept.rate, capture.channel, capture.device, kept.at_s)
    boots = recovered.boots
    age = age_s(anchor.at_s, boots.get(kept.boot_id), boots[recovered.boot_id], boottime_s())
    return Backlog(recovered.runs.get(kept.run, unknown), rest, (anchor,), boots.get(kept.boot_id), age)


def joined(recovered: Recovered, rest: Backlog) -> Recovered:
    """With more that waits, of a run that is there or of another one."""
    backlogs = {backlog.run.run: backlog for backlog in recovered.backlogs}
    known = backlogs.get(rest.run.run)
    backlogs[rest.run.run] = dataclasses.replace(known, stretches=known.stretches + rest.stretches) if known else rest
    return recovered._replace(backlogs=tuple(backlogs.values()))


def stretches(backlog: Backlog, answered: Ranges) -> tuple[Handed, ...]:
    """What waits of a run and is not `answered`; neighbours as one: a word may lie across their border."""
    found: list[Handed] = []
    for each in backlog.stretches:
        for start, end in answered.gaps(each.start, each.end):
            voiced = tuple(Ranges(each.voiced).within(start, end))
            if found and start == found[-1].end:
                found[-1] = Handed(found[-1].start, end, (*found[-1].voiced, *voiced))
            else:
                found.append(Handed(start, end, voiced))
    return tuple(found)


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


async def held_by_sinks(transcripts: Transcripts, recovered: Recovered) -> dict[str, Held]:
    """What each sink that can be read has of the records that are pending, and of what waits."""
    ranges: dict[str, Ranges] = defaultdict(Ranges)
    for backlog in recovered.backlogs:
        for stretch in backlog.stretches:
            ranges[backlog.run.run].add(stretch.start, stretch.end)
    for record, _ in recovered.pending:
        ranges[record.run].add(record.from_, record.to)
    held = {}
    for sink, look in rereaders(transcripts).items():
        ids = {record.id for record, lacking in recovered.pending if sink in lacking}
        if sink == "journal":  # it accepts before it stores
            ids |= {record.id for record in recovered.kept}
        if not (ids or ranges):
            continue
        try:
            has = await asyncio.to_thread(look, Asked(frozenset(ids), ranges))
        except SinkError as error:  # the sink will say the same, and is tried until it can take them
            log.warning("sink %s can't be read (%s): a record may be in it twice after a crash", sink, error)
            continue
        if has is None:
            log.info("the journal can't be read by this process: a record may be in it twice after a crash")
            continue
        held[sink] = has
    return held
