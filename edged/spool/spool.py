"""The spool as the event loop sees it: calls that never block, and events.

What the gate let through and is not answered, and records that are not delivered, lie in two SQLite databases of one
schema: in `runtime_directory` (memory) while things go well, moved to `directory` (disk) when they wait long or at a
stop. See `pair` for what goes where, `recovery` for the beginning, `worker` for the thread.
"""

import asyncio
import threading
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Final

from edged.config.settings import SpoolSettings as Settings
from edged.model.audio import BYTES_PER_SAMPLE
from edged.model.ranges import Range, Ranges
from edged.model.record import Record, encode
from edged.service.clock import boottime_s
from edged.spool.audio_table import StoredSegment
from edged.spool.capture_time import Anchor, Boot
from edged.spool.commands import (
    BeginRun,
    Command,
    CommitRecord,
    LoadAudio,
    MarkDelivered,
    PutAnchor,
    PutAudio,
    PutBoot,
    PutSegment,
    ReleaseAudio,
)
from edged.spool.database_health import DatabaseHealth
from edged.spool.directories import SpoolPaths, this_boot
from edged.spool.model import RecordCommitted, RecoveredState, RunInfo, SpoolCounters, SpoolEvent
from edged.spool.outbox_table import OutboxEntry
from edged.spool.worker import SpoolUnreadableError, SpoolWorker

OVERDUE_S: Final = 3.0
"""A record waits no longer for a card that stalls; most that do are back within a second or two."""

GIVEN: Final = 1000
"""Pieces: 100 s of audio that is not stored; nobody asks about more."""


