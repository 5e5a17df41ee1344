"""Builds the parts and wires them: source -> intake -> lane -> records -> sinks, with the link beside the lane.

Everything but reading the microphone and writing to the sinks happens in one event loop. Nothing here decides
anything about audio or words; what it owns is the order of starting and stopping.
"""

import asyncio
import logging
import time
import uuid
from collections.abc import Callable
from typing import Any

from edged.capture.capture_queue import CaptureQueue
from edged.capture.factory import open_source
from edged.capture.level import LevelMonitor, StallDetector, dbfs
from edged.capture.source import CaptureCounters, Source
from edged.capture.timeline import Timeline
from edged.config.api_key import ApiKey
from edged.config.settings import Settings
from edged.daemon.backlog_report import BacklogReport
from edged.daemon.connection_text import describe_connection
from edged.daemon.gate_feedback import teach
from edged.daemon.persistence import Persistence
from edged.daemon.shutdown import FLUSH_S, LEAST_FLUSH_S, flush_s, run_all
from edged.daemon.stop_conditions import StopConditions
from edged.daemon.summary import Summary
from edged.gate.audio_gate import SegmentEvent
from edged.gate.controller import GateController
from edged.model import audio
from edged.model.audio import Block, Overrun, SourceEnded, SourceEvent, SourceLost, SourceOpened
from edged.model.errors import ExitStatus
from edged.model.message_ids import MessageId
from edged.service import repeat_summary
from edged.service.log import Outage, duration
from edged.service.manager import ServiceManager
from edged.service.repeat_summary import RepeatSummary
from edged.service.standard_streams import STDOUT, watch_reader
from edged.service.status import ServiceStatus
from edged.stream.backfill import Backfill
from edged.stream.client import ReconnectingClient
from edged.stream.connection_limiter import ConnectionLimiter
from edged.stream.events import BacklogHandedOver, BacklogRange, SenderEvent
from edged.stream.sender import Sender
from edged.stream.server_traits import ServerTraits
from edged.stream.tls import tls_context
from edged.transcripts import delivery
from edged.transcripts.delivery import Delivery
from edged.transcripts.sinks.registry import make_sinks, sinks_on_stdout

log = logging.getLogger("edged")

WATCH_S = 2.0
"""How often a source that gives nothing is noticed: half of the wake-ups that a second would cost."""

STOP_CAPTURE_S = 1.0
"""The capture thread is between two reads within a period; one that hangs in the driver is left behind."""


