"""What an earlier process left behind, made into what this one works with: segments to transcribe."""

import asyncio
import dataclasses
import logging
from collections import defaultdict
from pathlib import Path
from typing import Final

from msgspec.structs import replace

from edged.config.settings import CaptureSettings, GateSettings, TranscriptsSettings
from edged.gate.audio_gate import AudioGate, SegmentAudio, SegmentEvent
from edged.gate.detectors import webrtc
from edged.gate.gate import SegmentClosed, SegmentOpened
from edged.model.audio import BYTES_PER_SAMPLE, Block
from edged.model.cures import with_cure
from edged.model.errors import SinkError
from edged.model.ranges import Range, Ranges
from edged.service.clock import boottime_s
from edged.spool.capture_time import Anchor, age_s
from edged.spool.model import RecoveredState, RunBacklog, RunInfo, StoredRange
from edged.spool.ring import RingContents, read_ring
from edged.stream.events import BacklogRange
from edged.transcripts.reconciliation import ReadbackQuery, SinkContents
from edged.transcripts.sinks.registry import readbacks, sinks_that_accept_before_storing

log = logging.getLogger("edged")

BLOCK_S: Final = 0.1
"""What a ring's audio is judged by, as a microphone's is."""

WARM_S: Final = 1.0
"""webrtcvad takes the first frames that it hears for a voice, whatever is in them: it hears what comes before, or the
beginning itself."""


def left_behind(ring: Path) -> RingContents | None:
    """What was captured before a kill and not decided yet; blocks."""
    try:
        kept = read_ring(ring)
        if kept is None and ring.exists():
            log.warning("%s makes no sense, or is another version's: what was undecided in it is lost", ring)
    except OSError as error:
        log.warning("%s can't be read (%s): what was undecided in it is lost", ring, with_cure(error))
        return None
    return kept


def judged_again(kept: RingContents, settings: GateSettings, after: int = 0) -> list[SegmentEvent]:
    """What the gate lets through of it, if one voiced frame is enough: the rest of the word was never captured.

    What lies before `after` is known from elsewhere.
    """
    gate = replace(settings, onset_ms=settings.frame_ms)
    start = max(kept.position, kept.passed_to, after)
    begins = (start - kept.position) * BYTES_PER_SAMPLE
    detector = webrtc(gate.aggressiveness, kept.rate)
    warm, frame = round(WARM_S * kept.rate) * BYTES_PER_SAMPLE, gate.frame_ms * kept.rate // 1000 * BYTES_PER_SAMPLE
    before = kept.pcm[max(0, begins - warm) : begins] or kept.pcm[:warm]
    for low in range(0, len(before) - frame + 1, frame):
        detector(before[low : low + frame])
    intake = AudioGate(gate, kept.rate, detector)
    size = round(BLOCK_S * kept.rate)
    let: list[SegmentEvent] = []
    for low, high in Ranges(kept.holes).gaps(start, kept.position + len(kept.pcm) // BYTES_PER_SAMPLE):
        for at in range(low, high, size):
            first, last = at - kept.position, min(at + size, high) - kept.position
            pcm = kept.pcm[first * BYTES_PER_SAMPLE : last * BYTES_PER_SAMPLE]
            let += intake.feed(Block(at, pcm, kept.at_s + first / kept.rate))
    return let + intake.finish()


def known_to(recovered: RecoveredState, run: str) -> int:
    """Up to where the spool knows the run's audio: it is taken in order, so that what lies before was dealt with."""
    ends = [stretch.end for backlog in recovered.backlogs if backlog.run.run == run for stretch in backlog.ranges]
    records = [*(pending.record for pending in recovered.undelivered), *recovered.delivered]
    return max([*ends, *(record.to for record in records if record.run == run)], default=0)


def from_ring(
    kept: RingContents, let: list[SegmentEvent], recovered: RecoveredState, capture: CaptureSettings
) -> RunBacklog | None:
    """What the gate has now let through of a ring, as what waits of its run; None if that is nothing.

    Of a run that is not known, `capture` tells the device.
    """
    rest = tuple(StoredRange(start, end, start, False, voiced) for start, end, voiced in segments(let))
    if not rest:
        return None
    anchor = Anchor(rest[0].start, kept.at_s + (rest[0].start - kept.position) / kept.rate)
    unknown = RunInfo(kept.run, kept.boot_id, kept.rate, capture.channel, capture.device, kept.at_s)
    boots = recovered.boots
    age = age_s(anchor.at_s, boots.get(kept.boot_id), boots[recovered.boot_id], boottime_s())
    return RunBacklog(recovered.runs.get(kept.run, unknown), rest, (anchor,), boots.get(kept.boot_id), age)


def joined(recovered: RecoveredState, rest: RunBacklog) -> RecoveredState:
    """With more that waits, of a run that is there or of another one."""
    backlogs = {backlog.run.run: backlog for backlog in recovered.backlogs}
    known = backlogs.get(rest.run.run)
    backlogs[rest.run.run] = dataclasses.replace(known, ranges=known.ranges + rest.ranges) if known else rest
    return recovered._replace(backlogs=tuple(backlogs.values()))


def stretches(backlog: RunBacklog, answered: Ranges) -> tuple[BacklogRange, ...]:
    """What waits of a run and is not `answered`; neighbours as one: a word may lie across their border."""
    found: list[BacklogRange] = []
    for each in backlog.ranges:
        for start, end in answered.gaps(each.start, each.end):
            voiced = tuple(Ranges(each.voiced).within(start, end))
            if found and start == found[-1].end:
                found[-1] = BacklogRange(found[-1].start, end, (*found[-1].voiced, *voiced))
            else:
                found.append(BacklogRange(start, end, voiced))
    return tuple(found)


def segments(let: list[SegmentEvent]) -> tuple[BacklogRange, ...]:
    """What was let through, a stretch for each segment."""
    stretches: list[BacklogRange] = []
    start, voiced = 0, list[Range]()
    for event in let:
        match event:
            case SegmentOpened(start):
                voiced = []
            case SegmentAudio():
                voiced += event.voiced
            case SegmentClosed(end):
                stretches.append(BacklogRange(start, end, tuple(voiced)))
    return tuple(stretches)


async def held_by_sinks(transcripts: TranscriptsSettings, recovered: RecoveredState) -> dict[str, SinkContents]:
    """What each sink that can be read has of the records that are pending, and of what waits."""
    ranges: dict[str, Ranges] = defaultdict(Ranges)
    for backlog in recovered.backlogs:
        for stretch in backlog.ranges:
            ranges[backlog.run.run].add(stretch.start, stretch.end)
    for record, _ in recovered.undelivered:
        ranges[record.run].add(record.from_, record.to)
    held = {}
    for sink, look in readbacks(transcripts).items():
        ids = {record.id for record, lacking in recovered.undelivered if sink in lacking}
        if sinks_that_accept_before_storing([sink]):
            ids |= {record.id for record in recovered.delivered}
        if not (ids or ranges):
            continue
        try:
            has = await asyncio.to_thread(look, ReadbackQuery(frozenset(ids), ranges))
        except SinkError as error:  # the sink will say the same, and is tried until it can take them
            log.warning("sink %s can't be read (%s): a record may be in it twice after a crash", sink, error)
            continue
        if has is None:
            log.info("the journal can't be read by this process: a record may be in it twice after a crash")
            continue
        held[sink] = has
    return held
