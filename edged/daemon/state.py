"""State of the daemon as one value: for the service status, the summary, and any other reader."""

import time
from collections.abc import Mapping
from dataclasses import dataclass

from msgspec import Struct

from edged.capture.level import dbfs
from edged.capture.source import Source
from edged.config.settings import Settings
from edged.daemon.capture_monitor import CaptureMonitor
from edged.daemon.connection_text import describe_connection
from edged.daemon.persistence import Persistence
from edged.daemon.record_writer import RecordWriter
from edged.daemon.sender_monitor import SenderMonitor
from edged.daemon.summary import Summary
from edged.gate.controller import GateController
from edged.service.status import ServiceStatus
from edged.stream.backfill import Backfill
from edged.stream.client import ReconnectingClient
from edged.stream.sender import Sender
from edged.transcripts.delivery import Delivery
from edged.transcripts.outbox import SinkCounts


class DaemonState(Struct, frozen=True, kw_only=True):
    """Snapshot of a running daemon. It shares nothing with the daemon, so any thread may read it."""

    device: str | None
    """Device that is captured; None while none is."""
    connection: str
    """State of the connection, or the reason for its lack."""
    retry_s: float | None
    """Time until the next attempt to connect, if edged waits for one."""
    backlog_s: float
    """Speech that was captured and has no transcript yet."""
    keeps_backlog: bool
    """Whether backlog is stored, so that it outlives the process."""
    sinks: Mapping[str, SinkCounts]
    """Records by sink."""
    sink_fault: str | None
    """Why a sink takes no records."""
    summary: Summary
    """Summary of the run so far."""

    def service_status(self) -> ServiceStatus:
        """Return what the service manager shows; it adds the microphone itself."""
        return ServiceStatus(
            connection=self.connection,
            retry_s=self.retry_s,
            backlog_s=self.backlog_s,
            undelivered=max((counts.pending for counts in self.sinks.values()), default=0),
            sink_fault=self.sink_fault,
        )


@dataclass(frozen=True, kw_only=True)
class StateReader:
    """The parts of a daemon that know its state, and how one value is made of it. Used in the event loop."""

    settings: Settings
    run_id: str
    capture: CaptureMonitor
    source: Source
    gate: GateController
    sender: Sender
    client: ReconnectingClient
    backfill: Backfill
    senders: SenderMonitor
    persistence: Persistence
    records: RecordWriter
    delivery: Delivery

    def state(self) -> DaemonState:
        """Return a snapshot."""
        retry_at_s = self.client.retry_at_s
        return DaemonState(
            device=self.capture.device,
            connection=describe_connection(self.client, is_streaming=self.backlog_s > 0),
            retry_s=None if retry_at_s is None else max(0.0, retry_at_s - time.monotonic()),
            backlog_s=self.backlog_s,
            keeps_backlog=self.persistence.keeps_backlog,
            sinks=self.delivery.counts(),
            sink_fault=self.delivery.fault,
            summary=self.summary(),
        )

    @property
    def backlog_s(self) -> float:
        """Speech that was captured and has no transcript yet."""
        return self.sender.pending.pending_speech_samples / self.settings.capture.rate + self.backfill.left_s

    def summary(self) -> Summary:
        """Return what the run came to so far."""
        rate, counters, backfill = self.settings.capture.rate, self.source.counters, self.backfill.totals
        sent_s = self.sender.sent_samples / rate + backfill.sent_s
        return Summary(
            run=self.run_id,
            captured_s=self.capture.captured_samples / rate,
            sent_s=sent_s,
            keepalives=self.sender.keepalives,
            connections=self.client.counts.connections + backfill.connections,
            reconnects=self.client.counts.reconnects + backfill.reconnects,
            utterances=self.records.utterances,
            words=self.records.words,
            holes=self.capture.holes,
            evicted_s=self.senders.lost_s,
            left_s=self.backlog_s,
            ignored_messages=self.senders.ignored_messages,
            peak_dbfs=dbfs(counters.peak) if self.capture.captured_samples else None,
            clipped=counters.clipped_samples,
            overruns=counters.overruns,
            lost_s=counters.lost_samples / rate,
            dropped_s=self.capture.dropped_samples / rate,
            judged_late_s=self.gate.late_s,
            given_up=self.gate.suspensions,
            usd_estimated=sent_s / 60 * self.settings.deepgram.usd_per_minute,
        )
