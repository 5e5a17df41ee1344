"""Persistence of one run: the spool and the ring, which keep speech and records through crashes and power cuts.

Every call returns at once; the spool's thread writes. Without a spool nothing is stored: audio waits in memory only.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from functools import partial
from math import inf
from typing import Final

from edged.config.settings import Settings
from edged.daemon.recovery import RecoveredAudio, Recovery, recover
from edged.daemon.ring_recovery import read_ring
from edged.gate.audio_gate import SegmentAudio, SegmentEvent
from edged.gate.gate import SegmentClosed, SegmentOpened
from edged.model.audio import BYTES_PER_SAMPLE, Block
from edged.model.errors import EdgedError
from edged.model.message_ids import MessageId
from edged.model.ranges import Range
from edged.model.record import Record
from edged.service.clock import boottime_s, wall_offset_s
from edged.service.log import Outage
from edged.spool import model, repair_log
from edged.spool.directories import RING, SpoolPaths
from edged.spool.maintenance import HOUR_S, MB
from edged.spool.model import RecoveredState, RunInfo
from edged.spool.ring_file import RingFile
from edged.spool.spool import Spool
from edged.stream.pending_audio import PendingAudio

log = logging.getLogger("edged")

CLOCK_CHECK_S: Final = 60.0
"""Interval between notes of the wall clock's offset and synchronization."""

CLOCK_STEP_S: Final = 0.5
"""Change of the wall clock that counts as a step, and is noted at once; NTP slews less than that in a minute."""

NEAR_LIMIT: Final = 0.8
"""Share of a limit of the spool from which its backlog is urgent. A fifth of a week is a day and a half."""

RETRY_LOAD_S: Final = 1.0
"""Wait before stored audio that can't be read now is read again."""

PersistenceEvent = model.RecordCommitted | model.SpeechEvicted | model.AudioRequested | model.BacklogFound
"""Events of the spool that concern other parts of the daemon."""