class Spool:
    """Made and used in the event loop, but for `open`. Events come through `call_soon`, in order."""

    def __init__(
        self,
        settings: Settings,
        call_soon: Callable[[Callable[[], None]], object],
        on_event: Callable[[SpoolEvent], None],
    ) -> None:
        """`call_soon` has a function called in the event loop, from any thread (`loop.call_soon_threadsafe`)."""
        self._settings = settings
        self._call_soon = call_soon
        self._on_event = on_event
        self._sinks: tuple[str, ...] = ()
        self._worker: SpoolWorker | None = None
        self._stopped = False
        self._open_segments: dict[str, StoredSegment] = {}
        self._voiced: dict[str, Ranges] = defaultdict(Ranges)
        """Told with a piece of audio, but of the audio that follows it."""
        self._live = ""
        self._given: deque[Range] = deque(maxlen=GIVEN)
        """Audio of the living run that was not stored yet when that was last looked at."""
        self._uncommitted: dict[str, tuple[Record, float]] = {}
        self.boot_id = ""
        """Of this boot; known once it is open."""

    def open(self, sinks: Sequence[str], wall_offset_s: float = 0.0, *, synchronized: bool = False) -> RecoveredState:
        """Lock, open and put in order what is there, and start the thread. Blocks: seconds, on a slow card.

        `sinks`: those that a record waits for. `wall_offset_s` makes this boot's time wall time.
        Raises ConfigurationError if another process has a directory, if one can't be used as it is, or if a newer
        version wrote it. A disk that fails or is damaged is an event, not an error.
        """
        paths = SpoolPaths.of(self._settings)
        self._sinks = tuple(sinks)
        keeper = DatabaseHealth(paths, sinks, self._tell)
        recovered = keeper.start(lambda: Boot(this_boot(paths.runtime), wall_offset_s, synchronized))
        self.boot_id = recovered.boot_id
        worker = SpoolWorker(self._settings, keeper, self._tell)
        threading.Thread(target=worker.run, name="spool", daemon=True).start()
        self._worker = worker
        self.boot(wall_offset_s, synchronized=synchronized)  # the first audio may go to the disk at once
        return recovered

    def gather(self) -> None:
        """From now on a ring holds what is not stored yet: new audio may wait for what follows, or for its answer."""
        if self._worker:
            self._worker.gather()

    # -- from the gate ------------------------------------------------------------------------------------------------

    def begin_run(self, run: RunInfo, *, live: bool = True) -> None:
        """Before its first audio, and when its device changes.

        Not `live`: an earlier one, of which a ring held audio that is not known here.
        """
        self._live = run.run if live else self._live
        self._put(BeginRun(run, live))

    def boot(self, wall_offset_s: float, *, synchronized: bool) -> None:
        """What makes this boot's time wall time, as well as is known now: at the start, and when that changes."""
        self._put(PutBoot(Boot(self.boot_id, wall_offset_s, synchronized)))

    def anchor(self, run: str, position: int, at_s: float) -> None:
        """The sample at `position` was captured at `at_s` of CLOCK_BOOTTIME: at the start of a run, after each hole,
        and about every minute."""
        self._put(PutAnchor(run, Anchor(position, at_s)))

    def segment_open(self, run: str, at: int, chain: int | None = None) -> None:
        """A segment begins; `chain`: where the first piece of it began, if it was only cut for its length."""
        segment = StoredSegment(run, at, None, at if chain is None else chain, False)
        self._open_segments[run] = segment
        self._put(PutSegment(segment))

    def audio(self, run: str, position: int, pcm: bytes, voiced: Iterable[Range] = ()) -> None:
        """Audio waits. `voiced`: what was heard as voice, in positions, in this audio or in what follows.

        The same audio may be given again, as long as it waits.
        """
        end = position + len(pcm) // BYTES_PER_SAMPLE
        if run == self._live:
            self._given.append((position, end))
        told = self._voiced[run]
        for low, high in voiced:
            told.add(low, high)
        self._put(PutAudio(run, position, pcm, tuple(told.within(position, end))))
        told.remove(0, end)

    def segment_close(self, run: str, end: int, *, continues: bool = False) -> None:
        """The open segment ends; `continues`: the next begins there, as nobody was silent."""
        segment = self._open_segments.pop(run, None)
        if segment:
            self._put(PutSegment(segment._replace(end=end, continues=continues)))

    # -- from the answers ---------------------------------------------------------------------------------------------

    def commit(self, record: Record) -> None:
        """Store the record and release the audio in its range, in one transaction; `Committed` tells when.

        Raises ValueError if this record is on its way already.
        """
        if record.id in self._uncommitted:
            raise ValueError(f"record {record.id} is being committed already")
        now_s = boottime_s()
        self._uncommitted[record.id] = record, now_s
        self._put(CommitRecord(record, self._entry(record, now_s)))

    def release(self, run: str, start: int, end: int) -> None:
        """Audio waits no longer: it is silence, or was evicted."""
        self._put(ReleaseAudio(run, start, end))

    def adopt(self, record: Record, sinks: Iterable[str]) -> None:
        """These sinks have a record that is not here: a power cut rolled its commit back, or it was never committed.

        It is stored and its audio released, in one transaction, and nothing is told of it.
        """
        self._put(CommitRecord(record, self._entry(record, boottime_s())))
        for sink in sinks:
            self.delivered(sink, [record.id])

    def delivered(self, sink: str, ids: Iterable[str]) -> None:
        """The sink has these records for good (or will never get them)."""
        self._put(MarkDelivered(sink, tuple(ids)))

    async def load(self, run: str, start: int, end: int) -> list[tuple[int, bytes]]:
        """What waits of `[start, end)`, as `(position, pcm)`, in order, in pieces of 1 s at most.

        What is missing was answered or evicted. Includes all that was given before. Raises Unreadable if it can't be
        read now.
        """
        if self._stopped:
            raise SpoolUnreadableError("the spool is closed")
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[list[tuple[int, bytes]]] = loop.create_future()

        def settle(result: list[tuple[int, bytes]] | Exception) -> None:
            if not answer.done():  # nobody waits for it any more
                if isinstance(result, Exception):
                    answer.set_exception(result)
                else:
                    answer.set_result(result)

        self._put(LoadAudio(run, start, end, lambda result: self._call(partial(settle, result))))
        return await answer

    @property
    def unstored_from(self) -> int | None:
        """Where audio of the living run begins that a kill now would lose; None if all that was given is stored."""
        while self._given and self._worker and self._given[0][1] <= self._worker.stored_to:
            self._given.popleft()
        return self._given[0][0] if self._given else None

    # -- state --------------------------------------------------------------------------------------------------------

    def backlog(self) -> SpoolCounters:
        """How much waits, as counted within the last second or so of activity."""
        return self._worker.chores.counters if self._worker else SpoolCounters()

    def tick(self, now_s: float) -> None:
        """To be called every second or two, with boot time: a record waits `OVERDUE_S` at most for a stalling card.

        It is told as not durable, and stored when the card moves again.
        """
        for record, since_s in list(self._uncommitted.values()):
            if now_s >= since_s + OVERDUE_S:
                self._happened(RecordCommitted(record, durable=False))

    async def stop(self, timeout_s: float) -> bool:
        """Move everything to the disk and close, within `timeout_s`; nothing that comes later is stored.

        Returns whether everything is on the disk. If not, the disk fails or the thread hangs in a write, in which case
        it is left behind; what is in memory does not outlive the boot.
        """
        worker = self._worker
        if worker is None:
            return True
        self._stopped = True
        worker.stop(timeout_s)
        return await asyncio.to_thread(worker.ended.wait, timeout_s) and worker.all_moved

    def _entry(self, record: Record, now_s: float) -> OutboxEntry:
        return OutboxEntry(
            id=record.id,
            run=record.run,
            start=record.from_,
            end=record.to,
            record=encode(record).decode(),
            sinks=",".join(self._sinks),
            boot_id=self.boot_id,
            committed_s=now_s,
            done=not self._sinks,
        )

    def _put(self, order: Command) -> None:
        if self._worker is None:
            raise RuntimeError("the spool is not open")
        if not self._stopped:
            self._worker.put(order)

    def _tell(self, event: SpoolEvent) -> None:
        self._call(partial(self._happened, event))

    def _call(self, function: Callable[[], None]) -> None:
        try:
            self._call_soon(function)
        except RuntimeError:  # the loop is closed: the thread was left behind at the stop, nobody to tell
            return

    def _happened(self, event: SpoolEvent) -> None:
        if isinstance(event, RecordCommitted) and self._uncommitted.pop(event.record.id, None) is None:
            return  # told before: it was overdue, or could not be stored at first
        self._on_event(event)
