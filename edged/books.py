"""Keeps the books of a run: what waits and what is answered goes into the spool, committed records to the sinks.

Without a spool records are committed by being handed to the sinks, and audio is in the lanes' memory only.
"""

import asyncio
import logging
import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from math import inf
from typing import Final, NamedTuple

from edged.audio import Block
from edged.errors import EdgedError, SinkError
from edged.gate.gate import Close, Open
from edged.gate.intake import Audio, Let
from edged.ranges import Range
from edged.service.clock import Synchronization, boottime_s, wall_offset_s
from edged.service.log import Once, Outage, duration
from edged.settings import Settings
from edged.spool import items
from edged.spool.dating import Anchor, Line
from edged.spool.files import RING, Paths
from edged.spool.items import Backlog, Recovered, Run
from edged.spool.ring import Kept, Ring
from edged.spool.spool import Spool
from edged.stream.account import Account, Released
from edged.stream.effects import Evicted, Handed, LaneEffect, SetAside, Showing
from edged.stream.scribe import Uttered
from edged.stream.session import Noted
from edged.stream.timeline import Timeline
from edged.takeover import judged_again, known_to, left_behind, segments, stretches
from edged.transcripts import delivery
from edged.transcripts.delivery import LOOSE, Delivery
from edged.transcripts.make import CaptureTimes, Maker
from edged.transcripts.record import Record
from edged.transcripts.reread import rereaders

log = logging.getLogger("edged")

RING_S: Final = 30.0
"""Longer than pre-roll, onset and what is withheld of a hangover, at their longest; and than a card stalls, in which
time nothing is stored. A megabyte of memory."""

BOOT_EVERY_S: Final = 60.0
"""How often it is looked whether the clock was set meanwhile."""

CLOCK_STEP_S: Final = 0.5
"""A wall clock that has moved by more was set; less is what NTP slews in a minute."""


@dataclass(slots=True)
class Counts:
    """For the summary. Samples are of the run's rate."""

    utterances: int = 0
    words: int = 0
    evicted_s: float = 0.0


@dataclass
class _Ledger:
    """What is known of one run: how its records are made, and how its boot's time becomes wall time."""

    maker: Maker
    rate: int
    wall_offset_s: float | None = None
    """None: this boot's, as it is at the moment."""


class _Rest(NamedTuple):
    """What a ring held of a run that the spool did not."""

    run: str
    rate: int
    line: Line
    stretches: tuple[Handed, ...]