class Persistence:
    """The spool and the ring of one run. Made and used in the event loop."""

    def __init__(
        self,
        settings: Settings,
        run: str,
        sinks: Sequence[str],
        clock_state: Callable[[], str],
        call_soon: Callable[[Callable[[], None]], object],
        on_event: Callable[[PersistenceEvent], None],
    ) -> None:
        """`sinks` are those that a record waits for; `call_soon` is the loop's `call_soon_threadsafe`."""
        self._settings = settings
        self._run = run
        self._rate = settings.capture.rate
        self._sinks = sinks
        self._clock_state = clock_state
        self._on_event = on_event
        self._device = settings.capture.device
        self._started_s = boottime_s()
        self._spool = Spool(settings.spool, call_soon, self._on_spool_event) if settings.spool.enabled else None
        self._all_on_disk = False
        self._ring = RingFile(SpoolPaths.of(settings.spool).runtime / RING, run, self._rate)
        self._ring_task: asyncio.Task[None] | None = None
        self._clock_noted_s = float("-inf")
        self._clock_offset_s = 0.0
        self._outages = {
            where: Outage(log, f"spool ({where})", message_id=MessageId.SPOOL) for where in ("runtime", "disk")
        }

    # -- state --------------------------------------------------------------------------------------------------------

    @property
    def keeps_backlog(self) -> bool:
        """Whether backlog is stored, so that memory need not hold it."""
        return self._spool is not None and not any(outage.lasting for outage in self._outages.values())

    @property
    def is_near_limit(self) -> bool:
        """Whether the backlog is near a limit of the spool, where the oldest speech is evicted."""
        if self._spool is None:
            return False
        limits, stored = self._settings.spool, self._spool.counters()
        age_share = (stored.oldest_s or 0.0) / (limits.max_age_h * HOUR_S)
        return max(age_share, stored.bytes_on_disk / (limits.max_mb * MB)) > NEAR_LIMIT

    @property
    def fate(self) -> str:
        """Describe, for people, what `close` did with speech that has no transcript."""
        if self._spool and self._all_on_disk:
            return "it is kept, and transcribed after the next start"
        if self._spool is None or self._outages["runtime"].lasting:
            return "it is lost"
        return "it is kept in memory only: start edged again before the next reboot, which deletes it"

    # -- beginning and end --------------------------------------------------------------------------------------------

    async def open(self) -> Recovery:
        """Open the spool, begin this run, and return what earlier processes left.

        Raises ConfigurationError if the spool can't be used as configured.
        """
        spool = self._spool
        if spool is None:
            return Recovery()
        synchronized = self._clock_state() == "synchronized"
        state = await asyncio.to_thread(partial(spool.open, self._sinks, wall_offset_s(), synchronized=synchronized))
        ring = await asyncio.to_thread(read_ring, self._ring.path)
        recovery = await recover(state, ring, self._settings, self._sinks)
        self._store_recovery(spool, recovery)
        if ring:  # stored before a new ring replaces it, if it can be
            with suppress(EdgedError):
                await spool.load(ring.run, 0, 0)
        self._begin_run(spool)
        await self._make_ring(spool)
        return recovery

    async def recover(self, state: RecoveredState) -> Recovery:
        """Return what was on a disk that could not be read at the start (`BacklogFound`)."""
        recovery = await recover(state, None, self._settings, self._sinks)
        if self._spool:
            self._store_recovery(self._spool, recovery)
        return recovery

    def _store_recovery(self, spool: Spool, recovery: Recovery) -> None:
        if recovery.audio:
            self._store_ring(spool, recovery.audio)
        for sink, ids in recovery.delivered.items():
            spool.mark_delivered(sink, ids)
        for record, sinks in recovery.adopted:
            spool.adopt(record, sinks)

    def _store_ring(self, spool: Spool, audio: RecoveredAudio) -> None:
        run = audio.backlog.run
        spool.begin_run(run, live=False)
        spool.put_anchor(run.run, *audio.backlog.anchors[0])
        for event in audio.events:
            _store(spool, run.run, event)

    def _begin_run(self, spool: Spool) -> None:
        channel = self._settings.capture.channel
        spool.begin_run(RunInfo(self._run, spool.boot_id, self._rate, channel, self._device, self._started_s))

    async def _make_ring(self, spool: Spool) -> None:
        if await self._ring.create(spool.boot_id):
            spool.start_gathering()

    def stop_waiting_for_commits(self) -> None:
        """Report records that are not stored yet as committed but not durable: the sinks are their last place."""
        if self._spool:
            self._spool.tick(inf)

    async def close(self, timeout_s: float) -> None:
        """Move everything to the disk and close, after the sinks."""
        self._ring.close()
        self._all_on_disk = self._spool is None or await self._spool.stop(timeout_s)

    def tick(self) -> None:
        """Do what is due; to be called every second or two. Raises what ended the making of a ring."""
        spool, now_s = self._spool, boottime_s()
        if spool is None:
            return
        if self._ring_task and self._ring_task.done():
            self._ring_task.result()
            self._ring_task = None
        if self._ring.is_absent and not self._ring_task:
            self._ring_task = asyncio.get_running_loop().create_task(self._make_ring(spool))
        spool.tick(now_s)
        offset_s = wall_offset_s()
        if now_s >= self._clock_noted_s + CLOCK_CHECK_S or abs(offset_s - self._clock_offset_s) > CLOCK_STEP_S:
            self._clock_noted_s, self._clock_offset_s = now_s, offset_s
            spool.put_boot(offset_s, synchronized=self._clock_state() == "synchronized")

    # -- audio --------------------------------------------------------------------------------------------------------

    def set_device(self, device: str) -> None:
        """Note the device that this run captures."""
        changed, self._device = device != self._device, device
        if self._spool and changed:
            self._begin_run(self._spool)

    def store_captured(self, block: Block, anchor_s: float | None, passed_to: int) -> None:
        """Keep a block in the ring until its audio is decided and stored.

        `passed_to` is where the audio that the gate passed ends. `anchor_s` is when the block was captured, if the
        timeline begins or bends there.
        """
        spool = self._spool
        if spool is None:
            return
        unstored = spool.unstored_from
        self._ring.write(block, passed_to if unstored is None else min(passed_to, unstored))
        if anchor_s is not None:
            spool.put_anchor(self._run, block.position, anchor_s)

    def redate(self, anchors: Iterable[tuple[int, float]]) -> None:
        """Date anew what was captured from these positions on; see `Timeline.shift`."""
        if self._spool:
            for position, at_s in anchors:
                self._spool.put_anchor(self._run, position, at_s)

    def store_segment(self, event: SegmentEvent) -> None:
        """Store what the gate of this run passed."""
        if self._spool:
            _store(self._spool, self._run, event)

    def store_again(self, ranges: Iterable[Range], pending: PendingAudio) -> None:
        """Store audio of this run that was lost or never stored, as far as it is still `pending` in memory."""
        if self._spool is None:
            return
        for start, end in ranges:
            at = start
            while (piece := pending.read(at, self._rate)) and piece[0] < end:
                self._spool.put_audio(self._run, *piece)
                at = piece[0] + len(piece[1]) // BYTES_PER_SAMPLE

    def release(self, run: str, start: int, end: int) -> None:
        """Delete audio that needs no transcript any more: it is silence, or it was evicted."""
        if self._spool:
            self._spool.release(run, start, end)

    async def load(self, run: str, start: int, end: int) -> list[tuple[int, bytes]]:
        """Return stored audio of a run as `(position, pcm)`; waits while the spool can't be read."""
        if self._spool is None:
            raise RuntimeError("without a spool nothing is handed over")
        while True:
            try:
                return await self._spool.load(run, start, end)
            except EdgedError as error:  # the spool has logged its outage
                log.debug("the backlog can't be read: %s; trying again in %g s", error, RETRY_LOAD_S)
                await asyncio.sleep(RETRY_LOAD_S)

    # -- records ------------------------------------------------------------------------------------------------------

    def commit(self, record: Record) -> bool:
        """Commit a record, and release its audio with it; `RecordCommitted` reports when. False without a spool."""
        if self._spool is None:
            return False
        self._spool.commit(record)
        return True

    def mark_delivered(self, sink: str, ids: Iterable[str]) -> None:
        """Note that a sink has these records, or will never get them."""
        if self._spool and sink in self._sinks:
            self._spool.mark_delivered(sink, ids)

    # -- events of the spool ------------------------------------------------------------------------------------------

    def _on_spool_event(self, event: model.SpoolEvent) -> None:
        match event:
            case model.DatabaseFailing(where, text):
                self._outages[where].failed(text)
            case model.DatabaseWorking(where):
                self._outages[where].over()
            case model.DatabaseReplaced() | model.FilesRecreated() | model.RowsRepaired():
                repair_log.log_repair(event)
                if isinstance(event, model.FilesRecreated) and event.tier == "runtime":
                    self._ring.discard()
            case _:
                self._on_event(event)


def _store(spool: Spool, run: str, event: SegmentEvent) -> None:
    match event:
        case SegmentOpened(at):
            spool.open_segment(run, at)
        case SegmentAudio(position, pcm, voiced):
            spool.put_audio(run, position, pcm, voiced)
        case SegmentClosed(at, continues):
            spool.close_segment(run, at, continues=continues)
