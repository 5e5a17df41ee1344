"""Recovery: what earlier processes left, as one value. The daemon routes it; nothing here calls another part.

Three places know something: the spool, the ring of a process that was killed, and the sinks. A crash may have come
between a record's commit, its delivery and its mark, so the sinks are read before anything is delivered again.
Look here first when a word was transcribed or delivered twice after a restart.
"""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from edged.config.settings import Settings, TranscriptsSettings
from edged.daemon import ring_recovery
from edged.gate.audio_gate import SegmentEvent
from edged.model.errors import SinkError
from edged.model.message_ids import MessageId
from edged.model.ranges import Ranges
from edged.model.record import Record
from edged.service.log import duration
from edged.spool.model import RecoveredState, RunBacklog
from edged.spool.ring import RingContents
from edged.stream.events import BacklogRange
from edged.transcripts.reconciliation import ReadbackQuery, Reconciliation, SinkContents, reconcile
from edged.transcripts.sinks.registry import readbacks, sinks_that_accept_before_storing

log = logging.getLogger("edged")


class RecoveredAudio(NamedTuple):
    """Audio of a killed process that its spool lacks: what a new gate passed of its ring."""

    backlog: RunBacklog
    events: list[SegmentEvent]


class RecoveredBacklog(NamedTuple):
    """Speech of an earlier run that still has no transcript."""

    run: RunBacklog
    """The run, and how to date its audio."""
    ranges: tuple[BacklogRange, ...]
    same_boot: bool
    """Whether the run was in this boot: this boot's clock dates it then."""


class Recovery(NamedTuple):
    """Everything that earlier processes left."""

    audio: RecoveredAudio | None = None
    """Audio to store in the spool; it is part of `backlogs` too."""
    delivered: Mapping[str, set[str]] = {}
    """By sink: ids of records that the sink has, and that the spool still lists as undelivered."""
    adopted: Sequence[tuple[Record, tuple[str, ...]]] = ()
    """Records that sinks have and the spool lost, with those sinks. They are committed again, word for word."""
    undelivered: Sequence[tuple[Record, tuple[str, ...]]] = ()
    """Records, each with the sinks that still lack it."""
    backlogs: Sequence[RecoveredBacklog] = ()
    """Speech to transcribe, oldest run first."""


async def recover(
    state: RecoveredState, ring: RingContents | None, settings: Settings, sinks: Sequence[str]
) -> Recovery:
    """Return what earlier processes left, from the spool's `state`, the contents of a ring and the sinks.

    `sinks` are those that a record waits for.
    """
    if state.unreadable_records:
        log.error("%d records in the spool can't be read by this version and stay there", state.unreadable_records)
    audio = _recover_audio(ring, state, settings) if ring else None
    if audio:
        state = ring_recovery.merge_backlog(state, audio.backlog)
    reconciled = await _reconcile(state, settings.transcripts, sinks)
    transcribed: dict[str, Ranges] = defaultdict(Ranges)
    for record, _ in reconciled.adopted:
        transcribed[record.run].add(record.from_, record.to)
    backlogs = [
        RecoveredBacklog(backlog, ranges, backlog.run.boot_id == state.boot_id)
        for backlog in state.backlogs
        if (ranges := untranscribed(backlog, transcribed[backlog.run.run]))
    ]
    for found in backlogs:
        log.info(
            "%.1f s of speech of an earlier run wait to be transcribed; the oldest was said %s ago",
            sum(end - start for start, end, _ in found.ranges) / found.run.run.rate,
            duration(found.run.age_s),
        )
    return Recovery(audio, reconciled.delivered, reconciled.adopted, reconciled.to_deliver, backlogs)


def _recover_audio(ring: RingContents, state: RecoveredState, settings: Settings) -> RecoveredAudio | None:
    log.warning(
        "the process before this one was killed; recovering the audio that it had captured",
        extra={"message_id": MessageId.KILLED},
    )
    events = ring_recovery.judge_ring(ring, settings.gate, ring_recovery.known_until(state, ring.run))
    backlog = ring_recovery.ring_backlog(ring, events, state, settings.capture)
    return RecoveredAudio(backlog, events) if backlog else None


async def _reconcile(state: RecoveredState, transcripts: TranscriptsSettings, sinks: Sequence[str]) -> Reconciliation:
    contents = await read_sinks(transcripts, state)
    reconciled = reconcile(state.undelivered, state.delivered, contents, sinks, sinks_that_accept_before_storing(sinks))
    if reconciled.adopted:
        log.info("%d records were delivered, but their commit was lost; committing them again", len(reconciled.adopted))
    return reconciled


def untranscribed(backlog: RunBacklog, transcribed: Ranges) -> tuple[BacklogRange, ...]:
    """Return a run's backlog without what is `transcribed`.

    Adjoining ranges become one, because a word may lie across their border.
    """
    found: list[BacklogRange] = []
    for stored in backlog.ranges:
        for start, end in transcribed.gaps(stored.start, stored.end):
            voiced = tuple(Ranges(stored.voiced).within(start, end))
            if found and start == found[-1].end:
                found[-1] = BacklogRange(found[-1].start, end, (*found[-1].voiced, *voiced))
            else:
                found.append(BacklogRange(start, end, voiced))
    return tuple(found)


async def read_sinks(transcripts: TranscriptsSettings, state: RecoveredState) -> dict[str, SinkContents]:
    """Return, for each sink that can be read, its records that are pending or lie in the backlog's ranges."""
    ranges: dict[str, Ranges] = defaultdict(Ranges)
    for backlog in state.backlogs:
        for stored in backlog.ranges:
            ranges[backlog.run.run].add(stored.start, stored.end)
    for record, _ in state.undelivered:
        ranges[record.run].add(record.from_, record.to)
    contents: dict[str, SinkContents] = {}
    for sink, read in readbacks(transcripts).items():
        ids = {record.id for record, lacking in state.undelivered if sink in lacking}
        if sinks_that_accept_before_storing([sink]):
            ids |= {record.id for record in state.delivered}
        if not (ids or ranges):
            continue
        try:
            found = await asyncio.to_thread(read, ReadbackQuery(frozenset(ids), ranges))
        except SinkError as error:  # the sink will fail in the same way, and is retried until it takes records
            log.warning("sink %s can't be read (%s): a record may be in it twice after a crash", sink, error)
            continue
        if found is None:
            log.info("the journal can't be read by this process: a record may be in it twice after a crash")
            continue
        contents[sink] = found
    return contents
