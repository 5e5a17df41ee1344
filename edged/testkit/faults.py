"""Faults that can be ordered of the server, and when they strike. Pure.

On the command line: `FAULT[:ARGUMENT...][@WHEN][*TIMES]`, e.g. `reset@12.5`, `close:1011:going away@word7*2`,
`refuse:503*3`, `slow:0.5@t10`.
"""

import re
from dataclasses import dataclass, replace
from enum import StrEnum
from http import HTTPStatus

from edged.model.errors import UsageError


class FaultKind(StrEnum):
    """Kinds of faults. The first three strike at the handshake, the others on an open connection."""

    REFUSE = "refuse"
    """Answer the handshake with an HTTP status."""
    PORTAL = "portal"
    """Answer like a captive portal: a page of HTML (`html`), or a redirect to one (`redirect`)."""
    HANG = "hang"
    """Never answer the handshake."""
    RESET = "reset"
    """Break the TCP connection (RST)."""
    CLOSE = "close"
    """Close with a code and a reason, before anything that still waits is answered."""
    BLACK_HOLE = "black_hole"
    """Take everything and answer nothing any more, not even a ping or a close."""
    STALL = "stall"
    """Answer pings, but give no results any more: `forever`, or `until_close`, when they all come late."""
    GARBAGE = "garbage"
    """Say senseless things once, then go on as before."""
    TEAR = "tear"
    """Send only half of the next final that has words."""
    SLOW = "slow"
    """Read at this many times real time (0.5), so that the network backs up."""


CLOSE_CODES = frozenset({1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014})
"""Close codes that may be sent, apart from 3000-4999 (RFC 6455, 7.4)."""

HANDSHAKE = frozenset({FaultKind.REFUSE, FaultKind.PORTAL, FaultKind.HANG})


@dataclass(frozen=True)
class Fault:
    """A fault to inject. Without a condition it strikes at once: the next handshake, or the first audio that comes."""

    kind: FaultKind
    status: int = 503
    """HTTP status of a refusal."""
    retry_after: str | None = None
    """Value of the header Retry-After of a refusal."""
    body: str | None = None
    """Body of a refusal instead of the usual JSON."""
    code: int = 1011
    """Close code."""
    reason: str = ""
    """Close reason."""
    variant: str = ""
    """portal: html or redirect; stall: forever or until_close"""
    rate: float = 0.5
    """Reading speed of `slow`, in times of real time."""
    after_samples: int | None = None
    """Strikes exactly there, counted in samples of audio received over all connections."""
    after_audio_s: float | None = None
    """The same in seconds, at each connection's rate."""
    in_word: int | None = None
    """Strikes when half of this word of the script (counted from 0) has been processed."""
    after_s: float | None = None
    """Strikes so long after the server's start: at the next message, or at the next handshake."""
    times: int = 1
    """Number of strikes. With `after_samples` or `after_audio_s` again after as much audio each time."""

    def __post_init__(self) -> None:
        """Raise `ValueError` for what can't be done."""
        if self.status not in set(HTTPStatus) or self.status < 300:
            raise ValueError(f"no HTTP status of a refusal: {self.status}")
        if not (self.code in CLOSE_CODES or 3000 <= self.code <= 4999):
            raise ValueError(f"no close code that may be sent: {self.code}")
        if not self.rate > 0:
            raise ValueError("a rate is more than 0")
        if self.times < 1 or any(
            when is not None and not when >= 0
            for when in (self.after_samples, self.after_audio_s, self.in_word, self.after_s)
        ):
            raise ValueError("a number is less than nothing")

    @property
    def at_handshake(self) -> bool:
        """Whether the fault strikes before a connection is open."""
        return self.kind in HANDSHAKE


@dataclass(frozen=True)
class DueFault:
    """A fault strikes now, when `samples` of the message that just came have still been taken."""

    fault: Fault
    samples: int