class Books:
    """Made and used in the event loop. `on_backlog` gets what another lane shall transcribe: run, rate, stretches."""

    def __init__(
        self,
        settings: Settings,
        run: str,
        timeline: Timeline,
        delivery: Delivery,
        call_soon: Callable[[Callable[[], None]], object],
        on_backlog: Callable[[str, int, tuple[Handed, ...]], None],
        account: Account,
    ) -> None:
        self._settings = settings
        self._run = run
        self._rate = settings.capture.rate
        self._timeline = timeline
        self._delivery = delivery
        self._on_backlog = on_backlog
        self._account = account
        self._clock = Synchronization()
        self._keeping = [sink for sink in settings.transcripts.sinks if sink not in LOOSE]
        """Sinks that a record waits for."""
        self._made = 0
        self._committing = 0
        self._committed = asyncio.Event()
        self._committed.set()
        self._ledgers = {run: _Ledger(self._maker(run, timeline), self._rate)}
        self._spool = Spool(settings.spool, call_soon, self._on_spool) if settings.spool.enabled else None
        self._ring: Ring | None = None
        self._boot_at_s = float("-inf")
        self._boot_offset_s = 0.0
        self._once = Once()
        self._eviction = Outage(log, "spool" if self._spool else "replay")
        self._storing = {where: Outage(log, f"spool ({where})") for where in ("runtime", "disk")}
        self.counts = Counts()

    @property
    def device(self) -> str:
        """What is captured, for the records."""
        return self._ledgers[self._run].maker.device

    @device.setter
    def device(self, name: str) -> None:
        self._ledgers[self._run].maker.device = name

    @property
    def keeps_backlog(self) -> bool:
        """What a lane hands over is stored: memory is a cache only."""
        return self._spool is not None and not any(outage.lasting for outage in self._storing.values())

    # -- beginning and end --------------------------------------------------------------------------------------------

    async def open(self) -> None:
        """Take up what was left before. Raises ConfigurationError if the spool can't be used as it is."""
        spool = self._spool
        if spool is None:
            return
        state = self._clock()
        ring = Paths.of(self._settings.spool).runtime / RING
        recovered = await asyncio.to_thread(
            partial(spool.open, self._keeping, wall_offset_s(), synchronized=state == "synchronized")
        )
        kept = await asyncio.to_thread(left_behind, ring)
        await self._take_up(recovered, self._judge_again(spool, kept, recovered) if kept else None)
        spool.begin_run(
            Run(self._run, spool.boot_id, self._rate, self._settings.capture.channel, self.device, boottime_s())
        )
        try:
            self._ring = await asyncio.to_thread(Ring, ring, self._run, self._rate, RING_S)
        except OSError as error:
            log.warning("no ring in %s (%s): a kill would lose up to %g s more", ring.parent, error.strerror, RING_S)

    async def flush(self, timeout_s: float) -> None:
        """After the last effect: wait until every record is committed, so that the sinks have it before they close."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._committed.wait()
        if self._spool:
            self._spool.tick(inf)  # what can't be stored now may never be: the sinks are the last place for it

    async def close(self, timeout_s: float) -> None:
        """After the sinks: move what waits to the disk."""
        if self._ring:
            self._ring.close()
        if self._spool and not await self._spool.stop(timeout_s):
            log.warning("the spool could not be moved to disk in %.1f s: it does not outlive the boot", timeout_s)

    def tick(self) -> None:
        """To be called every second or two."""
        spool, now_s = self._spool, boottime_s()
        if spool is None:
            return
        spool.tick(now_s)
        offset_s = wall_offset_s()
        if now_s >= self._boot_at_s + BOOT_EVERY_S or abs(offset_s - self._boot_offset_s) > CLOCK_STEP_S:
            self._boot_at_s, self._boot_offset_s = now_s, offset_s
            spool.boot(offset_s, synchronized=self._clock() == "synchronized")

    # -- audio --------------------------------------------------------------------------------------------------------

    def captured(self, block: Block, anchor_s: float | None, let_to: int) -> None:
        """A block was captured; the gate has let through up to `let_to`. `anchor_s`: the timeline begins or bends."""
        if self._ring and self._spool:
            unstored = self._spool.unstored_from
            kept_from = let_to if unstored is None else min(let_to, unstored)
            self._ring.write(block.position, block.pcm, kept_from, block.at_s)
        if self._spool and anchor_s is not None:
            self._spool.anchor(self._run, block.position, anchor_s)

    def let(self, event: Let) -> None:
        """The gate of this run let something through."""
        if self._spool:
            self._store(self._spool, self._run, event)

    def _store(self, spool: Spool, run: str, event: Let) -> None:
        match event:
            case Open(at):
                spool.segment_open(run, at)
            case Audio(position, pcm, voiced):
                spool.audio(run, position, pcm, voiced)
            case Close(at, continues):
                spool.segment_close(run, at, continues=continues)

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

    def effect(self, run: str, effect: LaneEffect) -> None:
        """A lane that transcribes this run has something to say."""
        match effect:
            case Uttered(utterance):
                ledger = self._ledgers[run]
                offset_s = wall_offset_s()
                own_s = ledger.wall_offset_s
                # In the time of the run's own boot, which may be another one.
                now_s = boottime_s() + (0.0 if own_s is None else offset_s - own_s)
                record = ledger.maker.record(utterance, now_s, offset_s if own_s is None else own_s)
                self._commit(record)
            case Released(start, end, fate):
                if self._spool and fate in ("silence", "evicted"):
                    self._spool.release(run, start, end)
            case Showing(text):
                self._delivery.show_interim(text)
            case Evicted(samples):
                self._evicted(samples / self._rate, f"replay.max_s = {self._settings.replay.max_s:g}")
            case SetAside(samples):
                log.warning(
                    "%.1f s of audio ended three connections in a row; it is set aside and tried again later",
                    samples / self._ledgers[run].rate,
                )
            case Noted(kind):
                if self._once(kind):
                    log.info("the server sent %s; ignored (this is said once)", kind)

    def delivered(self, event: delivery.Event) -> None:
        """What the sinks did."""
        match event:
            case delivery.Died(_, error):
                raise error
            case delivery.Delivered(sink, ids) if self._spool and sink in self._keeping:
                self._spool.delivered(sink, ids)
            case delivery.Evicted(sink, id_) if self._spool and sink in self._keeping:
                self._spool.delivered(sink, [id_])

    def _commit(self, record: Record) -> None:
        self.counts.utterances += 1
        self.counts.words += len(record.words)
        self._eviction.over()
        if record.clock == "unsynchronized" and self._once("clock"):
            log.warning("this machine's clock is not synchronised; until it is, records are marked so")
        if self._spool:
            self._committing += 1
            self._committed.clear()
            self._spool.commit(record)
        else:
            self._delivery.submit(record)

    def _evicted(self, seconds: float, bound: str) -> None:
        self.counts.evicted_s += seconds
        self._eviction.failed(f"more speech waits than {bound} allows: the oldest goes")

    # -- what the spool tells -----------------------------------------------------------------------------------------

    def _on_spool(self, event: items.Event) -> None:
        match event:
            case items.Committed(record, durable):
                self._committing -= 1
                if not self._committing:
                    self._committed.set()
                if not durable and self._once("not durable"):
                    log.warning("a record goes to the sinks without being spooled; this is said once")
                self._delivery.submit(record)
            case items.Evicted(_, _, _, seconds, bound):
                self._evicted(seconds, f"spool.{bound}")
            case items.Failing(where, text):
                self._storing[where].failed(text)
            case items.Working(where):
                self._storing[where].over()
            case items.Wanted(run, ranges):
                if run == self._run:
                    self._give_again(ranges)
            case items.SetAside(where, path, text):
                log.error("the spool (%s) was damaged: %s; it is kept as %s", where, text, path)
            case items.Found(recovered):
                self._found = asyncio.get_running_loop().create_task(self._take_up(recovered))

    def _give_again(self, ranges: tuple[Range, ...]) -> None:
        """What of these still waits in memory could not be stored before."""
        if self._spool is None:
            return
        for start, end in ranges:
            at = start
            while (piece := self._account.read(at, self._rate)) and piece[0] < end:
                self._spool.audio(self._run, *piece)
                at = piece[0] + len(piece[1]) // 2

    async def _take_up(self, recovered: Recovered, rest: _Rest | None = None) -> None:
        """Deliver what a sink may lack, and have transcribed what waits, the `rest` from a ring included."""
        if recovered.unreadable:
            log.error("%d records in the spool can't be read by this version and stay there", recovered.unreadable)
        await self._deliver_again(recovered)
        for backlog in recovered.backlogs:
            self._know(backlog)
            log.info(
                "%.1f s of speech of an earlier run wait to be transcribed; the oldest was said %s ago",
                backlog.seconds,
                duration(backlog.age_s),
            )
            mine = rest.stretches if rest and rest.run == backlog.run.run else ()
            self._on_backlog(backlog.run.run, backlog.run.rate, stretches(backlog, mine))
        if rest and rest.run not in {backlog.run.run for backlog in recovered.backlogs}:
            self._ledgers[rest.run] = _Ledger(self._maker(rest.run, rest.line), rest.rate)
            self._on_backlog(rest.run, rest.rate, rest.stretches)

    async def _deliver_again(self, recovered: Recovered) -> None:
        """Look first whether a sink has them: a crash may have come between the writing and the mark."""
        lacking: dict[str, set[str]] = {}
        for pending in recovered.pending:
            for sink in pending.lacking:
                lacking.setdefault(sink, set()).add(pending.record.id)
        kept = {record.id for record in recovered.kept}
        for sink, held_by in rereaders(self._settings.transcripts).items():
            wanted = lacking.get(sink, set()) | (kept if sink == "journal" else set())
            try:
                held = await asyncio.to_thread(held_by, wanted) if wanted else set()
            except SinkError as error:  # the sink will say the same, and is tried until it can take them
                log.warning("sink %s can't be read (%s): a record may be in it twice after a crash", sink, error)
                continue
            if held is None:
                log.info("the journal can't be read by this process: a record may be in it twice after a crash")
                continue
            if self._spool and held & lacking.get(sink, set()):
                self._spool.delivered(sink, held & lacking[sink])
            lacking[sink] = wanted - held
        records = {record.id: record for record in [*(p.record for p in recovered.pending), *recovered.kept]}
        for id_, record in records.items():
            sinks = [sink for sink, ids in lacking.items() if id_ in ids]
            if sinks:
                self._delivery.submit(record, sinks)

    def _know(self, backlog: Backlog) -> None:
        """How to make records of an earlier run."""
        run, boot = backlog.run, backlog.boot
        here = self._spool is not None and run.boot_id == self._spool.boot_id
        state: Callable[[], str] = self._clock
        if not here:
            known = "unknown" if boot is None else "synchronized" if boot.synchronized else "unsynchronized"
            state = lambda: known  # noqa: E731  as short as what it stands for
        maker = self._maker(run.run, backlog.line, state)
        maker.device, maker.channel = run.device, run.channel
        offset_s = None if here else boot.wall_offset_s if boot else 0.0
        self._ledgers[run.run] = _Ledger(maker, run.rate, offset_s)

    def _judge_again(self, spool: Spool, kept: Kept, recovered: Recovered) -> _Rest | None:
        """What the gate had not decided, or the spool not stored, when its process was killed: wherever the gate hears
        a voice now, it opens.
        """
        let = judged_again(kept, self._settings.gate, known_to(recovered, kept.run))
        handed = segments(let)
        if not handed:
            return None
        anchor = Anchor(handed[0].start, kept.at_s + (handed[0].start - kept.position) / kept.rate)
        capture = self._settings.capture
        run = Run(kept.run, spool.boot_id, kept.rate, capture.channel, capture.device, kept.at_s)
        spool.begin_run(run, live=False)
        spool.anchor(kept.run, *anchor)
        for event in let:
            self._store(spool, kept.run, event)
        return _Rest(kept.run, kept.rate, Line([anchor], kept.rate), handed)

    def _maker(self, run: str, times: CaptureTimes, state: Callable[[], str] | None = None) -> Maker:
        return Maker(self._settings, run, socket.gethostname(), times, state or self._clock, self._new_id)

    def _new_id(self) -> str:
        """Of this process, whatever run the record is of: ids never come twice."""
        self._made += 1
        return f"{self._run}-{self._made}"
