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
"""Audio loaded ahead of what is sent: enough to keep a connection busy, and 640 kB at most."""

ROOM_S: Final = 0.5
"""Maximum interval between checks that loaded audio was sent: the server need not report it."""

Load = Callable[[str, int, int], Awaitable[list[tuple[int, bytes]]]]
"""`(run, start, end)` to what is stored of it, in order, in pieces of 1 s or less."""


class AudioMissing(NamedTuple):
    """Number of samples that were to be transcribed, but are not stored any more."""

    samples: int


OnEffect = Callable[[str, SenderEvent | AudioMissing], None]
"""Called with the run and each event of its sender."""

MakeLink = Callable[[Sender, Callable[[SenderEvent], None]], ReconnectingClient]


class BackfillTotals(NamedTuple):
    """Totals of all backfill connections, for the summary."""

    connections: int = 0
    reconnects: int = 0
    sent_s: float = 0.0


@dataclass
class _RunBacklog:
    """Speech of one run that is still to be transcribed."""

    run: str
    rate: int
    stretches: deque[BacklogRange] = field(default_factory=deque)
    sent_to: int = 0

    @property
    def left_s(self) -> float:
        """Seconds of it that no sender has."""
        return sum(stretch.end - stretch.start for stretch in self.stretches) / self.rate

    def take(self, most: int) -> BacklogRange:
        """Remove and return the first range, at most `most` samples long."""
        start, end, voiced = self.stretches.popleft()
        if end - start > most:
            self.stretches.appendleft(BacklogRange(start + most, end, tuple(Ranges(voiced).within(start + most, end))))
            end = start + most
        return BacklogRange(start, end, tuple(Ranges(voiced).within(start, end)))

    def forget(self, start: int, end: int) -> None:
        """Forget what lies in `[start, end)`."""
        left = deque[BacklogRange]()
        for stretch in self.stretches:
            kept = Ranges([stretch[:2]])
            kept.remove(start, end)
            left += (BacklogRange(low, high, tuple(Ranges(stretch.voiced).within(low, high))) for low, high in kept)
        self.stretches = left


