"""The daemon: makes the parts, routes events between them, and owns the order of starting and stopping.

    source -> gate -> sender <-> server;  sender -> record writer -> spool -> sinks;  backlog: spool -> backfill

Nothing here decides anything about audio or words, and no part knows another that it does not own: each `_on_*` method
takes the events of one part and passes them on. All of it runs in one event loop; only the source, the spool and the
sinks have threads.
"""

import asyncio
import logging
import time
import uuid
from collections.abc import Callable
from functools import partial
from typing import Any

from edged.capture.capture_queue import CaptureQueue
from edged.capture.factory import open_source
from edged.capture.timeline import Timeline
from edged.config.api_key import ApiKey
from edged.config.settings import Settings
from edged.daemon.backlog_report import BacklogReport
from edged.daemon.capture_monitor import CaptureMonitor
from edged.daemon.connection_text import describe_connection
from edged.daemon.gate_feedback import teach
from edged.daemon.persistence import Persistence, PersistenceEvent
from edged.daemon.record_writer import RecordWriter
from edged.daemon.recovery import Recovery
from edged.daemon.run_records import RunRecordBuilders
from edged.daemon.sender_monitor import SenderMonitor
from edged.daemon.shutdown import FLUSH_S, LEAST_FLUSH_S, flush_s, raise_faults, run_all, start_task, wait_until
from edged.daemon.state import DaemonState, StateReader
from edged.daemon.stop_conditions import StopConditions
from edged.daemon.summary import Summary
from edged.gate.audio_gate import SegmentEvent
from edged.gate.controller import GateController
from edged.model.audio import Block, Overrun, SignalChange, SourceEnded, SourceEvent, SourceLost, SourceOpened
from edged.model.errors import ExitStatus
from edged.service import repeat_summary
from edged.service.clock import Synchronization
from edged.service.manager import ServiceManager
from edged.service.standard_streams import STDOUT, watch_reader
from edged.spool.model import AudioRequested, BacklogFound, RecordCommitted, RecoveredState, SpeechEvicted
from edged.stream.backfill import AudioMissing, Backfill
from edged.stream.client import ReconnectingClient
from edged.stream.connection_limiter import ConnectionLimiter
from edged.stream.events import AudioEvicted, AudioQuarantined, BacklogHandedOver, InterimText, SenderEvent
from edged.stream.pending_audio import AudioReleased
from edged.stream.sender import Sender
from edged.stream.server_traits import ServerTraits
from edged.stream.session import ServerNotice, ServerWarning
from edged.stream.tls import tls_context
from edged.stream.transcript_assembler import UtteranceReady
from edged.transcripts.delivery import Delivery, DeliveryEvent, RecordEvicted, RecordsDelivered, SinkDied, SinkGone
from edged.transcripts.sinks.registry import make_sinks, required_sinks, sinks_on_stdout

log = logging.getLogger("edged")

WATCH_S = 2.0
"""Interval of the checks for what nobody reports, such as a source that delivers nothing. A second would cost twice the
wake-ups."""

STOP_CAPTURE_S = 1.0
"""Wait for the capture thread at a stop. It comes from a read within a period; one that hangs is left behind."""


