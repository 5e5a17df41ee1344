"""Builds the parts and wires them: source -> intake -> lane -> records -> sinks, with the link beside the lane.

Everything but reading the microphone and writing to the sinks happens in one event loop. Nothing here decides
anything about audio or words; what it owns is the order of starting and stopping.
"""

import asyncio
import logging
import signal
import socket
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from edged.audio import Block, Captured, Ended, Lost, Opened, Overrun
from edged.audio import Signal as Level
from edged.capture.handover import HandOver
from edged.capture.level import Watch
from edged.capture.source import Source, open_source
from edged.errors import Exit
from edged.gate.detectors import webrtc
from edged.gate.intake import Intake, Let
from edged.key import Key
from edged.service.clock import Synchronization, boottime_s, wall_offset_s
from edged.service.log import Once, Outage
from edged.service.threads import Unawaited
from edged.settings import Settings
from edged.stream.connection import tls_context
from edged.stream.lane import Evicted, Lane, LaneEffect, SetAside, Showing
from edged.stream.link import Link
from edged.stream.scribe import Uttered
from edged.stream.session import Noted
from edged.stream.timeline import Timeline
from edged.summary import Summary
from edged.transcripts import delivery
from edged.transcripts.delivery import Delivery
from edged.transcripts.make import Maker
from edged.transcripts.sinks import open_sinks

log = logging.getLogger("edged")

WATCH_S = 2.0
"""How often a source that gives nothing is noticed: half of the wake-ups that a second would cost."""

STOP_CAPTURE_S = 1.0
"""The capture thread is between two reads within a period; one that hangs in the driver is left behind."""

FLUSH_S = 3.0
LEAST_FLUSH_S = 0.5
"""For the sinks at the end: a slow card writes the last records within this; some of it even when time is up."""


@dataclass(slots=True)
class _Counts:
    captured: int = 0
    holes: int = 0
    evicted: int = 0
    utterances: int = 0
    words: int = 0


