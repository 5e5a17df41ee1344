"""The ring of a run: audio that the gate has not decided on, where the next process finds it after a kill."""

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
"""Longer than the longest pre-roll, onset and withheld hangover, and than stalls of an SD card, during which nothing is
stored. Takes a megabyte of memory."""


class RingFile:
    """A ring that may be absent, as its directory can be full, read-only or deleted. Used in the event loop."""

    def __init__(self, path: Path, run: str, rate: int) -> None:
        self.path = path
        self._run = run
        self._rate = rate
        self._ring: Ring | None = None
        self._outage = Outage(log, "ring", message_id=MessageId.SPOOL)

    @property
    def is_absent(self) -> bool:
        """Whether the ring has to be created."""
        return self._ring is None

    async def create(self, boot_id: str) -> bool:
        """Create the ring in place of an older file; returns whether that was possible. Logs the first failure."""
        try:
            self._ring = await asyncio.to_thread(Ring, self.path, self._run, boot_id, self._rate, RING_S)
        except OSError as error:
            self._outage.failed(f"{self.path}: {with_cure(error)}; until it can be made, a kill loses seconds more")
            return False
        self._outage.over()
        return True

    def write(self, block: Block, kept_from: int) -> None:
        """Write a captured block. Audio before `kept_from` is stored elsewhere."""
        if self._ring:
            self._ring.write(block.position, block.pcm, kept_from, block.at_s)

    def discard(self) -> None:
        """Give up a ring whose directory was deleted, so that no process would find it."""
        self._ring = None

    def close(self) -> None:
        """Erase the audio, and delete the file if possible."""
        ring, self._ring = self._ring, None  # a capture thread that did not stop in time may still write
        try:
            if ring:
                ring.close()
        except OSError as error:
            log.warning("%s can't be deleted (%s); no audio is left in it", self.path, with_cure(error))
