"""Recovery of the ring: judge again the audio that a killed process had captured and its gate had not decided."""

import dataclasses
import logging
from pathlib import Path
from typing import Final

from msgspec.structs import replace

from edged.config.settings import CaptureSettings, GateSettings
from edged.gate.audio_gate import AudioGate, SegmentAudio, SegmentEvent
from edged.gate.detectors import webrtc
from edged.gate.gate import SegmentClosed, SegmentOpened
from edged.model.audio import BYTES_PER_SAMPLE, Block
from edged.model.cures import with_cure
from edged.model.ranges import Range, Ranges
from edged.service.clock import boottime_s
from edged.spool.capture_time import Anchor, age_s
from edged.spool.model import RecoveredState, RunBacklog, RunInfo, StoredRange
from edged.spool.ring import RingContents, is_empty_ring
from edged.spool.ring import read_ring as read_ring_file
from edged.stream.events import BacklogRange

log = logging.getLogger("edged")

BLOCK_S: Final = 0.1
"""Length of the blocks in which the gate gets a ring's audio, as from a microphone."""

WARM_UP_S: Final = 1.0
"""Audio that the detector hears before it judges: webrtcvad takes its first frames for a voice, whatever they hold.

The detector hears the audio before the undecided part, or the beginning of that part itself.
"""


def read_ring(path: Path) -> RingContents | None:
    """Return what a killed process left in its ring; None if there is nothing, or nothing readable. Blocks."""
    try:
        contents = read_ring_file(path)
        if contents is None and path.exists() and not is_empty_ring(path):
            log.warning("%s makes no sense, or is another version's: what was undecided in it is lost", path)
    except OSError as error:
        log.warning("%s can't be read (%s): what was undecided in it is lost", path, with_cure(error))
        return None
    return contents


def judge_ring(contents: RingContents, settings: GateSettings, after: int = 0) -> list[SegmentEvent]:
    """Return what a new gate passes of a ring, without what lies before position `after`.

    One voiced frame opens this gate: the rest of a word that the kill cut was never captured.
    """
    gate_settings = replace(settings, onset_ms=settings.frame_ms)
    start = max(contents.position, contents.passed_to, after)
    begin_bytes = (start - contents.position) * BYTES_PER_SAMPLE
    detector = webrtc(gate_settings.aggressiveness, contents.rate)
    warm_up_bytes = round(WARM_UP_S * contents.rate) * BYTES_PER_SAMPLE
    frame_bytes = gate_settings.frame_ms * contents.rate // 1000 * BYTES_PER_SAMPLE
    before = contents.pcm[max(0, begin_bytes - warm_up_bytes) : begin_bytes] or contents.pcm[:warm_up_bytes]
    for low in range(0, len(before) - frame_bytes + 1, frame_bytes):
        detector(before[low : low + frame_bytes])
    gate = AudioGate(gate_settings, contents.rate, detector)
    size = round(BLOCK_S * contents.rate)
    events: list[SegmentEvent] = []
    for low, high in Ranges(contents.holes).gaps(start, contents.position + len(contents.pcm) // BYTES_PER_SAMPLE):
        for at in range(low, high, size):
            first, last = at - contents.position, min(at + size, high) - contents.position
            pcm = contents.pcm[first * BYTES_PER_SAMPLE : last * BYTES_PER_SAMPLE]
            events += gate.feed(Block(at, pcm, contents.at_s + first / contents.rate))
    return events + gate.finish()


def known_until(state: RecoveredState, run: str) -> int:
    """Return the position up to which the spool knows a run's audio.

    Audio enters the spool in order, so everything before that position was stored or transcribed.
    """
    ends = [stretch.end for backlog in state.backlogs if backlog.run.run == run for stretch in backlog.ranges]
    records = [*(pending.record for pending in state.undelivered), *state.delivered]
    return max([*ends, *(record.to for record in records if record.run == run)], default=0)


def ring_backlog(
    contents: RingContents, events: list[SegmentEvent], state: RecoveredState, capture: CaptureSettings
) -> RunBacklog | None:
    """Return what the gate passed of a ring (`events`) as backlog of the ring's run; None if it passed nothing.

    `capture` names the device and channel of a run that the spool does not know.
    """
    ranges = tuple(StoredRange(start, end, start, False, voiced) for start, end, voiced in segment_ranges(events))
    if not ranges:
        return None
    anchor = Anchor(ranges[0].start, contents.at_s + (ranges[0].start - contents.position) / contents.rate)
    unknown = RunInfo(contents.run, contents.boot_id, contents.rate, capture.channel, capture.device, contents.at_s)
    boots = state.boots
    age = age_s(anchor.at_s, boots.get(contents.boot_id), boots[state.boot_id], boottime_s())
    run = state.runs.get(contents.run, unknown)
    return RunBacklog(run, ranges, (anchor,), boots.get(contents.boot_id), age)


def merge_backlog(state: RecoveredState, extra: RunBacklog) -> RecoveredState:
    """Return `state` with the backlog `extra`, behind that of the same run if there is any."""
    backlogs = {backlog.run.run: backlog for backlog in state.backlogs}
    known = backlogs.get(extra.run.run)
    merged = dataclasses.replace(known, ranges=known.ranges + extra.ranges) if known else extra
    backlogs[extra.run.run] = merged
    return state._replace(backlogs=tuple(backlogs.values()))


def segment_ranges(events: list[SegmentEvent]) -> tuple[BacklogRange, ...]:
    """Return one range for each segment that the gate opened and closed, with the voice in it."""
    ranges: list[BacklogRange] = []
    start, voiced = 0, list[Range]()
    for event in events:
        match event:
            case SegmentOpened(start):
                voiced = []
            case SegmentAudio():
                voiced += event.voiced
            case SegmentClosed(end):
                ranges.append(BacklogRange(start, end, tuple(voiced)))
    return tuple(ranges)
