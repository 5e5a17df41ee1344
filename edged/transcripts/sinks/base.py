"""The sink interface: methods that delivery calls, and properties that the rest of edged asks for. Pure."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar, NamedTuple, Self

from edged.config.settings import TranscriptsSettings
from edged.model.record import Record
from edged.transcripts.reconciliation import ReadbackQuery, SinkContents

Readback = Callable[[ReadbackQuery], SinkContents | None]
"""Look records up in a sink after a crash. Blocks. Returns None if the sink can't be read; raises SinkError."""


class SinkProperties(NamedTuple):
    """Properties that decide how the rest of edged treats a sink. Other files ask for them, never for a sink's name."""

    required: bool = True
    """A record stays in the outbox and in the spool until this sink has it. False: the sink holds no record back."""
    accepts_before_storing: bool = False
    """A crash of the machine can lose accepted records, so edged looks for them in the sink at its next start."""
    shows_interims: bool = False
    """`show_interim` displays the words that are being spoken."""
    writes_to_stdout: bool = False
    """Transcripts go to standard output: stop writing when its reader goes, and keep the sink out of a service."""


class SinkFindings(NamedTuple):
    """Problems and warnings that `edged check` reports about a sink on this machine, one line each."""

    problems: list[str]
    """Faults that keep the sink from working."""
    warnings: list[str]
    """Conditions that may be intended or may pass, and those that weaken the sink's promises."""


class Sink(ABC):
    """A place that records go to. Delivery calls the methods from one thread, which they may block."""

    PROPERTIES: ClassVar[SinkProperties] = SinkProperties()

    @classmethod
    def from_settings(cls, settings: TranscriptsSettings) -> Self:
        """Make the sink without opening anything: `reopen` does that, in the sink's own thread."""
        return cls()

    @classmethod
    def readback(cls, settings: TranscriptsSettings) -> Readback | None:
        """Return the function that looks records up in this sink, or None if the sink keeps nothing."""
        return None

    @classmethod
    def check(cls, settings: TranscriptsSettings, environ: Mapping[str, str]) -> SinkFindings:
        """Look for what keeps the sink from working on this machine. Changes nothing."""
        return SinkFindings([], [])

    @abstractmethod
    def deliver(self, records: Sequence[Record]) -> None:
        """Write the records in order. Raises SinkError, which says how many of them are written for good."""

    @abstractmethod
    def reopen(self) -> None:
        """Open the destination, or open it again. Raises SinkError."""

    @abstractmethod
    def close(self) -> None:
        """Close the destination; no calls follow. May raise SinkError or OSError: written records stay written."""

    def show_interim(self, text: str) -> None:  # noqa: B027 - optional
        """Display words that are still being spoken, in place of the previous ones. Raises SinkError."""
