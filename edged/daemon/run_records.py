"""How records are made of the words of each run: where its audio came from, and how its boot's time is wall time."""

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
    maker: RecordBuilder
    rate: int
    wall_offset_s: float | None = None
    """None: this boot's, as it is at the moment."""


class RunRecordBuilders:
    """Of the living `run`, and of those that `know` was told of. `clock` tells how far this boot's can be trusted."""

    def __init__(self, settings: Settings, run: str, times: CaptureTimes, clock: Callable[[], str]) -> None:
        self._settings = settings
        self._run = run
        self._clock = clock
        self._made = 0
        self._ledgers = {run: _RunBuilder(self._maker(run, times, clock), settings.capture.rate)}

    @property
    def device(self) -> str:
        """What the living run captures."""
        return self._ledgers[self._run].maker.device

    @device.setter
    def device(self, name: str) -> None:
        self._ledgers[self._run].maker.device = name

    def add(self, backlog: RunBacklog, *, here: bool) -> None:
        """Records of an earlier run will be made; `here`: it was in this boot."""
        run, boot = backlog.run, backlog.boot
        known = "unknown" if boot is None else "synchronized" if boot.synchronized else "unsynchronized"
        maker = self._maker(run.run, backlog.clock, self._clock if here else lambda: known)
        maker.device, maker.channel = run.device, run.channel
        offset_s = None if here else boot.wall_offset_s if boot else 0.0
        self._ledgers[run.run] = _RunBuilder(maker, run.rate, offset_s)

    def build(self, run: str, utterance: Utterance) -> Record:
        """The record of what was said in a run. Raises KeyError for one that is not known."""
        ledger = self._ledgers[run]
        offset_s, own_s = wall_offset_s(), ledger.wall_offset_s
        # In the time of the run's own boot, which may be another one.
        now_s = boottime_s() + (0.0 if own_s is None else offset_s - own_s)
        return ledger.maker.build(utterance, now_s, offset_s if own_s is None else own_s)

    def seconds(self, run: str, samples: int) -> float:
        """How long so many samples of a run are. Raises KeyError as `record`."""
        return samples / self._ledgers[run].rate

    def _maker(self, run: str, times: CaptureTimes, state: Callable[[], str]) -> RecordBuilder:
        return RecordBuilder(self._settings, run, socket.gethostname(), times, state, self._new_id)

    def _new_id(self) -> str:
        """Of this process, whatever run the record is of: ids never come twice."""
        self._made += 1
        return f"{self._run}-{self._made}"