class Daemon:
    """One run. `run` returns its exit status; `summary` tells what it came to."""

    def __init__(self, settings: Settings, key: ApiKey | None) -> None:
        self._settings = settings
        self._key = key
        self._rate = settings.capture.rate
        self.run_id = uuid.uuid4().hex[:12]
        self._timeline = Timeline(self._rate)
        self._hearing = GateController(settings.gate, self._rate)
        spools = settings.spool.enabled
        self._traits = ServerTraits(settings.deepgram)
        self._lane = Sender(
            settings.deepgram,
            self._rate,
            utterance_max_s=settings.transcripts.max_s,
            keep_max_s=settings.replay.max_s,
            hand_over_s=settings.backfill.after_s if spools else None,
            gated=settings.gate.enabled,
            traits=self._traits,
        )
        self._tls = tls_context(settings.deepgram)
        self._share = ConnectionLimiter(2 if settings.backfill.enabled else 1)
        self._repeats = RepeatSummary(log)
        self._microphone = Outage(log, "microphone", each_reason=True, repeats=self._repeats)
        self._signals: dict[MessageId | None, Outage] = {}
        self._watch, self._loudness = StallDetector(), LevelMonitor()
        self._manager = ServiceManager()
        self._backlog = BacklogReport(settings.backfill.after_s, time.monotonic())
        self._captured = self._holes = self._dropped = 0
        self._expected: int | None = None
        self._priming = False
        self._undelivered: dict[str, int] = {}
        """By sink: how many records it lacks at the end."""

    async def run(self) -> ExitStatus:
        """Run until the recording ends or a signal stops it. Raises ConfigurationError or SourceMismatch at first."""
        loop = asyncio.get_running_loop()
        self._stopping = StopConditions(self._settings.daemon.stop_s, self._reload)
        self._handover = CaptureQueue(lambda: loop.call_soon_threadsafe(self._on_captured), self._rate)
        self._source: Source = open_source(self._settings.capture, self._handover.put)
        async with self._manager.starting("opening the microphone"):
            missing = await asyncio.to_thread(self._source.check)
        recording = self._settings.capture.source == "wav"
        if missing and not recording:  # what is wrong with a recording is told when it is played
            self._lane.source_lost()
            self._microphone.failed(missing.reason, missing.message_id)
            self._manager.lost(missing.message_id)
        transcripts = self._settings.transcripts
        # Delivery, Books and Backfill need each other: what a later one does is looked up when it is called.
        self._delivery = Delivery(make_sinks(transcripts), transcripts.max_pending, self._on_delivery)
        self._books = Persistence(
            self._settings,
            self.run_id,
            self._timeline,
            self._delivery,
            loop.call_soon_threadsafe,
            self._take_up,
            lambda run, start, end: self._backfill.forget(run, start, end),
            self._lane.pending,
        )
        self._link = self._make_link(self._lane, self._on_effect)
        self._backfill = Backfill(self._settings, self._books.load, self._make_link, self._books.effect, self._traits)
        async with self._manager.starting("opening the spool"):
            await self._books.open()
        self._delivery.start()
        if sinks_on_stdout(transcripts.sinks):
            watch_reader(loop, STDOUT, self._delivery.reopen)
        self._stopping.handle_signals()
        try:
            return await self._run()
        finally:
            self._stopping.ignore_signals()

    def _make_link(self, lane: Sender, on_effect: Callable[[SenderEvent], None]) -> ReconnectingClient:
        return ReconnectingClient(self._settings, lane, self._key, self._tls, self._share, on_effect)

    def _take_up(self, run: str, rate: int, stretches: tuple[BacklogRange, ...]) -> None:
        """What waits of an earlier run."""
        self._backlog.found(sum(stretch.end - stretch.start for stretch in stretches) / rate)
        self._backfill.add(run, rate, stretches)

    async def _run(self) -> ExitStatus:
        self._hearing.announce()
        self._source.start()
        self._manager.ready()
        self._tell_status()
        link = asyncio.create_task(self._link.run(), name="link")
        backfill = asyncio.create_task(self._backfill.run(), name="backfill")
        watch = asyncio.create_task(self._look_after(), name="watch")
        stop = asyncio.create_task(self._stopping.requested.wait(), name="stop")
        hurry = asyncio.create_task(self._stopping.hurried.wait(), name="hurry")
        tasks: list[asyncio.Task[Any]] = [link, backfill, watch, stop, hurry]
        deadline = time.monotonic() + FLUSH_S
        try:
            await asyncio.wait([link, backfill, watch, stop], return_when=asyncio.FIRST_COMPLETED)
            for task in (link, backfill, watch):
                if task.done():
                    task.result()  # none ends before a stop, but by a fault of our own
            wait_s = self._settings.capture.end_wait_s if self._stopping.ended else self._settings.daemon.stop_s
            deadline = time.monotonic() + wait_s
            self._manager.stopping(wait_s, STOP_CAPTURE_S + 2 * FLUSH_S)
            self._tell_status()
            await self._stop_capture(min(STOP_CAPTURE_S, wait_s))
            self._link.finish()
            await self._last_words(link, backfill, hurry, wait_s)
        finally:
            await run_all(
                lambda: self._cancel(tasks),
                lambda: self._books.flush(LEAST_FLUSH_S),
                lambda: self._deliver(flush_s(deadline - time.monotonic())),
                lambda: self._books.close(FLUSH_S),
            )
        return self._status()

    async def _cancel(self, tasks: list[asyncio.Task[Any]]) -> None:
        self._source.stop(0)  # after a fault it still runs, and soon there is no loop to deliver to
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _deliver(self, timeout_s: float) -> None:
        self._undelivered = await self._delivery.close(timeout_s)

    async def _last_words(
        self, link: asyncio.Task[None], backfill: asyncio.Task[None], hurry: asyncio.Task[Any], wait_s: float
    ) -> None:
        """Wait for what a lane has to say. At a recording's end for the backlog too; at a stop that stays spooled."""
        until = time.monotonic() + wait_s

        async def ended(task: asyncio.Task[None]) -> bool:
            left_s = until - time.monotonic()
            if left_s > 0 and not hurry.done():
                await asyncio.wait({task, hurry}, timeout=left_s, return_when=asyncio.FIRST_COMPLETED)
            return task.done()

        speaks = self._lane.backlog or self._lane.session
        if (not speaks or await ended(link)) and self._stopping.ended:
            self._backfill.finish()  # not before: the link may still have handed something over
            await ended(backfill)
        for task in (link, backfill):
            if task.done():
                task.result()

    def _status(self) -> ExitStatus:
        for sink, records in self._undelivered.items():
            log.warning("sink %s: stopped with %d record%s undelivered", sink, records, "s"[: records != 1])
        left_s = self._left_s
        if left_s:
            log.warning("stopped with %.1f s of speech not transcribed: %s", left_s, self._books.fate)
        if left_s or any(sink in self._delivery.required for sink in self._undelivered):
            return ExitStatus.SPEECH_LEFT
        return ExitStatus.INTERRUPTED if self._stopping.interrupted else ExitStatus.OK

    @property
    def _left_s(self) -> float:
        return self._lane.pending.pending_speech_samples / self._rate + self._backfill.left_s

    @property
    def summary(self) -> Summary:
        """What the run came to so far."""
        counts, behind, heard = self._books.counts, self._backfill.totals, self._source.counters
        sent_s = self._lane.sent_samples / self._rate + behind.sent_s
        return Summary(
            run=self.run_id,
            captured_s=self._captured / self._rate,
            sent_s=sent_s,
            keepalives=self._lane.keepalives,
            connections=self._link.counts.connections + behind.connections,
            reconnects=self._link.counts.reconnects + behind.reconnects,
            utterances=counts.utterances,
            words=counts.words,
            holes=self._holes,
            evicted_s=counts.evicted_s,
            left_s=self._left_s,
            ignored_messages=counts.ignored_messages,
            peak_dbfs=dbfs(heard.peak) if self._captured else None,
            clipped=heard.clipped_samples,
            overruns=heard.overruns,
            lost_s=heard.lost_samples / self._rate,
            dropped_s=self._dropped / self._rate,
            judged_late_s=self._hearing.late_s,
            given_up=self._hearing.suspensions,
            usd_estimated=sent_s / 60 * self._settings.deepgram.usd_per_minute,
        )

    # -- sinks --------------------------------------------------------------------------------------------------------

    def _reload(self) -> None:
        log.info("reopening files")
        self._manager.reloading()
        self._delivery.reopen()
        self._manager.ready()

    def _on_delivery(self, event: delivery.DeliveryEvent) -> None:
        self._books.delivered(event)
        if isinstance(event, delivery.SinkGone) and not self._delivery.sinks:
            self._stopping.output_closed()

    # -- audio --------------------------------------------------------------------------------------------------------

    async def _stop_capture(self, timeout_s: float) -> None:
        if not await asyncio.to_thread(self._source.stop, timeout_s):
            log.warning("the capture thread hangs in the sound driver; it is left behind")
        self._on_captured()
        for event in self._hearing.finish():
            self._let(event)

    async def _look_after(self) -> None:
        """What nobody reports by himself: a source that gives nothing, a card that stalls, a backlog."""
        while True:
            await asyncio.sleep(WATCH_S)
            repeat_summary.tick()
            counters = self._source.counters
            if not self._stopping.requested.is_set():
                self._watch_blocks(counters)
            self._tell_loudness(counters)
            self._manager.turn(counters.heartbeat_s, open=counters.last_block_s is not None)
            self._tell_status()
            self._books.tick()
            self._lane.allow_handover(self._books.keeps_backlog)
            self._backfill.set_urgent(presses=self._books.backlog_presses)
            self._tell_backlog()

    def _watch_blocks(self, counters: CaptureCounters) -> None:
        now_s = time.monotonic()
        if told := self._watch.check(now_s, counters.last_block_s):
            self._on_signal(told)
        if self._watch.wants_reopening(now_s):
            self._source.reopen()

    def _tell_loudness(self, counters: CaptureCounters) -> None:
        if self._settings.capture.source == "alsa":  # a recording is as it is
            is_open = self._settings.gate.enabled and self._hearing.is_open
            if text := self._loudness.check(
                counters.peak, counters.clipped_samples, counters.dc_offset, is_open=is_open
            ):
                log.warning("microphone: %s", text)

    def _tell_status(self) -> None:
        """`systemctl status` shows it."""
        if not self._manager.listens:
            return
        link, backlog_s = self._link, self._left_s
        self._manager.tell(
            ServiceStatus(
                link=describe_connection(link, is_streaming=backlog_s > 0),
                retry_s=None if link.retry_at_s is None else max(0.0, link.retry_at_s - time.monotonic()),
                backlog_s=backlog_s,
                waiting=max((counts.pending for counts in self._delivery.counts().values()), default=0),
                sink_fault=self._delivery.fault,
            )
        )

    def _tell_backlog(self) -> None:
        told = self._backlog.look(time.monotonic(), self._left_s)
        if told is None:
            return
        left = duration(told.left_s)
        if told.done_s is not None:
            log.info("backlog: %s of speech, done in about %s", left, duration(told.done_s))
        else:
            text = "backlog: %s of speech, and it does not shrink (%s)"
            log.warning(text, left, describe_connection(self._link), extra={"message_id": MessageId.BACKLOG})

    def _on_captured(self) -> None:
        self._priming = self._lane.wants_priming()  # blocks that come together prime it together
        for item in self._handover.take():
            self._on_item(item)
        self._tell_dropped()
        self._source.set_read_interval(0.0 if self._lane.wants_priming() else self._hearing.read_interval_s)

    def _tell_dropped(self) -> None:
        """Once each time that this loop stood still for longer than the hand-over holds."""
        lost = self._handover.dropped_samples - self._dropped
        if lost:
            self._dropped += lost
            text = (
                f"{lost / self._rate:.1f} s of audio lost: edged stood still for too long; is this machine overloaded?"
            )
            self._repeats.log(logging.WARNING, text)

    def _on_item(self, item: SourceEvent) -> None:
        match item:
            case Block():
                self._on_block(item)
            case SourceOpened(device, granted):
                self._repeats.log(logging.INFO, f"capturing {device}: {granted}")
                self._books.device = device
                self._manager.captures(device)
                self._microphone.over()
                self._lane.source_opened()
                self._link.wake()
            case SourceLost(reason, message_id):
                self._microphone.failed(reason, message_id)
                self._signals.clear()  # what is wrong with its signal after its return is news again
                self._manager.lost(message_id)
                self._lane.source_lost()
                for event in self._hearing.finish():  # what was said so far is not held back until it returns
                    self._let(event)
                self._link.wake()
            case Overrun(lost, late_from):
                if late_from is not None:
                    self._holes += 1
                    self._books.redated(self._timeline.shift(late_from, lost / self._rate))
                self._repeats.log(logging.WARNING, f"overrun: {1000 * lost / self._rate:.0f} ms of audio lost")
            case audio.SignalChange():
                self._on_signal(item)
            case SourceEnded():
                self._lane.source_lost()
                self._stopping.recording_ended()

    def _on_block(self, block: Block) -> None:
        self._manager.block()
        length = block.end - block.position
        if self._expected is not None and block.position != self._expected:
            self._holes += 1
        self._expected = block.end
        self._captured += length
        anchor_s = self._timeline.observe(block.position, length, block.at_s)
        let = self._hearing.feed(block, forced=self._priming)
        for event in let:
            self._let(event)
        self._books.captured(block, anchor_s, self._hearing.passed_to)
        if let:
            self._link.wake()

    def _let(self, event: SegmentEvent) -> None:
        self._books.let(event)
        for effect in self._lane.feed(event):
            self._on_effect(effect)

    def _on_effect(self, effect: SenderEvent) -> None:
        teach(self._hearing, effect)
        if isinstance(effect, BacklogHandedOver):
            self._backfill.add(self.run_id, self._rate, effect.stretches, effect.sent_to)
        else:
            self._books.effect(self.run_id, effect)

    def _on_signal(self, told: audio.SignalChange) -> None:
        self._manager.signal(told)
        outage = self._signals.setdefault(
            told.message_id, Outage(log, "microphone", each_reason=True, repeats=self._repeats)
        )
        if told.fault:
            outage.failed(told.text, told.message_id)
        else:
            outage.over(told.text)
