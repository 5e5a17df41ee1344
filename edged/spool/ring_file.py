"""The ring of a run: what the gate has not decided yet, where a killed process leaves it for the next one."""

import asyncio
import logging
from pathlib import Path
from typing import Final

from edged.model.audio import Block
from edged.model.cures import with_cure
from edged.model.message_ids import MessageId
from edged.service.log import Outage
from edged.spool.ring import Ring

log = logging.getLogger("edged")

RING_S: Final = 30.0
"""Longer than pre-roll, onset and what is withheld of a hangover, at their longest; and than a card stalls, in which
time nothing is stored. A megabyte of memory."""


class RingFile:
    """A ring that may be absent: its directory can be full, read-only or deleted. Used in the event loop."""

    def __init__(self, path: Path, run: str, rate: int) -> None:
        self.path = path
        self._run = run
        self._rate = rate
        self._ring: Ring | None = None
        self._outage = Outage(log, "ring", message_id=MessageId.SPOOL)

    @property
    def absent(self) -> bool:
        """It is to be made: the first time, or again."""
        return self._ring is None

    async def make(self, boot_id: str) -> bool:
        """Make it in place of what was there; returns whether that was possible. What keeps it is told once."""
        try:
            self._ring = await asyncio.to_thread(Ring, self.path, self._run, boot_id, self._rate, RING_S)
        except OSError as error:
            self._outage.failed(f"{self.path}: {with_cure(error)}; until it can be made, a kill loses seconds more")
            return False
        self._outage.over()
        return True

    def write(self, block: Block, kept_from: int) -> None:
        """A block was captured; what lies before `kept_from` is kept elsewhere."""
        if self._ring:
            self._ring.write(block.position, block.pcm, kept_from, block.at_s)

    def forget(self) -> None:
        """Its directory was deleted: no process will find it."""
        self._ring = None

    def close(self) -> None:
        """Nothing is undecided any more: the audio goes, and the file if it can be deleted."""
        ring, self._ring = self._ring, None  # a capture thread that did not stop in time may still deliver
        try:
            if ring:
                ring.close()
        except OSError as error:
            log.warning("%s can't be deleted (%s); no audio is left in it", self.path, with_cure(error))
