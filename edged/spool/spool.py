"""The spool as the event loop sees it: calls that never block, and events.

Two SQLite databases of one schema hold the speech without a transcript and the records that a sink lacks. While all
goes well they are in `runtime_directory` (memory); they move to `directory` (disk) after a while or at a stop.
`tiered_store` decides what is written where, `consolidation` makes both consistent at a start, `worker` is the thread.
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
from edged.spool.directories import SpoolPaths, identify_boot
from edged.spool.model import RecordCommitted, RecoveredState, RunInfo, SpoolCounters, SpoolEvent
from edged.spool.outbox_table import OutboxEntry
from edged.spool.worker import SpoolUnreadableError, SpoolWorker

OVERDUE_S: Final = 3.0
"""Time after which a record no longer waits for a stalled SD card. Most stalls last a second or two."""

MAX_UNSTORED_PIECES: Final = 1000
"""Number of pieces of unstored audio that are remembered: 100 s."""


class Spool:
    """Storage for speech and records, for use in the event loop; only `open` blocks.

    Events come through `call_soon`, in order."""

    def __init__(
        self,
        settings: Settings,
        call_soon: Callable[[Callable[[], None]], object],
        on_event: Callable[[SpoolEvent], None],
    ) -> None:
        """`call_soon` calls a function in the event loop, from any thread (`loop.call_soon_threadsafe`)."""
        self._settings = settings
        self._call_soon = call_soon
        self._on_event = on_event
        self._sinks: tuple[str, ...] = ()
        self._worker: SpoolWorker | None = None
        self._stopped = False
        self._open_segments: dict[str, StoredSegment] = {}
        self._voiced: dict[str, Ranges] = defaultdict(Ranges)
        """Voiced ranges that were given with a piece of audio, but lie in the audio that follows it."""
        self._live_run = ""
        self._unstored: deque[Range] = deque(maxlen=MAX_UNSTORED_PIECES)
        """Ranges of the live run that were not stored yet at the last look."""
        self._uncommitted: dict[str, tuple[Record, float]] = {}
        self.boot_id = ""
        """Id of this boot; known after `open`."""

    def open(self, sinks: Sequence[str], wall_offset_s: float = 0.0, *, synchronized: bool = False) -> RecoveredState:
        """Lock and open the databases, make them consistent, start the thread, and return what was stored.

        Blocks, for seconds on a slow card. A record stays until all `sinks` have it. `wall_offset_s` is the offset from
        this boot's time to wall time. Raises ConfigurationError if another process uses a directory, if the user has to
        correct something, or if a newer version wrote a database. A failing or damaged disk is an event, not an error.
        """
        paths = SpoolPaths.of(self._settings)
        self._sinks = tuple(sinks)
        health = DatabaseHealth(paths, sinks, self._emit)
        recovered = health.start(lambda: Boot(identify_boot(paths.runtime), wall_offset_s, synchronized))
        self.boot_id = recovered.boot_id
        worker = SpoolWorker(self._settings, health, self._emit)
        threading.Thread(target=worker.run, name="spool", daemon=True).start()
        self._worker = worker
        self.put_boot(wall_offset_s, synchronized=synchronized)  # the first audio may go to the disk at once
        return recovered

    def start_gathering(self) -> None:
        """Let new audio wait before it is stored, since from now on a ring holds it until then."""
        if self._worker:
            self._worker.start_gathering()

    # -- from the gate ------------------------------------------------------------------------------------------------

    def begin_run(self, run: RunInfo, *, live: bool = True) -> None:
        """Store a run, before its first audio and when its device changes.

        A run that is not `live` is an earlier one, of which a ring held audio.
        """
        self._live_run = run.run if live else self._live_run
        self._put(BeginRun(run, live))

    def put_boot(self, wall_offset_s: float, *, synchronized: bool) -> None:
        """Store the present offset from this boot's time to wall time, at the start and when it changes."""
        self._put(PutBoot(Boot(self.boot_id, wall_offset_s, synchronized)))

    def put_anchor(self, run: str, position: int, at_s: float) -> None:
        """Store that the sample at `position` was captured at `at_s` of CLOCK_BOOTTIME.

        Call this at the start of a run, after each hole, and about every minute.
        """
        self._put(PutAnchor(run, Anchor(position, at_s)))

    def open_segment(self, run: str, at: int, chain: int | None = None) -> None:
        """Store that a segment begins. `chain` is the start of the first one, if earlier ones were cut for length."""
        segment = StoredSegment(run, at, None, at if chain is None else chain, False)
        self._open_segments[run] = segment
        self._put(PutSegment(segment))

    def put_audio(self, run: str, position: int, pcm: bytes, voiced: Iterable[Range] = ()) -> None:
        """Store audio that the gate passed.

        `voiced` are ranges in this audio or the following in which the gate heard a voice.

        The same audio may be given again as long as it has no transcript.
        """
        end = position + len(pcm) // BYTES_PER_SAMPLE
        if run == self._live_run:
            self._unstored.append((position, end))
        pending = self._voiced[run]
        for low, high in voiced:
            pending.add(low, high)
        self._put(PutAudio(run, position, pcm, tuple(pending.within(position, end))))
        pending.remove(0, end)

    def close_segment(self, run: str, end: int, *, continues: bool = False) -> None:
        """Store that the open segment ends; `continues` if the next begins there because the speech goes on."""
        segment = self._open_segments.pop(run, None)
        if segment:
            self._put(PutSegment(segment._replace(end=end, continues=continues)))

    # -- from the transcripts ------------------------------------------------------------------------------------------

    def commit(self, record: Record) -> None:
        """Store a record and delete the audio in its range, in one transaction. RecordCommitted follows.

        Raises ValueError if this record is being committed already.
        """
        if record.id in self._uncommitted:
            raise ValueError(f"record {record.id} is being committed already")
        now_s = boottime_s()
        self._uncommitted[record.id] = record, now_s
        self._put(CommitRecord(record, self._entry(record, now_s)))

    def release(self, run: str, start: int, end: int) -> None:
        """Delete audio that needs no transcript any more: silence, or evicted speech."""
        self._put(ReleaseAudio(run, start, end))

    def adopt(self, record: Record, sinks: Iterable[str]) -> None:
        """Store a record that these sinks have and the spool does not, as after a power cut, and delete its audio.

        That is one transaction. No event follows.
        """
        self._put(CommitRecord(record, self._entry(record, boottime_s())))
        for sink in sinks:
            self.mark_delivered(sink, [record.id])

    def mark_delivered(self, sink: str, ids: Iterable[str]) -> None:
        """Store that a sink has these records for good, or will never get them."""
        self._put(MarkDelivered(sink, tuple(ids)))

    async def load(self, run: str, start: int, end: int) -> list[tuple[int, bytes]]:
        """Return the audio in `[start, end)` as pairs `(position, pcm)`, in order, in pieces of 1 s at most.

        Missing audio was transcribed, released or evicted. The result includes all audio given before this call.
        Raises SpoolUnreadableError if the audio can't be read now.
        """
        if self._stopped:
            raise SpoolUnreadableError("the spool is closed")
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[list[tuple[int, bytes]]] = loop.create_future()

        def settle(result: list[tuple[int, bytes]] | Exception) -> None:
            if not answer.done():  # the caller was cancelled
                if isinstance(result, Exception):
                    answer.set_exception(result)
                else:
                    answer.set_result(result)

        self._put(LoadAudio(run, start, end, lambda result: self._call(partial(settle, result))))
        return await answer

    @property
    def unstored_from(self) -> int | None:
        """Start of the live run's audio that is not stored yet; None if all audio is stored."""
        while self._unstored and self._worker and self._unstored[0][1] <= self._worker.stored_until:
            self._unstored.popleft()
        return self._unstored[0][0] if self._unstored else None

    # -- state --------------------------------------------------------------------------------------------------------

    def counters(self) -> SpoolCounters:
        """Return how much audio is stored, as counted within about a second of the last activity."""
        return self._worker.maintenance.counters if self._worker else SpoolCounters()

    def tick(self, now_s: float) -> None:
        """Emit RecordCommitted for records that have waited `OVERDUE_S` for a stalled card.

        Call this every second or two. These records are not durable yet; they are stored when the card works again.
        `now_s` is boot time.
        """
        for record, since_s in list(self._uncommitted.values()):
            if now_s >= since_s + OVERDUE_S:
                self._handle_event(RecordCommitted(record, durable=False))

    async def stop(self, timeout_s: float) -> bool:
        """Move everything to disk and close, within `timeout_s`. Later calls store nothing.

        Returns whether everything is on disk. If not, the disk fails or the thread hangs in a write and is left behind.
        What is still in memory does not outlive the boot.
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

    def _put(self, command: Command) -> None:
        if self._worker is None:
            raise RuntimeError("the spool is not open")
        if not self._stopped:
            self._worker.put(command)

    def _emit(self, event: SpoolEvent) -> None:
        self._call(partial(self._handle_event, event))

    def _call(self, function: Callable[[], None]) -> None:
        try:
            self._call_soon(function)
        except RuntimeError:  # the loop is closed: the thread was left behind at the stop
            return

    def _handle_event(self, event: SpoolEvent) -> None:
        if isinstance(event, RecordCommitted) and self._uncommitted.pop(event.record.id, None) is None:
            return  # emitted before: the record was overdue, or could not be stored at first
        self._on_event(event)