class Backfill:
    """Transcribes backlog, one run after the other. New ranges of a run queue behind those that it has."""

    def __init__(
        self,
        settings: Settings,
        load: Load,
        make_link: MakeLink,
        on_effect: OnEffect,
        traits: ServerTraits | None = None,
    ) -> None:
        """`traits`: the known properties of the server, if another sender learns of it too."""
        self._settings = settings
        self._traits = traits or ServerTraits(settings.deepgram)
        self._load = load
        self._make_link = make_link
        self._on_effect = on_effect
        self._backlogs: dict[str, _RunBacklog] = {}
        self._postponed: list[_RunBacklog] = []
        """Backlog that ended connection after connection; it comes back after `RETRY_AFTER_S`."""
        self._changed = asyncio.Event()
        self._room = asyncio.Event()
        self._finish = False
        self._sender: Sender | None = None
        self._quarantined_samples = 0
        """Samples in the sender's quarantine: backfill does not wait for them."""
        self._client: ReconnectingClient | None = None
        self._is_urgent = False
        self._loading_s = 0.0
        """Seconds of audio on their way from the store to the sender."""
        self._done = BackfillTotals()

    def add(self, run: str, rate: int, stretches: tuple[BacklogRange, ...], sent_to: int = 0) -> None:
        """Transcribe these ranges of the store. `sent_to`: audio before this position was sent once already."""
        backlog = self._backlogs.setdefault(run, _RunBacklog(run, rate))
        backlog.stretches += stretches
        backlog.sent_to = max(backlog.sent_to, sent_to)
        self._changed.set()

    def forget(self, run: str, start: int, end: int) -> float:
        """Forget `[start, end)` of a run, which is not stored any more. Return how many seconds of it are lost.

        Audio that a sender has in memory is not lost: it is sent. If it comes back without a transcript, it is missing
        when it is loaded again.
        """
        concerned = [backlog for backlog in [*self._backlogs.values(), *self._postponed] if backlog.run == run]
        before_s = sum(backlog.left_s for backlog in concerned)
        for backlog in concerned:
            backlog.forget(start, end)
        return before_s - sum(backlog.left_s for backlog in concerned)

    def set_urgent(self, *, presses: bool) -> None:
        """Set whether the backlog is near a bound: then it does not wait for live speech to share one connection."""
        self._is_urgent = presses
        if self._client:
            self._client.set_urgent(presses)

    @property
    def left_s(self) -> float:
        """Seconds of audio without a transcript, including those in quarantine."""
        waiting_s = sum(backlog.left_s for backlog in [*self._backlogs.values(), *self._postponed])
        return waiting_s + self._loading_s + (self._sender.backlog / self._sender.rate if self._sender else 0.0)

    @property
    def totals(self) -> BackfillTotals:
        """Totals of all connections so far."""
        done, sender, client = self._done, self._sender, self._client
        if sender is None or client is None:
            return done
        return BackfillTotals(
            done.connections + client.counts.connections,
            done.reconnects + client.counts.reconnects,
            done.sent_s + sender.sent_samples / sender.rate,
        )

    def finish(self) -> None:
        """Return from `run` when nothing but quarantined audio is left, instead of waiting for more."""
        self._finish = True
        self._changed.set()

    async def run(self) -> None:
        """Transcribe what is added, until `finish`. Raise only for faults of our own."""
        while True:
            self._changed.clear()
            if self._backlogs:
                await self._transcribe(next(iter(self._backlogs.values())))
            elif self._finish:
                return
            else:
                await self._changed.wait()

    async def _transcribe(self, backlog: _RunBacklog) -> None:
        sender = Sender(
            self._settings.deepgram,
            backlog.rate,
            utterance_max_s=self._settings.transcripts.max_s,
            keep_max_s=inf,  # it is fed no more than AHEAD_S beyond what it has sent
            gated=self._settings.gate.enabled,
            has_source=False,
            traits=self._traits,
        )
        sender.mark_sent_before(backlog.sent_to)
        client = self._make_link(sender, partial(self._effect, backlog, sender))
        self._client, self._sender, self._quarantined_samples = client, sender, 0
        client.set_urgent(self._is_urgent)
        tasks = [asyncio.create_task(self._feed(backlog, sender, client)), asyncio.create_task(client.run())]
        try:
            for task in asyncio.as_completed(tasks):
                await task
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._done = self.totals
            self._client = self._sender = None
            self._postpone_left(backlog, sender)  # when cancelled, too: the exit status says whether speech is left
        if not backlog.stretches:
            del self._backlogs[backlog.run]

    def _postpone_left(self, backlog: _RunBacklog, sender: Sender) -> None:
        """Keep what a sender that ended has without a transcript, and queue it later: the other runs come first."""
        left = [
            BacklogRange(start, end, tuple(segment.voiced.within(start, end)))
            for segment in sender.pending.segments
            for start, end in sender.pending.waiting.within(segment.start, segment.end)
        ]
        if left:
            postponed = _RunBacklog(backlog.run, backlog.rate, deque(left), left[-1].end)
            self._postponed.append(postponed)
            asyncio.get_running_loop().call_later(RETRY_AFTER_S, self._retry, postponed)

    def _retry(self, postponed: _RunBacklog) -> None:
        self._postponed.remove(postponed)
        self.add(postponed.run, postponed.rate, tuple(postponed.stretches), postponed.sent_to)

    async def _feed(self, backlog: _RunBacklog, sender: Sender, client: ReconnectingClient) -> None:
        """Feed the sender one range after the other, each as a closed segment; adjacent ranges as one.

        A range that lies before those was in quarantine, or found late: it ends this sender, and begins another.
        """
        ahead = round(AHEAD_S * backlog.rate)
        fed, opened = 0, False
        while True:
            following = backlog.stretches[0].start if backlog.stretches else None
            if opened and following != fed:
                self._feed_sender(backlog, sender, SegmentClosed(fed))
                client.wake()
                opened = False
            if following is None or following < fed:
                break
            if sender.unsent - self._quarantined_samples > ahead:
                self._room.clear()
                with suppress(TimeoutError):
                    async with asyncio.timeout(ROOM_S):
                        await self._room.wait()
                continue
            if not opened:
                self._feed_sender(backlog, sender, SegmentOpened(following))
                opened = True
            fed = await self._pass_on(backlog, sender, ahead)
            client.wake()
        client.finish(retry_aside=False)

    async def _pass_on(self, backlog: _RunBacklog, sender: Sender, most: int) -> int:
        """Feed at most `most` samples from the store to the sender. Return the position where they end."""
        start, end, voiced = backlog.take(most)
        self._loading_s = (end - start) / backlog.rate
        missing = end - start
        for position, pcm in await self._load(backlog.run, start, end):
            missing -= len(pcm) // BYTES_PER_SAMPLE
            self._loading_s = missing / backlog.rate
            self._feed_sender(backlog, sender, SegmentAudio(position, pcm, voiced))
            voiced = ()
        self._loading_s = 0.0
        if missing:
            self._on_effect(backlog.run, AudioMissing(missing))
        return end

    def _feed_sender(
        self, backlog: _RunBacklog, sender: Sender, event: SegmentOpened | SegmentAudio | SegmentClosed
    ) -> None:
        for effect in sender.feed(event):
            self._effect(backlog, sender, effect)

    def _effect(self, backlog: _RunBacklog, sender: Sender, effect: SenderEvent) -> None:
        if isinstance(effect, AudioQuarantined):
            self._quarantined_samples += effect.samples
        self._room.set()  # the server said something, so it has had something
        self._on_effect(backlog.run, effect)
