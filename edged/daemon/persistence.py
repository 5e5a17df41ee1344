"""Keeps the books of a run: what waits and what is answered goes into the spool, committed records to the sinks.

Without a spool records are committed by being handed to the sinks, and audio is in the lanes' memory only.
"""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from math import inf
from typing import Final

from edged.capture.timeline import Timeline
from edged.config.settings import Settings
from edged.daemon.recovery import from_ring, held_by_sinks, joined, judged_again, known_to, left_behind, stretches
from edged.daemon.run_records import RunRecordBuilders
from edged.gate.audio_gate import SegmentAudio, SegmentEvent
from edged.gate.gate import SegmentClosed, SegmentOpened
from edged.model.audio import Block
from edged.model.errors import EdgedError
from edged.model.message_ids import MessageId
from edged.model.ranges import Range, Ranges
from edged.model.record import Record
from edged.service.clock import Synchronization, boottime_s, wall_offset_s
from edged.service.log import OnceFilter, Outage, duration
from edged.spool import model, repair_log
from edged.spool.directories import RING, SpoolPaths
from edged.spool.maintenance import HOUR_S, MB
from edged.spool.model import RecoveredState, RunInfo
from edged.spool.ring import RingContents
from edged.spool.ring_file import RingFile
from edged.spool.spool import Spool
from edged.stream.backfill import AudioMissing
from edged.stream.events import AudioEvicted, AudioQuarantined, BacklogRange, InterimText, SenderEvent
from edged.stream.pending_audio import AudioReleased, PendingAudio
from edged.stream.server_notices import ServerNoticeLog
from edged.stream.session import ServerNotice, ServerWarning
from edged.stream.transcript_assembler import UtteranceReady
from edged.transcripts import delivery
from edged.transcripts.delivery import Delivery
from edged.transcripts.reconciliation import reconcile
from edged.transcripts.sinks.registry import required_sinks, sinks_that_accept_before_storing

log = logging.getLogger("edged")

BOOT_EVERY_S: Final = 60.0
"""How often it is looked whether the clock was set meanwhile."""

NEAR: Final = 0.8
"""Of a bound of the spool: from there on its backlog goes first. A fifth of a week is a day and a half."""

_TOO_MUCH: Final = "more speech waits than {} allows: the oldest goes"

CLOCK_STEP_S: Final = 0.5
"""A wall clock that has moved by more was set; less is what NTP slews in a minute."""


@dataclass(slots=True)
class RecordCounts:
    """For the summary. Samples are of the run's rate."""

    utterances: int = 0
    words: int = 0
    evicted_s: float = 0.0
    ignored_messages: int = 0


