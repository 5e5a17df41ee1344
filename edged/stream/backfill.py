"""Transcribes backlog beside live speech, run by run, over a connection of its own. Shell.

A run's backlog is fed to a lane like live audio is, only from the store instead of the gate, and a little ahead of what
is sent; so everything that holds for live speech (replay, settling, pace, going on after a break) holds for it too.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

from edged.gate.gate import Close, Open
from edged.gate.intake import Audio
from edged.ranges import Range
from edged.settings import Settings
from edged.stream.lane import Handed, Lane, LaneEffect
from edged.stream.link import Link

log = logging.getLogger(__name__)

AHEAD_S: Final = 20.0
"""Loaded ahead of the answers: enough to keep a connection busy, little enough to be no memory worth counting."""

LOOK_S: Final = 1.0
"""How often room is looked for while feeding."""

Load = Callable[[str, int, int], Awaitable[list[tuple[int, bytes]]]]
"""`(run, start, end)` to what is stored of it, in order, in pieces of 1 s or less."""

OnEffect = Callable[[str, LaneEffect], None]
"""Gets the run with everything its lane has to say."""

MakeLink = Callable[[Lane, Callable[[LaneEffect], None]], Link]


@dataclass
class _Job:
    """What is to be transcribed of one run."""

    run: str
    rate: int
    stretches: deque[Handed] = field(default_factory=deque)
    sent_to: int = 0


class Backfill:
    """Oldest run first. What is added while it runs is taken up behind what is there of the same run."""

    def __init__(self, settings: Settings, load: Load, make_link: MakeLink, on_effect: OnEffect) -> None:
        self._settings = settings
        self._load = load
        self._make_link = make_link
        self._on_effect = on_effect
        self._jobs: dict[str, _Job] = {}
        self._added = asyncio.Event()
        self._closing = asyncio.Event()
        self._link: Link | None = None
        self._lane: Lane | None = None
        self.connections = 0
        self.sent_samples = 0

    def add(self, run: str, rate: int, stretches: tuple[Handed, ...], sent_to: int = 0) -> None:
        """Have these transcribed; they are in the store. `sent_to`: what lies before was sent once already."""
        job = self._jobs.setdefault(run, _Job(run, rate))
        job.stretches += stretches
        job.sent_to = max(job.sent_to, sent_to)
        self._added.set()

    @property
    def busy(self) -> bool:
        """Something is still to be transcribed."""
        return bool(self._jobs)

    def finish(self) -> None:
        """Return from `run` when nothing is left, instead of waiting for more."""
        self._closing.set()
        self._added.set()

    async def run(self) -> None:
        """Ends when finished. Raises only for faults of our own."""
        while True:
            self._added.clear()
            if self._jobs:
                await self._transcribe(next(iter(self._jobs.values())))
            elif self._closing.is_set():
                return
            else:
                await self._added.wait()

    async def _transcribe(self, job: _Job) -> None:
        lane = Lane(
            self._settings.deepgram,
            job.rate,
            utterance_max_s=self._settings.transcripts.max_s,
            keep_max_s=float("inf"),  # it is fed no more than AHEAD_S
        )
        lane.has_source, lane.parked = False, True
        lane.sent_before(job.sent_to)
        link = self._make_link(lane, lambda effect: self._on_effect(job.run, effect))
        self._link, self._lane = link, lane
        tasks = [asyncio.create_task(self._feed(job, lane, link)), asyncio.create_task(link.run())]
        try:
            for task in asyncio.as_completed(tasks):
                await task
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self.connections += link.counts.connections
            self.sent_samples += lane.sent_samples
            self._link = self._lane = None
        if not job.stretches:
            del self._jobs[job.run]

    async def _feed(self, job: _Job, lane: Lane, link: Link) -> None:
        """Give the lane one stretch after the other, each as a segment that is over."""
        while job.stretches:
            stretch = job.stretches[0]
            self._let(job, lane, Open(stretch.start))
            voiced: tuple[Range, ...] = stretch.voiced
            at = stretch.start
            while at < stretch.end:
                while lane.backlog > AHEAD_S * job.rate:
                    await asyncio.sleep(LOOK_S)
                pieces = await self._load(job.run, at, min(stretch.end, at + round(AHEAD_S * job.rate / 2)))
                if not pieces:
                    break  # evicted meanwhile
                for position, pcm in pieces:
                    self._let(job, lane, Audio(position, pcm, voiced))
                    voiced, at = (), position + len(pcm) // 2
                link.wake()
            job.stretches.popleft()
            self._let(job, lane, Close(at))
            link.wake()
        link.finish()

    def _let(self, job: _Job, lane: Lane, event: Open | Audio | Close) -> None:
        for effect in lane.let(event):
            self._on_effect(job.run, effect)
