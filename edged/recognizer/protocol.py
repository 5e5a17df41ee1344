"""One connection to the recogniser, from its opening to its close: intake, pace, limits. Pure; time is an argument.

`receive` takes what the client sends, `tick` is to be called at `next_deadline()`; both return what to send, in order.
The object serves one connection and is used once; after a `Close` nothing more comes out.

The rules:
- Work is done in the order in which it came: Finalize and CloseStream wait behind all audio before them.
- Audio is processed at `max_rate` times real time at most. Faster audio is not refused, its results come later.
- Any message resets the idle limit. Nothing but a message of ours ends the mute limit.
- An empty binary message is a CloseStream; a KeepAlive in a binary message is audio.
"""

import json
from collections import deque
from dataclasses import dataclass
from typing import NamedTuple

from edged.model.audio import BYTES_PER_SAMPLE
from edged.recognizer import messages
from edged.recognizer.handshake import CONTAINER_RATE, Query
from edged.recognizer.perturbations import Draw, Perturbations
from edged.recognizer.quirks import Quirks
from edged.recognizer.results import ResultGenerator

PIECE_S = 0.1
"""Audio that is processed at a time: no coarser than the usual message, so that windows don't depend on messages."""
BURST_S = 0.5
"""Audio that may come at once before `max_rate` counts: pre-roll and the network's unevenness."""


@dataclass(frozen=True)
class Limits:
    """Limits of a connection, with Deepgram's values as defaults."""

    idle_s: float = 12.0
    """Documented as 10, measured as 12."""
    mute_s: float = 30.0
    """Longest time from the opening to the server's first message."""
    max_rate: float = 1.25
    """Times real time; documented."""
    backlog_s: float = 600.0
    """Audio that waits to be processed; beyond it the socket is not read."""
    max_connections: int | None = None
    """Connections open at once; further handshakes are refused with 429. None: no limit."""


class ServerMessage(NamedTuple):
    """Send this text message."""

    text: str


class ServerClose(NamedTuple):
    """Close the connection; nothing follows."""

    code: int
    reason: str


ServerAction = ServerMessage | ServerClose


def _ends(out: list[ServerAction]) -> bool:
    return bool(out) and isinstance(out[-1], ServerClose)


class _ScheduledWork(NamedTuple):
    due: float
    """When to do it, unless something before it is later still."""
    work: bytes | str
    """Audio, or `Finalize`, or `CloseStream`."""