class Persistence:
    """Made and used in the event loop. `on_backlog` gets what another lane shall transcribe: run, rate, stretches;
    `on_evicted` gets what the spool let go of that, run, start, end, and returns how many seconds nobody has now.
    """

    def __init__(
        self,
        settings: Settings,
        run: str,
        timeline: Timeline,
        delivery: Delivery,
        call_soon: Callable[[Callable[[], None]], object],
        on_backlog: Callable[[str, int, tuple[BacklogRange, ...]], None],
        on_evicted: Callable[[str, int, int], float],
        account: PendingAudio,
    ) -> None:
        self._settings = settings
        self._run = run
        self._rate = settings.capture.rate
        self._timeline = timeline
        self._delivery = delivery
        self._on_backlog = on_backlog
        self._on_evicted = on_evicted
        self._account = account
        self._clock = Synchronization()
        self._keeping = required_sinks(settings.transcripts.sinks)
        """Sinks that a record waits for."""
        self._committing = 0
        self._committed = asyncio.Event()
        self._committed.set()
        self._ledgers = RunRecordBuilders(settings, run, timeline, self._clock)
        self._spool = Spool(settings.spool, call_soon, self._on_spool) if settings.spool.enabled else None
        self._started_s = boottime_s()
        self._moved = False
        """At the end: nothing waits in memory only."""
        self._ring = RingFile(SpoolPaths.of(settings.spool).runtime / RING, run, self._rate)
        self._tasks: list[asyncio.Task[None]] = []
        """What was found late, being taken up; or a ring being made."""
        self._boot_at_s = float("-inf")
        self._boot_offset_s = 0.0
        self._once = OnceFilter()
        self._notices = ServerNoticeLog()
        self._eviction = Outage(log, "spool" if self._spool else "replay", message_id=MessageId.EVICTION)
        self._storing = {
            where: Outage(log, f"spool ({where})", message_id=MessageId.SPOOL) for where in ("runtime", "disk")
        }
        self.counts = RecordCounts()

    @property
    def device(self) -> str:
        """What is captured, for the records."""
        return self._ledgers.device

    @device.setter
    def device(self, name: str) -> None:
        known, self._ledgers.device = self._ledgers.device, name
        if self._spool and name != known:
            self._begin_run(self._spool)

    @property
    def keeps_backlog(self) -> bool:
        """What a lane hands over is stored: memory is a cache only."""
        return self._spool is not None and not any(outage.lasting for outage in self._storing.values())

    @property
    def fate(self) -> str:
        """Describe, for people, what `close` did with the speech that waits."""
        if self._spool and self._moved:
            return "it is kept, and transcribed after the next start"
        if self._spool is None or self._storing["runtime"].lasting:
            return "it is lost"
        return "it is kept in memory only: start edged again before the next reboot, which deletes it"

    @property
    def backlog_presses(self) -> bool:
        """It comes near a bound of the spool, where the oldest is lost."""
        if self._spool is None:
            return False
        bounds, waits = self._settings.spool, self._spool.counters()
        aged = (waits.oldest_s or 0.0) / (bounds.max_age_h * HOUR_S)
        return max(aged, waits.bytes_on_disk / (bounds.max_mb * MB)) > NEAR

    # -- beginning and end --------------------------------------------------------------------------------------------

    async def open(self) -> None:
        """Take up what was left before. Raises ConfigurationError if the spool can't be used as it is."""
        spool = self._spool
        if spool is None:
            return
        state = self._clock()
        recovered = await asyncio.to_thread(
            partial(spool.open, self._keeping, wall_offset_s(), synchronized=state == "synchronized")
        )
        kept = await asyncio.to_thread(left_behind, self._ring.path)
        if kept:
            log.warning(
                "the process before this one was killed; what it had captured is taken up",
                extra={"message_id": MessageId.KILLED},
            )
        await self._take_up(self._judge_again(spool, kept, recovered) if kept else recovered)
        if kept:  # stored before its ring goes, if it can be
            with suppress(EdgedError):
                await spool.load(kept.run, 0, 0)
        self._begin_run(spool)
        await self._make_ring(spool)

    async def _make_ring(self, spool: Spool) -> None:
        if await self._ring.create(spool.boot_id):
            spool.start_gathering()

    def _begin_run(self, spool: Spool) -> None:
        capture = self._settings.capture
        spool.begin_run(RunInfo(self._run, spool.boot_id, self._rate, capture.channel, self.device, self._started_s))

    async def flush(self, timeout_s: float) -> None:
        """After the last effect: wait until every record is committed, so that the sinks have it before they close."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._committed.wait()
        if self._spool:
            self._spool.tick(inf)  # what can't be stored now may never be: the sinks are the last place for it

    async def close(self, timeout_s: float) -> None:
        """After the sinks: move what waits to the disk."""
        self._ring.close()
        self._moved = self._spool is None or await self._spool.stop(timeout_s)

    def tick(self) -> None:
        """To be called every second or two. Raises what ended a task of its own."""
        spool, now_s = self._spool, boottime_s()
        if spool is None:
            return
        ended = [task for task in self._tasks if task.done()]
        self._tasks = [task for task in self._tasks if not task.done()]
        for task in ended:
            task.result()
        if self._ring.is_absent and not self._tasks:
            self._tasks.append(asyncio.get_running_loop().create_task(self._make_ring(spool)))
        spool.tick(now_s)
        offset_s = wall_offset_s()
        if now_s >= self._boot_at_s + BOOT_EVERY_S or abs(offset_s - self._boot_offset_s) > CLOCK_STEP_S:
            self._boot_at_s, self._boot_offset_s = now_s, offset_s
            spool.put_boot(offset_s, synchronized=self._clock() == "synchronized")

    # -- audio --------------------------------------------------------------------------------------------------------

    def redated(self, anchors: Iterable[tuple[int, float]]) -> None:
        """What was captured from these positions on is dated anew; see `Timeline.shift`."""
        if self._spool:
            for position, at_s in anchors:
                self._spool.put_anchor(self._run, position, at_s)

    def captured(self, block: Block, anchor_s: float | None, let_to: int) -> None:
        """A block was captured; the gate has let through up to `let_to`. `anchor_s`: the timeline begins or bends."""
        if self._spool:
            unstored = self._spool.unstored_from
            kept_from = let_to if unstored is None else min(let_to, unstored)
            self._ring.write(block, kept_from)
        if self._spool and anchor_s is not None:
            self._spool.put_anchor(self._run, block.position, anchor_s)

    def let(self, event: SegmentEvent) -> None:
        """The gate of this run let something through."""
        if self._spool:
            self._store(self._spool, self._run, event)

    def _store(self, spool: Spool, run: str, event: SegmentEvent) -> None:
        match event:
            case SegmentOpened(at):
                spool.open_segment(run, at)
            case SegmentAudio(position, pcm, voiced):
                spool.put_audio(run, position, pcm, voiced)
            case SegmentClosed(at, continues):
                spool.close_segment(run, at, continues=continues)

    async def load(self, run: str, start: int, end: int) -> list[tuple[int, bytes]]:
        """Stored audio of a run, for backfill."""
        if self._spool is None:
            raise RuntimeError("without a spool nothing is handed over")
        while True:
            try:
                return await self._spool.load(run, start, end)
            except EdgedError as error:  # it can't be read now, which the spool has told of: it is looked at again
                log.debug("the backlog waits: %s", error)
                await asyncio.sleep(1.0)

    # -- words --------------------------------------------------------------------------------------------------------

    def effect(self, run: str, effect: SenderEvent | AudioMissing) -> None:
        """A lane that transcribes this run has something to say."""
        match effect:
            case UtteranceReady(utterance):
                self._commit(self._ledgers.build(run, utterance))
            case AudioReleased(start, end, fate):
                if self._spool and fate in ("silence", "evicted"):
                    self._spool.release(run, start, end)
            case InterimText(text):
                self._delivery.show_interim(text)
            case AudioEvicted(samples):
                self._evicted(samples / self._rate, _TOO_MUCH.format(f"replay.max_s = {self._settings.replay.max_s:g}"))
            case AudioMissing(samples):
                self._evicted(self._ledgers.seconds(run, samples), "speech that waited is not in the spool any more")
            case AudioQuarantined(samples):
                log.warning(
                    "%.1f s of audio ended three connections in a row; it is set aside and tried again later",
                    self._ledgers.seconds(run, samples),
                )
            case ServerNotice() | ServerWarning():
                self.counts.ignored_messages += isinstance(effect, ServerNotice)
                self._notices.log(effect)

    def delivered(self, event: delivery.DeliveryEvent) -> None:
        """What the sinks did."""
        match event:
            case delivery.SinkDied(_, error):
                raise error
            case delivery.RecordsDelivered(sink, ids) if self._spool and sink in self._keeping:
                self._spool.mark_delivered(sink, ids)
            case delivery.RecordEvicted(sink, id_) if self._spool and sink in self._keeping:
                self._spool.mark_delivered(sink, [id_])

    def _commit(self, record: Record) -> None:
        self.counts.utterances += 1
        self.counts.words += len(record.words)
        self._eviction.over()
        if record.clock == "unsynchronized" and self._once("clock"):
            log.warning(
                "this machine's clock is not synchronised; until it is, records are marked so",
                extra={"message_id": MessageId.CLOCK},
            )
        if self._spool:
            self._committing += 1
            self._committed.clear()
            self._spool.commit(record)
        else:
            self._delivery.submit(record)

    def _evicted(self, seconds: float, why: str) -> None:
        self.counts.evicted_s += seconds
        self._eviction.failed(why)

    # -- what the spool tells -----------------------------------------------------------------------------------------

    def _on_spool(self, event: model.SpoolEvent) -> None:
        match event:
            case model.RecordCommitted(record, durable):
                self._committing -= 1
                if not self._committing:
                    self._committed.set()
                if not durable and self._once("not durable"):
                    log.warning("a record goes to the sinks without being spooled; this is said once")
                self._delivery.submit(record)
            case model.SpeechEvicted(run, start, end, _, bound):
                if lost_s := self._on_evicted(run, start, end):  # what a lane has in memory is not lost
                    self._evicted(lost_s, _TOO_MUCH.format(f"spool.{bound}"))
            case model.DatabaseFailing(where, text):
                self._storing[where].failed(text)
            case model.DatabaseWorking(where):
                self._storing[where].over()
            case model.AudioRequested(run, ranges):
                if run == self._run:
                    self._give_again(ranges)
            case model.DatabaseReplaced() | model.FilesRecreated() | model.RowsRepaired():
                repair_log.log_repair(event)
                if isinstance(event, model.FilesRecreated) and event.tier == "runtime":
                    self._ring.discard()
            case model.BacklogFound(recovered):
                self._tasks.append(asyncio.get_running_loop().create_task(self._take_up(recovered)))

    def _give_again(self, ranges: tuple[Range, ...]) -> None:
        """What of these still waits in memory could not be stored before."""
        if self._spool is None:
            return
        for start, end in ranges:
            at = start
            while (piece := self._account.read(at, self._rate)) and piece[0] < end:
                self._spool.put_audio(self._run, *piece)
                at = piece[0] + len(piece[1]) // 2

    async def _take_up(self, recovered: RecoveredState) -> None:
        """Deliver what a sink may lack, and have transcribed what waits."""
        if recovered.unreadable_records:
            log.error(
                "%d records in the spool can't be read by this version and stay there", recovered.unreadable_records
            )
        answered = await self._deliver_again(recovered)
        for backlog in recovered.backlogs:
            run = backlog.run
            waiting = stretches(backlog, answered[run.run])
            if not waiting:
                continue
            self._ledgers.add(backlog, here=run.boot_id == recovered.boot_id)
            log.info(
                "%.1f s of speech of an earlier run wait to be transcribed; the oldest was said %s ago",
                sum(end - start for start, end, _ in waiting) / run.rate,
                duration(backlog.age_s),
            )
            self._on_backlog(run.run, run.rate, waiting)

    async def _deliver_again(self, recovered: RecoveredState) -> dict[str, Ranges]:
        """Look first what the sinks have: a crash may have come between the writing and the mark, or the commit.

        Returns, by run, what records answer that were found there only: it waits no longer.
        """
        answered: dict[str, Ranges] = defaultdict(Ranges)
        spool = self._spool
        if spool is None:
            return answered
        held = await held_by_sinks(self._settings.transcripts, recovered)
        accept_first = sinks_that_accept_before_storing(self._keeping)
        settled = reconcile(recovered.undelivered, recovered.delivered, held, self._keeping, accept_first)
        for sink, ids in settled.delivered.items():
            spool.mark_delivered(sink, ids)
        for record, sinks in settled.adopted:
            spool.adopt(record, sinks)
            answered[record.run].add(record.from_, record.to)
        if settled.adopted:
            log.info(
                "%d records were delivered, and their commit lost: they are in the spool now", len(settled.adopted)
            )
        for record, lacking in settled.to_deliver:
            self._delivery.submit(record, lacking)
        return answered

    def _judge_again(self, spool: Spool, kept: RingContents, recovered: RecoveredState) -> RecoveredState:
        """With what the gate had not decided, or the spool not stored, when its process was killed: wherever the gate
        hears a voice now, it opens.
        """
        let = judged_again(kept, self._settings.gate, known_to(recovered, kept.run))
        rest = from_ring(kept, let, recovered, self._settings.capture)
        if rest is None:
            return recovered
        spool.begin_run(rest.run, live=False)
        spool.put_anchor(kept.run, *rest.anchors[0])
        for event in let:
            self._store(spool, kept.run, event)
        return joined(recovered, rest)