class FaultSchedule:
    """The faults that are still to strike, oldest first."""

    def __init__(self, faults: tuple[Fault, ...] = ()) -> None:
        self.pending: list[Fault] = []
        self._bases: list[int] = []
        for fault in faults:
            self.add(fault)

    def add(self, fault: Fault, *, received_samples: int = 0) -> None:
        """Add a fault. Its audio is counted from `received_samples` on."""
        self.pending.append(fault)
        self._bases.append(received_samples)

    def take_at_handshake(self, since_start_s: float) -> Fault | None:
        """The fault for a handshake that comes now; it counts as done."""
        for place, fault in enumerate(self.pending):
            if fault.at_handshake and since_start_s >= (fault.after_s or 0):
                return self._take(place, 0)
        return None

    def take_at_audio(self, since_start_s: float, received: int, incoming: int, rate: int) -> DueFault | None:
        """The fault that strikes as `incoming` samples follow the `received` ones, if any; it counts as done."""
        for place, fault in enumerate(self.pending):
            if fault.at_handshake or fault.in_word is not None:
                continue
            wanted = fault.after_samples
            if fault.after_audio_s is not None:
                wanted = round(fault.after_audio_s * rate)
            if wanted is not None:
                mark = self._bases[place] + wanted
                if mark <= received + incoming:
                    return DueFault(self._take(place, mark), max(0, mark - received))
            elif since_start_s >= (fault.after_s or 0):
                return DueFault(self._take(place, received), 0)
        return None

    def take_at_word(self, number: int) -> Fault | None:
        """The fault that strikes when half of this word has been processed; it counts as done."""
        for place, fault in enumerate(self.pending):
            if fault.in_word == number:
                return self._take(place, 0)
        return None

    def _take(self, place: int, mark: int) -> Fault:
        fault = self.pending[place]
        if fault.times > 1:
            self.pending[place] = replace(fault, times=fault.times - 1)
            self._bases[place] = mark
        else:
            del self.pending[place], self._bases[place]
        return fault


ORDER = re.compile(r"(?P<kind>[a-z_]+)(:(?P<args>[^@*]*))?(@(?P<when>[^*]+))?(\*(?P<times>[1-9]\d*))?")


def parse_fault(text: str) -> Fault:
    """An order as the command line gives it; raises `UsageError`."""
    match = ORDER.fullmatch(text)
    if match is None:
        raise UsageError(f"--fault {text}: expected FAULT[:ARGUMENT...][@WHEN][*TIMES]")
    try:
        fault = _arguments(Fault(FaultKind(match["kind"])), match["args"].split(":") if match["args"] else [])
        return _when(replace(fault, times=int(match["times"] or 1)), match["when"])
    except ValueError as error:
        kinds = ", ".join(FaultKind)
        raise UsageError(f"--fault {text}: {error}; the faults are {kinds}") from error


def _arguments(fault: Fault, given: list[str]) -> Fault:
    match fault.kind, given:
        case _, []:
            return fault
        case FaultKind.REFUSE, [status]:
            return replace(fault, status=int(status))
        case FaultKind.REFUSE, [status, retry_after]:
            return replace(fault, status=int(status), retry_after=retry_after)
        case FaultKind.CLOSE, [code]:
            return replace(fault, code=int(code))
        case FaultKind.CLOSE, [code, *reason]:
            return replace(fault, code=int(code), reason=":".join(reason))
        case FaultKind.SLOW, [rate]:
            return replace(fault, rate=float(rate))
        case FaultKind.PORTAL, [("html" | "redirect") as variant]:
            return replace(fault, variant=variant)
        case FaultKind.STALL, [("forever" | "until_close") as variant]:
            return replace(fault, variant=variant)
    raise ValueError(f"{fault.kind} does not take {':'.join(given)!r}")


def _when(fault: Fault, when: str | None) -> Fault:
    if when is None:
        return fault
    if when.startswith("t"):
        return replace(fault, after_s=float(when[1:]))
    if fault.at_handshake:
        raise ValueError(f"{fault.kind} strikes at a handshake: WHEN can only be a time, such as t10")
    if when.startswith("word"):
        return replace(fault, in_word=int(when[4:]))
    return replace(fault, after_audio_s=float(when))