class Daemon:
    """One run of the daemon. `run` returns its exit status; `state` and `summary` can be read while it runs."""

    def __init__(self, settings: Settings, key: ApiKey | None) -> None:
        self._settings = settings
        self._key = key
        self._rate = settings.capture.rate
        self.run_id = uuid.uuid4().hex[:12]
        self._timeline = Timeline(self._rate)
        self._manager = ServiceManager()
        self._capture_monitor = CaptureMonitor(settings, self._manager)
        self._gate = GateController(settings.gate, self._rate)
        self._traits = ServerTraits(settings.deepgram)
        self._sender = Sender(
            settings.deepgram,
            self._rate,
            utterance_max_s=settings.transcripts.max_s,
            keep_max_s=settings.replay.max_s,
            hand_over_s=settings.backfill.after_s if settings.spool.enabled else None,
            gated=settings.gate.enabled,
            traits=self._traits,
        )
        self._tls = tls_context(settings.deepgram)
        self._limiter = ConnectionLimiter(2 if settings.backfill.enabled else 1)
        self._backlog_report = BacklogReport(settings.backfill.after_s, time.monotonic())
        self._sender_monitor = SenderMonitor("spool" if settings.spool.enabled else "replay")
        self._needs_priming = False
        self._late_recoveries: list[asyncio.Task[None]] = []
        self._undelivered: dict[str, int] = {}
        """Records that each sink lacks at the end."""

    # -- wire, start, run, stop ---------------------------------------------------------------------------------------

    async def run(self) -> ExitStatus:
        """Run until the recording ends or a signal stops it.

        Raises ConfigurationError or SourceMismatchError before anything starts.
        """
        self._wire()
        await self._open()
        self._stopping.handle_signals()
        try:
            return await self._run()
        finally:
            self._stopping.ignore_signals()

    def _wire(self) -> None:
        """Make the parts that need the event loop. Each one gets those made before it, and reports to `_on_*`."""
        settings, loop = self._settings, asyncio.get_running_loop()
        transcripts, clock = settings.transcripts, Synchronization()
        self._stopping = StopConditions(settings.daemon.stop_s, self._reload)
        self._queue = CaptureQueue(partial(loop.call_soon_threadsafe, self._on_captured), self._rate)
        self._source = open_source(settings.capture, self._queue.put)
        self._delivery = Delivery(make_sinks(transcripts), transcripts.max_pending, self._on_delivery_event)
        sinks = required_sinks(transcripts.sinks)
        self._persistence = Persistence(
            settings, self.run_id, sinks, clock, loop.call_soon_threadsafe, self._on_persistence_event
        )
        self._builders = RunRecordBuilders(settings, self.run_id, self._timeline, clock)
        self._records = RecordWriter(self._builders, self._persistence, self._delivery)
        self._client = self._make_client(self._sender, self._on_live_event)
        self._backfill = Backfill(
            settings, self._persistence.load, self._make_client, self._on_sender_event, self._traits
        )
        self._reader = StateReader(
            settings=settings,
            run_id=self.run_id,
            capture=self._capture_monitor,
            source=self._source,
            gate=self._gate,
            sender=self._sender,
            client=self._client,
            backfill=self._backfill,
            senders=self._sender_monitor,
            persistence=self._persistence,
            records=self._records,
            delivery=self._delivery,
        )

    def _make_client(self, sender: Sender, on_event: Callable[[SenderEvent], None]) -> ReconnectingClient:
        return ReconnectingClient(self._settings, sender, self._key, self._tls, self._limiter, on_event)

    async def _open(self) -> None:
        """Find the microphone, open the spool, and start the sinks."""
        is_recording = self._settings.capture.source == "wav"
        async with self._manager.starting("opening the microphone"):
            missing = await asyncio.to_thread(self._source.check)
        if missing and not is_recording:  # a fault of a recording is reported when it is played
            self._sender.source_lost()
            self._capture_monitor.lost(missing)
        async with self._manager.starting("opening the spool"):
            self._on_recovery(await self._persistence.open())
        self._delivery.start()
        if sinks_on_stdout(self._settings.transcripts.sinks):
            watch_reader(asyncio.get_running_loop(), STDOUT, self._delivery.reopen)

    async def _run(self) -> ExitStatus:
        self._gate.announce()
        self._source.start()
        self._manager.ready()
        self._show_status()
        client = start_task(self._client.run(), "client")
        backfill = start_task(self._backfill.run(), "backfill")
        checks = start_task(self._check_regularly(), "checks")
        stop = start_task(self._stopping.requested.wait(), "stop")
        hurry = start_task(self._stopping.hurried.wait(), "hurry")
        deadline = time.monotonic() + FLUSH_S
        try:
            await asyncio.wait([client, backfill, checks, stop], return_when=asyncio.FIRST_COMPLETED)
            raise_faults(client, backfill, checks)
            wait_s = self._settings.capture.end_wait_s if self._stopping.ended else self._settings.daemon.stop_s
            deadline = time.monotonic() + wait_s
            self._manager.stopping(wait_s, STOP_CAPTURE_S + 2 * FLUSH_S)
            self._show_status()
            await self._stop_capture(min(STOP_CAPTURE_S, wait_s))
            self._client.finish()
            await self._wait_for_finals(client, backfill, hurry, wait_s)
        finally:
            await run_all(
                partial(self._cancel, [client, backfill, checks, stop, hurry]),
                partial(self._records.flush, LEAST_FLUSH_S),
                partial(self._close_sinks, deadline),
                partial(self._persistence.close, FLUSH_S),
            )
        return self._exit_status()

    async def _stop_capture(self, timeout_s: float) -> None:
        if not await asyncio.to_thread(self._source.stop, timeout_s):
            log.warning("the capture thread hangs in the sound driver; it is left behind")
        self._on_captured()
        self._end_segment()

    async def _wait_for_finals(
        self, client: asyncio.Task[Any], backfill: asyncio.Task[Any], hurry: asyncio.Task[Any], wait_s: float
    ) -> None:
        """Wait for the results of live speech. At a recording's end wait for the backlog too; else it stays spooled."""
        until_s = time.monotonic() + wait_s
        has_pending = self._sender.backlog or self._sender.session
        if (not has_pending or await wait_until(until_s, client, hurry)) and self._stopping.ended:
            self._backfill.finish()  # not before: the client may still have handed backlog over
            await wait_until(until_s, backfill, hurry)
        raise_faults(client, backfill)

    async def _cancel(self, tasks: list[asyncio.Task[Any]]) -> None:
        self._source.stop(0)  # after a fault it still runs, and soon there is no loop to deliver to
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _close_sinks(self, deadline_s: float) -> None:
        self._undelivered = await self._delivery.close(flush_s(deadline_s - time.monotonic()))

    def _exit_status(self) -> ExitStatus:
        for sink, records in self._undelivered.items():
            log.warning("sink %s: stopped with %d record%s undelivered", sink, records, "s"[: records != 1])
        left_s = self._reader.backlog_s
        if left_s:
            log.warning("stopped with %.1f s of speech not transcribed: %s", left_s, self._persistence.fate)
        if left_s or any(sink in self._delivery.required for sink in self._undelivered):
            return ExitStatus.SPEECH_LEFT
        return ExitStatus.INTERRUPTED if self._stopping.interrupted else ExitStatus.OK

    def _reload(self) -> None:
        log.info("reopening files")
        self._manager.reloading()
        self._delivery.reopen()
        self._manager.ready()

    # -- state --------------------------------------------------------------------------------------------------------

    @property
    def state(self) -> DaemonState:
        """Snapshot of the running daemon."""
        return self._reader.state()

    @property
    def summary(self) -> Summary:
        """Summary of the run so far."""
        return self._reader.summary()

    def _show_status(self) -> None:
        if self._manager.listens:
            self._manager.show(self.state.service_status())

    # -- what nobody reports ------------------------------------------------------------------------------------------

    async def _check_regularly(self) -> None:
        while True:
            await asyncio.sleep(WATCH_S)
            repeat_summary.tick()
            self._check_source()
            self._show_status()
            self._check_backlog()

    def _check_source(self) -> None:
        counters = self._source.counters
        if not self._stopping.requested.is_set() and self._capture_monitor.source_hangs(counters):
            self._source.reopen()
        self._capture_monitor.check_level(counters, is_open=self._settings.gate.enabled and self._gate.is_open)
        self._capture_monitor.heartbeat(counters)

    def _check_backlog(self) -> None:
        self._persistence.tick()
        raise_faults(*self._late_recoveries)
        self._late_recoveries = [task for task in self._late_recoveries if not task.done()]
        self._sender.allow_handover(self._persistence.keeps_backlog)
        self._backfill.set_urgent(presses=self._persistence.is_near_limit)
        self._backlog_report.log(time.monotonic(), self._reader.backlog_s, describe_connection(self._client))

    # -- events of the source and the gate ----------------------------------------------------------------------------

    def _on_captured(self) -> None:
        self._needs_priming = self._sender.wants_priming()  # blocks that come together prime it together
        for event in self._queue.take():
            self._on_capture_event(event)
        self._capture_monitor.dropped(self._queue.dropped_samples)
        self._source.set_read_interval(0.0 if self._sender.wants_priming() else self._gate.read_interval_s)

    def _on_capture_event(self, event: SourceEvent) -> None:
        match event:
            case Block():
                self._on_block(event)
            case SourceOpened(device):
                self._capture_monitor.opened(event)
                self._persistence.set_device(device)
                self._builders.set_device(device)
                self._sender.source_opened()
                self._client.wake()
            case SourceLost():
                self._capture_monitor.lost(event)
                self._sender.source_lost()
                self._end_segment()  # what was said so far need not wait for the source's return
                self._client.wake()
            case Overrun(lost_samples, late_from):
                if late_from is not None:
                    self._persistence.redate(self._timeline.shift(late_from, lost_samples / self._rate))
                self._capture_monitor.overrun(event)
            case SignalChange():
                self._capture_monitor.signal_changed(event)
            case SourceEnded():
                self._sender.source_lost()
                self._stopping.recording_ended()

    def _on_block(self, block: Block) -> None:
        self._capture_monitor.block(block)
        anchor_s = self._timeline.observe(block.position, block.end - block.position, block.at_s)
        events = self._gate.feed(block, forced=self._needs_priming)
        for event in events:
            self._on_segment_event(event)
        self._persistence.store_captured(block, anchor_s, self._gate.passed_to)
        if events:
            self._client.wake()

    def _end_segment(self) -> None:
        for event in self._gate.finish():
            self._on_segment_event(event)

    def _on_segment_event(self, event: SegmentEvent) -> None:
        self._persistence.store_segment(event)
        for sender_event in self._sender.feed(event):
            self._on_live_event(sender_event)

    # -- events of the senders ----------------------------------------------------------------------------------------

    def _on_live_event(self, event: SenderEvent) -> None:
        teach(self._gate, event)
        if isinstance(event, BacklogHandedOver):
            self._backfill.add(self.run_id, self._rate, event.stretches, event.sent_to)
        else:
            self._on_sender_event(self.run_id, event)

    def _on_sender_event(self, run: str, event: SenderEvent | AudioMissing) -> None:
        """Route what the live sender or backfill has to say about a run."""
        match event:
            case UtteranceReady(utterance):
                self._sender_monitor.transcribed()
                self._records.write(run, utterance)
            case AudioReleased(start, end, "silence" | "evicted"):
                self._persistence.release(run, start, end)
            case InterimText(text):
                self._delivery.show_interim(text)
            case AudioEvicted(samples):
                limit = f"replay.max_s = {self._settings.replay.max_s:g}"
                self._sender_monitor.evicted(self._builders.seconds(run, samples), limit)
            case AudioMissing(samples):
                self._sender_monitor.missing(self._builders.seconds(run, samples))
            case AudioQuarantined(samples):
                self._sender_monitor.quarantined(self._builders.seconds(run, samples))
            case ServerNotice() | ServerWarning():
                self._sender_monitor.notice(event)

    # -- events of persistence and the sinks --------------------------------------------------------------------------

    def _on_recovery(self, recovery: Recovery) -> None:
        """Deliver what sinks lack of earlier processes, and have what waits transcribed."""
        for record, sinks in recovery.undelivered:
            self._delivery.submit(record, sinks)
        for found in recovery.backlogs:
            run = found.run.run
            self._builders.add(found.run, here=found.same_boot)
            self._backlog_report.found(sum(end - start for start, end, _ in found.ranges) / run.rate)
            self._backfill.add(run.run, run.rate, found.ranges)

    async def _recover_late(self, state: RecoveredState) -> None:
        self._on_recovery(await self._persistence.recover(state))

    def _on_persistence_event(self, event: PersistenceEvent) -> None:
        match event:
            case RecordCommitted(record, durable):
                self._records.committed(record, durable=durable)
            case SpeechEvicted(run, start, end, _, bound):
                # What a sender has in memory is not lost.
                if lost_s := self._backfill.forget(run, start, end):
                    self._sender_monitor.evicted(lost_s, f"spool.{bound}")
            case AudioRequested(run, ranges) if run == self.run_id:
                self._persistence.store_again(ranges, self._sender.pending)
            case BacklogFound(state):
                self._late_recoveries.append(start_task(self._recover_late(state), "late recovery"))

    def _on_delivery_event(self, event: DeliveryEvent) -> None:
        match event:
            case RecordsDelivered(sink, ids):
                self._persistence.mark_delivered(sink, ids)
            case RecordEvicted(sink, id_):
                self._persistence.mark_delivered(sink, [id_])
            case SinkDied(_, error):
                raise error
            case SinkGone() if not self._delivery.sinks:
                self._stopping.output_closed()