class Daemon:
    """One run. `run` returns its exit status; `summary` tells what it came to."""

    def __init__(self, settings: Settings, key: Key | None) -> None:
        self._settings = settings
        self._key = key
        self._rate = settings.capture.rate
        self.run_id = uuid.uuid4().hex[:12]
        self._timeline = Timeline(self._rate)
        detector = webrtc(settings.gate.aggressiveness, self._rate)
        self._intake = Intake(settings.gate, self._rate, detector)
        self._lane = Lane(
            settings.deepgram,
            self._rate,
            utterance_max_s=settings.transcripts.max_s,
            keep_max_s=settings.replay.max_s,
        )
        self._tls = tls_context(settings.deepgram)
        self._maker = Maker(settings, self.run_id, socket.gethostname(), self._timeline, Synchronization())
        self._counts = _Counts()
        self._once = Once()
        self._microphone = Outage(log, "microphone")
        self._signal = Outage(log, "microphone")
        self._eviction = Outage(log, "replay")
        self._watch = Watch()
        self._expected: int | None = None
        self._ended = False
        self._signalled = self._interrupted = False

    async def run(self) -> Exit:
        """Run until the recording ends or a signal stops it. Raises ConfigurationError or SourceMismatch at first."""
        loop = asyncio.get_running_loop()
        self._stop, self._hurry = asyncio.Event(), asyncio.Event()
        self._handover = HandOver(lambda: loop.call_soon_threadsafe(self._on_captured))
        self._source: Source = open_source(self._settings.capture, self._handover.put)
        missing = await asyncio.to_thread(self._source.check)
        self._lane.has_source = missing is None
        if missing:
            self._microphone.failed(missing)
        self._delivery = Delivery(
            open_sinks(self._settings.transcripts), self._settings.transcripts.max_pending, self._on_delivery
        )
        self._link = Link(self._settings, self._lane, self._key, self._tls, self._on_effect)
        self._delivery.start()
        self._handle_signals(loop)
        try:
            return await self._run()
        finally:
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                loop.remove_signal_handler(number)
                signal.signal(number, signal.SIG_IGN)  # it is over; one more signal would only spoil the exit status

    async def _run(self) -> Exit:
        self._source.start()
        link = asyncio.create_task(self._link.run(), name="link")
        watch = asyncio.create_task(self._watch_source(), name="watch")
        stop = asyncio.create_task(self._stop.wait(), name="stop")
        hurry = asyncio.create_task(self._hurry.wait(), name="hurry")
        tasks: list[asyncio.Task[Any]] = [link, watch, stop, hurry]
        deadline = time.monotonic() + FLUSH_S
        try:
            await asyncio.wait([link, watch, stop], return_when=asyncio.FIRST_COMPLETED)
            for task in (link, watch):
                if task.done():
                    task.result()  # neither ends before a stop, but by a fault of our own
            wait_s = self._settings.capture.end_wait_s if self._ended else self._settings.daemon.stop_s
            deadline = time.monotonic() + wait_s
            await self._stop_capture(min(STOP_CAPTURE_S, wait_s))
            self._link.finish()
            if self._lane.backlog or self._lane.session:  # else it may be connecting, but there is nothing to say
                await asyncio.wait([link, hurry], timeout=wait_s, return_when=asyncio.FIRST_COMPLETED)
            if link.done():
                link.result()
        finally:
            self._source.stop(0)  # after a fault it still runs, and soon there is no loop to deliver to
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            left_s = deadline - time.monotonic()
            undelivered = await self._delivery.close(max(LEAST_FLUSH_S, min(FLUSH_S, left_s)))
        return self._status(undelivered)

    def _status(self, undelivered: dict[str, int]) -> Exit:
        for sink, records in undelivered.items():
            log.warning("sink %s: stopped with %d records undelivered", sink, records)
        left_s = self._lane.backlog / self._rate
        if left_s:
            log.warning("stopped with %.1f s of speech not transcribed", left_s)
        if left_s or undelivered:
            return Exit.SPEECH_LEFT
        return Exit.INTERRUPTED if self._interrupted else Exit.OK

    @property
    def summary(self) -> Summary:
        """What the run came to so far."""
        counts = self._counts
        return Summary(
            run=self.run_id,
            captured_s=counts.captured / self._rate,
            sent_s=self._lane.sent_samples / self._rate,
            keepalives=self._lane.keepalives,
            connections=self._link.counts.connections,
            reconnects=self._link.counts.reconnects,
            utterances=counts.utterances,
            words=counts.words,
            holes=counts.holes,
            evicted_s=counts.evicted / self._rate,
            left_s=self._lane.backlog / self._rate,
            usd_estimated=self._lane.sent_samples / self._rate / 60 * self._settings.deepgram.usd_per_minute,
        )

    # -- signals ------------------------------------------------------------------------------------------------------

    def _handle_signals(self, loop: asyncio.AbstractEventLoop) -> None:
        loop.add_signal_handler(signal.SIGTERM, self._on_stop_signal, False)
        loop.add_signal_handler(signal.SIGINT, self._on_stop_signal, True)
        loop.add_signal_handler(signal.SIGHUP, self._on_hangup)

    def _on_stop_signal(self, interrupted: bool) -> None:
        """The first waits for the last words, `stop_s` at most; the second does not."""
        if self._signalled:
            log.info("stopping at once")
            self._hurry.set()
            return
        stop_s = self._settings.daemon.stop_s
        log.info("stopping; the last words are waited for, at most %g s", stop_s)
        self._signalled, self._interrupted = True, interrupted
        if self._ended:  # a recording's end is awaited already, and for longer
            asyncio.get_running_loop().call_later(stop_s, self._hurry.set)
        self._stop.set()

    def _on_hangup(self) -> None:
        log.info("reopening files")
        self._delivery.reopen()

    # -- audio --------------------------------------------------------------------------------------------------------

    async def _stop_capture(self, timeout_s: float) -> None:
        if not await asyncio.to_thread(self._source.stop, timeout_s):
            log.warning("the capture thread hangs in the sound driver; it is left behind")
        self._on_captured()
        for event in self._intake.finish():
            self._let(event)

    async def _watch_source(self) -> None:
        while True:
            await asyncio.sleep(WATCH_S)
            signal_ = self._watch.check(time.monotonic(), self._source.counters.last_block_s)
            if signal_:
                self._on_signal(signal_)

    def _on_captured(self) -> None:
        for item in self._handover.take():
            self._on_item(item)

    def _on_item(self, item: Captured) -> None:
        match item:
            case Block():
                self._on_block(item)
            case Opened(device, granted):
                log.info("capturing %s: %s", device, granted)
                self._maker.device = device
                self._microphone.over()
                self._lane.has_source, self._lane.parked = True, False
                self._link.wake()
            case Lost(reason):
                self._microphone.failed(reason)
                self._lane.has_source = False
            case Overrun(lost):
                log.warning("overrun: %.0f ms of audio lost", 1000 * lost / self._rate)
            case Level():
                self._on_signal(item)
            case Ended():
                log.info("the recording has ended; waiting until all of it is answered")
                self._ended = True
                self._lane.has_source = False
                self._stop.set()

    def _on_block(self, block: Block) -> None:
        length = block.end - block.position
        if self._expected is not None and block.position != self._expected:
            self._counts.holes += 1
        self._expected = block.end
        self._counts.captured += length
        self._timeline.observe(block.position, length, block.at_s)
        let = self._intake.block(block, forced=self._lane.wants_priming())
        for event in let:
            self._let(event)
        if let:
            self._link.wake()

    def _let(self, event: Let) -> None:
        for effect in self._lane.let(event):
            self._on_effect(effect)

    def _on_signal(self, level: Level) -> None:
        if level.fault:
            self._signal.failed(level.text)
        else:
            self._signal.over(level.text)

    # -- words --------------------------------------------------------------------------------------------------------

    def _on_effect(self, effect: LaneEffect) -> None:
        match effect:
            case Uttered(utterance):
                self._counts.utterances += 1
                self._counts.words += len(utterance.words)
                record = self._maker.record(utterance, boottime_s(), wall_offset_s())
                if record.clock == "unsynchronized" and self._once("clock"):
                    log.warning("this machine's clock is not synchronised; until it is, records are marked so")
                self._delivery.submit(record)
                self._eviction.over()
            case Showing(text):
                self._delivery.show_interim(text)
            case Evicted(samples):
                self._counts.evicted += samples
                allowed_s = self._settings.replay.max_s
                self._eviction.failed(f"more speech waits than replay.max_s = {allowed_s:g} allows: the oldest goes")
            case SetAside(samples):
                log.warning(
                    "%.1f s of audio ended three connections in a row; it is set aside and tried again later",
                    samples / self._rate,
                )
            case Noted(kind):
                if self._once(kind):
                    log.info("the server sent %s; ignored (this is said once)", kind)

    def _on_delivery(self, event: delivery.Event) -> None:
        if isinstance(event, delivery.Died):
            raise event.error