class RecognizerSession:
    """State of one connection. `windows` produces results; `draw` returns random numbers for the perturbations."""

    def __init__(
        self,
        windows: ResultGenerator,
        query: Query,
        now: float,
        *,
        limits: Limits,
        perturbations: Perturbations,
        quirks: Quirks,
        draw: Draw,
    ) -> None:
        self.windows = windows
        self.closed = False
        self._query = query
        self._limits = limits
        self._perturbations = perturbations
        self._quirks = quirks
        self._draw = draw
        self._idle_since = now
        self._mute_since: float | None = now
        self._jobs: deque[_ScheduledWork] = deque()
        self._waiting_bytes = 0
        self._odd = b""
        self._paced_until = now
        """When the audio so far is through at `max_rate`, had it come without any burst."""
        self._closing = False

    def open(self) -> list[ServerAction]:
        """Return what to send at the opening: nothing, unless a quirk asks for it."""
        if self._quirks.reject_after_upgrade is not None:
            return self._close(1008, self._quirks.reject_after_upgrade)
        return self._said([self.windows.metadata()]) if self._quirks.metadata_on_open else []

    @property
    def accepts_input(self) -> bool:
        """Whether to read from the client; false while too much of its audio waits."""
        return self._waiting_bytes < self._limits.backlog_s * self._query.rate * BYTES_PER_SAMPLE or not self._jobs

    @property
    def backlog_s(self) -> float:
        """Seconds of audio received and not yet processed."""
        return self._waiting_bytes / BYTES_PER_SAMPLE / self._query.rate if self._query.rate else 0.0

    def receive(self, now: float, message: bytes | str) -> list[ServerAction]:
        """Process a binary or text message of the client and return what to send."""
        if self.closed:
            return []
        out = self.tick(now)
        if _ends(out):
            return out
        self._idle_since = now
        out += self._audio(now, message) if isinstance(message, bytes) else self._text(now, message)
        return out if _ends(out) else out + self._work(now)

    def tick(self, now: float) -> list[ServerAction]:
        """Do the work that is due and return what to send."""
        if self.closed:
            return []
        out = self._work(now)
        if _ends(out):
            return out
        if self._mute_since is not None and now >= self._mute_since + self._limits.mute_s:
            return out + self._close(1011, messages.NET_0000)
        if not self._jobs and now >= self._idle_since + self._limits.idle_s:
            out += self._said([self.windows.metadata()])
            return out + self._close(1011, messages.NET_0001)
        return out

    def next_deadline(self) -> float | None:
        """Return the latest time for the next `tick`, or None after the close."""
        if self.closed:
            return None
        due = []
        if self._mute_since is not None:
            due.append(self._mute_since + self._limits.mute_s)
        if self._jobs:
            due.append(self._jobs[0].due)
        else:
            due.append(self._idle_since + self._limits.idle_s)
        return min(due)

    def _audio(self, now: float, data: bytes) -> list[ServerAction]:
        if not data:
            return self._command(now, "CloseStream")
        if self._query.rate == CONTAINER_RATE:
            return self._close(1008, messages.DATA_0000)
        if self._closing:
            return []
        data = self._odd + data
        whole = len(data) - len(data) % BYTES_PER_SAMPLE
        data, self._odd = data[:whole], data[whole:]
        piece_bytes = int(PIECE_S * self._query.rate) * BYTES_PER_SAMPLE
        for at in range(0, len(data), piece_bytes):
            piece = data[at : at + piece_bytes]
            self._waiting_bytes += len(piece)
            length_s = len(piece) / BYTES_PER_SAMPLE / self._query.rate
            self._paced_until = max(self._paced_until, now) + length_s / self._limits.max_rate
            self._jobs.append(_ScheduledWork(max(now, self._paced_until - BURST_S / self._limits.max_rate), piece))
        return []

    def _text(self, now: float, text: str) -> list[ServerAction]:
        try:
            message = json.loads(text)
        except (ValueError, RecursionError) as error:
            return self._said([messages.error(f"not JSON: {error}")])
        kind = message.get("type") if isinstance(message, dict) else None
        if kind == "KeepAlive":
            return []
        if kind == "Finalize" and self._quirks.finalize_close_code is not None:
            return self._close(self._quirks.finalize_close_code, "Finalize is not supported")
        if kind in ("Finalize", "CloseStream"):
            return self._command(now, kind)
        return self._said([messages.error("unknown type: expected one of KeepAlive, Finalize, CloseStream")])

    def _command(self, now: float, kind: str) -> list[ServerAction]:
        if self._closing:
            return []
        self._closing = kind == "CloseStream"
        if kind == "Finalize" and self._chance(self._perturbations.ignored_finalize_ratio):
            return []
        late_s = self._perturbations.late_s if self._chance(self._perturbations.late_ratio) else 0.0
        self._jobs.append(_ScheduledWork(now + late_s, kind))
        return []

    def _chance(self, share: float) -> bool:
        return share > 0 and self._draw() < share

    def _work(self, now: float) -> list[ServerAction]:
        """Process the queued audio and commands that are due."""
        out: list[ServerAction] = []
        while self._jobs and self._jobs[0].due <= now:
            work = self._jobs.popleft().work
            if isinstance(work, bytes):
                self._waiting_bytes -= len(work)
                out += self._said(self.windows.feed(work))
            elif work == "Finalize":
                out += self._said(self.windows.finalize())
            else:
                out += self._said(self.windows.close())
                out += self._close(1000, "")
        return out

    def _said(self, texts: list[str]) -> list[ServerAction]:
        if texts:
            self._mute_since = None
        return [ServerMessage(text) for text in texts]

    def _close(self, code: int, reason: str) -> list[ServerAction]:
        self.closed = True
        self._jobs.clear()
        return [ServerClose(code, reason)]
