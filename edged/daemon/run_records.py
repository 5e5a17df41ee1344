"""Builders of records by run: each knows where its run's audio came from, and how its boot's time is wall time."""

import socket
from collections.abc import Callable
from dataclasses import dataclass

from edged.config.settings import Settings
from edged.model.record import Record
from edged.model.utterance import Utterance
from edged.service.clock import boottime_s, wall_offset_s
from edged.spool.model import RunBacklog
from edged.transcripts.record_builder import CaptureTimes, RecordBuilder


@dataclass
class _RunBuilder:
    builder: RecordBuilder
    rate: int
    wall_offset_s: float | None = None
    """Wall time minus boot time; None for this boot, whose offset is read when a record is built."""


class RunRecordBuilders:
    """Record builders of the present run and of each earlier run that was added."""

    def __init__(self, settings: Settings, run: str, times: CaptureTimes, clock_state: Callable[[], str]) -> None:
        """`clock_state` returns how far this boot's wall clock can be trusted."""
        self._settings = settings
        self._run = run
        self._clock_state = clock_state
        self._ids = 0
        self._present = self._make(run, times, clock_state)
        self._builders = {run: _RunBuilder(self._present, settings.capture.rate)}

    def set_device(self, device: str) -> None:
        """Name the device in the present run's records from now on."""
        self._present.device = device

    def add(self, backlog: RunBacklog, *, here: bool) -> None:
        """Prepare for records of an earlier run; `here` if it was in this boot."""
        run, boot = backlog.run, backlog.boot
        known = "unknown" if boot is None else "synchronized" if boot.synchronized else "unsynchronized"
        builder = self._make(run.run, backlog.clock, self._clock_state if here else lambda: known)
        builder.device, builder.channel = run.device, run.channel
        offset_s = None if here else boot.wall_offset_s if boot else 0.0
        self._builders[run.run] = _RunBuilder(builder, run.rate, offset_s)

    def build(self, run: str, utterance: Utterance) -> Record:
        """Return the record of what was said in a run. Raises KeyError for a run that was not added."""
        builder = self._builders[run]
        offset_s, own_s = wall_offset_s(), builder.wall_offset_s
        # In the time of the run's own boot, which may be another one.
        now_s = boottime_s() + (0.0 if own_s is None else offset_s - own_s)
        return builder.builder.build(utterance, now_s, offset_s if own_s is None else own_s)

    def seconds(self, run: str, samples: int) -> float:
        """Return the length of so many samples of a run. Raises KeyError as `build` does."""
        return samples / self._builders[run].rate

    def _make(self, run: str, times: CaptureTimes, clock_state: Callable[[], str]) -> RecordBuilder:
        return RecordBuilder(self._settings, run, socket.gethostname(), times, clock_state, self._new_id)

    def _new_id(self) -> str:
        """Return an id of this process, whichever run the record belongs to, so that no id comes twice."""
        self._ids += 1
        return f"{self._run}-{self._ids}"