def run(settings: Settings, key: Key | None, on_end: Callable[[Summary], None]) -> Exit:
    """Run the daemon in an event loop of its own. A fault of ours, in a callback or in any thread, ends it: raised."""
    daemon = Daemon(settings, key)

    async def main() -> Exit:
        loop = asyncio.get_running_loop()
        loop.set_default_executor(Unawaited())
        faults: list[BaseException] = []

        def failed(error: BaseException) -> None:
            faults.append(error)
            if len(faults) == 1:  # again would cut short what the first time began: the sinks' last records
                task.cancel()

        def on_exception(_: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
            error = context.get("exception")
            failed(error if isinstance(error, BaseException) else RuntimeError(str(context["message"])))

        def on_thread_exception(arguments: threading.ExceptHookArgs) -> None:
            loop.call_soon_threadsafe(failed, arguments.exc_value or RuntimeError("a thread ended badly"))

        loop.set_exception_handler(on_exception)
        task = asyncio.create_task(daemon.run(), name="daemon")
        threading.excepthook = on_thread_exception
        try:
            status = await task
        except asyncio.CancelledError:
            if not faults:
                raise
        finally:
            threading.excepthook = threading.__excepthook__
        if faults:
            raise faults[0]
        return status

    status = asyncio.run(main())
    on_end(daemon.summary)
    return status
