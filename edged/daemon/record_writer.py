"""Commit of records: an utterance becomes a record, the record is committed, and then the sinks get it.

With a spool, a sink never sees a record before its commit. Without one, handing it to the sinks is the commit.
"""

import asyncio
import logging
from contextlib import suppress

from edged.daemon.persistence import Persistence
from edged.daemon.run_records import RunRecordBuilders
from edged.model.message_ids import MessageId
from edged.model.record import Record
from edged.model.utterance import Utterance
from edged.service.log import OnceFilter
from edged.transcripts.delivery import Delivery

log = logging.getLogger("edged")


class RecordWriter:
    """The way of a record from the utterance to the sinks. Made and used in the event loop."""

    def __init__(self, builders: RunRecordBuilders, persistence: Persistence, delivery: Delivery) -> None:
        self._builders = builders
        self._persistence = persistence
        self._delivery = delivery
        self._uncommitted = 0
        self._all_committed = asyncio.Event()
        self._all_committed.set()
        self._once = OnceFilter()
        self.utterances = 0
        self.words = 0

    def write(self, run: str, utterance: Utterance) -> None:
        """Build the record of what was said in a run, and commit it."""
        record = self._builders.build(run, utterance)
        self.utterances += 1
        self.words += len(record.words)
        if record.clock == "unsynchronized" and self._once("clock"):
            log.warning(
                "this machine's clock is not synchronised; until it is, records are marked so",
                extra={"message_id": MessageId.CLOCK},
            )
        if self._persistence.commit(record):
            self._uncommitted += 1
            self._all_committed.clear()
        else:
            self._delivery.submit(record)

    def committed(self, record: Record, *, durable: bool) -> None:
        """Deliver a record whose commit has ended. It is not `durable` if the spool could not store it in time."""
        self._uncommitted -= 1
        if not self._uncommitted:
            self._all_committed.set()
        if not durable and self._once("not durable"):
            log.warning("a record goes to the sinks without being spooled; this is logged once")
        self._delivery.submit(record)

    async def flush(self, timeout_s: float) -> None:
        """Wait until every record is committed, so that the sinks have it before they close."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._all_committed.wait()
        self._persistence.stop_waiting_for_commits()
