"""Transcribes backlog beside live speech, run by run, over a connection of its own. Shell.

A run's backlog is fed to a lane like live audio is, only from the store instead of the gate, and a little ahead of what
is sent; so everything that holds for live speech (replay, settling, pace, going on after a break) holds for it too.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from math import inf
from typing import Final, NamedTuple

from edged.config.settings import Settings
from edged.gate.audio_gate import SegmentAudio
from edged.gate.gate import SegmentClosed, SegmentOpened
from edged.model.audio import BYTES_PER_SAMPLE
from edged.model.ranges import Ranges
from edged.stream.client import ReconnectingClient
from edged.stream.events import AudioQuarantined, BacklogRange, SenderEvent
from edged.stream.quarantine import RETRY_AFTER_S
from edged.stream.sender import Sender
from edged.stream.server_traits import ServerTraits

AHEAD_S: Final = 20.0
"""Loaded ahead of what is sent: enough to keep a connection busy, little enough to be no memory worth counting."""

ROOM_S: Final = 0.5
"""How often it is looked at least whether what was loaded is sent: the server need not say anything of it."""

Load = Callable[[str, int, int], Awaitable[list[tuple[int, bytes]]]]
"""`(run, start, end)` to what is stored of it, in order, in pieces of 1 s or less."""


class AudioMissing(NamedTuple):
    """So much that was to be transcribed is not stored any more."""

    samples: int


OnEffect = Callable[[str, SenderEvent | AudioMissing], None]
"""Gets the run with everything its lane has to say."""

MakeLink = Callable[[Sender, Callable[[SenderEvent], None]], ReconnectingClient]


class BackfillTotals(NamedTuple):
    """For the summary."""

    connections: int = 0
    reconnects: int = 0
    sent_s: float = 0.0


@dataclass
class _RunBacklog:
    """What is to be transcribed of one run."""

    run: str
    rate: int
    stretches: deque[BacklogRange] = field(default_factory=deque)
    sent_to: int = 0

    @property
    def left_s(self) -> float:
        """Seconds of it that no lane has."""
        return sum(stretch.end - stretch.start for stretch in self.stretches) / self.rate

    def take(self, most: int) -> BacklogRange:
        """The first of it, at most so many samples: somebody else has that now."""
        start, end, voiced = self.stretches.popleft()
        if end - start > most:
            self.stretches.appendleft(BacklogRange(start + most, end, tuple(Ranges(voiced).within(start + most, end))))
            end = start + most
        return BacklogRange(start, end, tuple(Ranges(voiced).within(start, end)))

    def forget(self, start: int, end: int) -> None:
        """What lies in `[start, end)`."""
        left = deque[BacklogRange]()
        for stretch in self.stretches:
            kept = Ranges([stretch[:2]])
            kept.remove(start, end)
            left += (BacklogRange(low, high, tuple(Ranges(stretch.voiced).within(low, high))) for low, high in kept)
        self.stretches = left


class Backfill:
    """One run after the other. What is added while it runs is taken up behind what is there of the same run."""

    def __init__(
        self,
        settings: Settings,
        load: Load,
        make_link: MakeLink,
        on_effect: OnEffect,
        traits: ServerTraits | None = None,
    ) -> None:
        """`traits`: what is known of the server, if another lane learns of it too."""
        self._settings = settings
        self._traits = traits or ServerTraits(settings.deepgram)
        self._load = load
        self._make_link = make_link
        self._on_effect = on_effect
        self._jobs: dict[str, _RunBacklog] = {}
        self._aside: list[_RunBacklog] = []
        """What ended connection after connection; it comes back after `AGAIN_S`."""
        self._changed = asyncio.Event()
        self._room = asyncio.Event()
        self._finish = False
        self._sender: Sender | None = None
        self._quarantined_samples = 0
        """Samples that the lane has set aside: not to be waited for."""
        self._client: ReconnectingClient | None = None
        self._is_urgent = False
        self._loading_s = 0.0
        """What is on its way from the store to the lane."""
        self._done = BackfillTotals()

    def add(self, run: str, rate: int, stretches: tuple[BacklogRange, ...], sent_to: int = 0) -> None:
        """Have these transcribed; they are in the store. `sent_to`: what lies before was sent once already."""
        job = self._jobs.setdefault(run, _RunBacklog(run, rate))
        job.stretches += stretches
        job.sent_to = max(job.sent_to, sent_to)
        self._changed.set()

    def forget(self, run: str, start: int, end: int) -> float:
        """What lies in `[start, end)` of a run is not stored any more; returns how many seconds of it are lost.

        What a lane has is not: it is in memory, and goes on being sent. If it comes back without an answer, it is
        missed when it is to be loaded again.
        """
        concerned = [job for job in [*self._jobs.values(), *self._aside] if job.run == run]
        before_s = sum(job.left_s for job in concerned)
        for job in concerned:
            job.forget(start, end)
        return before_s - sum(job.left_s for job in concerned)

    def set_urgent(self, *, presses: bool) -> None:
        """Whether the backlog comes near a bound: it does not wait for live speech then, where there is one connection
        for both."""
        self._is_urgent = presses
        if self._client:
            self._client.set_urgent(presses)

    @property
    def left_s(self) -> float:
        """Seconds of audio that are not answered yet, those that were set aside included."""
        waiting_s = sum(job.left_s for job in [*self._jobs.values(), *self._aside])
        return waiting_s + self._loading_s + (self._sender.backlog / self._sender.rate if self._sender else 0.0)

    @property
    def totals(self) -> BackfillTotals:
        """Of all that was done so far."""
        done, lane, link = self._done, self._sender, self._client
        if lane is None or link is None:
            return done
        return BackfillTotals(
            done.connections + link.counts.connections,
            done.reconnects + link.counts.reconnects,
            done.sent_s + lane.sent_samples / lane.rate,
        )

    def finish(self) -> None:
        """Return from `run` when nothing is left but what was set aside, instead of waiting for more."""
        self._finish = True
        self._changed.set()

    async def run(self) -> None:
        """Ends when finished. Raises only for faults of our own."""
        while True:
            self._changed.clear()
            if self._jobs:
                await self._transcribe(next(iter(self._jobs.values())))
            elif self._finish:
                return
            else:
                await self._changed.wait()

    async def _transcribe(self, job: _RunBacklog) -> None:
        lane = Sender(
            self._settings.deepgram,
            job.rate,
            utterance_max_s=self._settings.transcripts.max_s,
            keep_max_s=inf,  # it is fed no more than AHEAD_S beyond what it has sent
            gated=self._settings.gate.enabled,
            has_source=False,
            traits=self._traits,
        )
        lane.mark_sent_before(job.sent_to)
        link = self._make_link(lane, partial(self._effect, job, lane))
        self._client, self._sender, self._quarantined_samples = link, lane, 0
        link.set_urgent(self._is_urgent)
        tasks = [asyncio.create_task(self._feed(job, lane, link)), asyncio.create_task(link.run())]
        try:
            for task in asyncio.as_completed(tasks):
                await task
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._done = self.totals
            self._client = self._sender = None
        if not job.stretches:
            del self._jobs[job.run]
        left = [
            BacklogRange(start, end, tuple(segment.voiced.within(start, end)))
            for segment in lane.pending.segments
            for start, end in lane.pending.waiting.within(segment.start, segment.end)
        ]
        if left:  # it was set aside: the other runs come first
            aside = _RunBacklog(job.run, job.rate, deque(left), left[-1].end)
            self._aside.append(aside)
            asyncio.get_running_loop().call_later(RETRY_AFTER_S, self._again, aside)

    def _again(self, aside: _RunBacklog) -> None:
        self._aside.remove(aside)
        self.add(aside.run, aside.rate, tuple(aside.stretches), aside.sent_to)

    async def _feed(self, job: _RunBacklog, lane: Sender, link: ReconnectingClient) -> None:
        """Give the lane one stretch after the other, each as a segment that is over; neighbours as one.

        One that lies before those was set aside, or found late: it ends this lane, and begins another.
        """
        ahead = round(AHEAD_S * job.rate)
        fed, opened = 0, False
        while True:
            following = job.stretches[0].start if job.stretches else None
            if opened and following != fed:
                self._feed_sender(job, lane, SegmentClosed(fed))
                link.wake()
                opened = False
            if following is None or following < fed:
                break
            if lane.unsent - self._quarantined_samples > ahead:
                self._room.clear()
                with suppress(TimeoutError):
                    async with asyncio.timeout(ROOM_S):
                        await self._room.wait()
                continue
            if not opened:
                self._feed_sender(job, lane, SegmentOpened(following))
                opened = True
            fed = await self._pass_on(job, lane, ahead)
            link.wake()
        link.finish(retry_aside=False)

    async def _pass_on(self, job: _RunBacklog, lane: Sender, most: int) -> int:
        """From the store to the lane, at most so many samples; returns where they end."""
        start, end, voiced = job.take(most)
        self._loading_s = (end - start) / job.rate
        missing = end - start
        for position, pcm in await self._load(job.run, start, end):
            missing -= len(pcm) // BYTES_PER_SAMPLE
            self._loading_s = missing / job.rate
            self._feed_sender(job, lane, SegmentAudio(position, pcm, voiced))
            voiced = ()
        self._loading_s = 0.0
        if missing:
            self._on_effect(job.run, AudioMissing(missing))
        return end

    def _feed_sender(self, job: _RunBacklog, lane: Sender, event: SegmentOpened | SegmentAudio | SegmentClosed) -> None:
        for effect in lane.feed(event):
            self._effect(job, lane, effect)

    def _effect(self, job: _RunBacklog, lane: Sender, effect: SenderEvent) -> None:
        if isinstance(effect, AudioQuarantined):
            self._quarantined_samples += effect.samples
        self._room.set()  # the server said something, so it has had something
        self._on_effect(job.run, effect)
