"""The one line that `systemctl status edged` shows. Pure.

It is true when it is written, so it counts in steps as coarse as its age may be: what changes is said again.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceStatus:
    """What there is to know. Ages and waits are seconds."""

    device: str | None = None
    """What is captured; None while there is nothing to capture from."""
    absence: str = "absent"
    """Why there is nothing, in a word or two; empty while the first device is being opened."""
    absent_s: float = 0.0
    """For how long there has been nothing."""
    fault: str | None = None
    """What is wrong with a signal that comes, or should: `Signal.text`."""
    link: str = "not connected"
    """What the connection does, or why there is none: `Link.state`."""
    retry_s: float | None = None
    """Until the next try, where there is none."""
    backlog_s: float = 0.0
    """Speech captured and not answered."""
    waiting: int = 0
    """Records that some sink has not taken."""
    sink_fault: str | None = None
    """Why one takes none."""
    ending_s: float | None = None
    """The service ends, and waits for the last words so long at most."""


def line(now: ServiceStatus) -> str:
    """E.g. `capturing plughw:CARD=Device; streaming; backlog 0.0 s`."""
    parts = []
    if now.ending_s is not None:
        parts.append(f"stopping, waiting for the last words for {span(now.ending_s)} at most")
    elif now.device is None:
        parts.append(f"microphone {now.absence} for {span(now.absent_s)}" if now.absence else "opening the microphone")
    else:
        parts.append(f"capturing {now.device}")
    if now.fault and now.ending_s is None:
        parts.append(now.fault)
    parts.append(now.link if now.retry_s is None else f"{now.link}, trying again in {span(now.retry_s)}")
    parts.append(f"backlog {span(now.backlog_s, tenths=True)}")
    if now.waiting:
        parts.append(f"{now.waiting} record{'s'[: now.waiting != 1]} not yet written")
    if now.sink_fault:
        parts.append(now.sink_fault)
    return "; ".join(parts)


def span(seconds: float, *, tenths: bool = False) -> str:
    """A length of time in its largest unit: `42 s`, `3 min`, `2 h`, `5 d`; `tenths`: `0.3 s` below ten seconds."""
    if tenths and seconds < 9.95:
        return f"{seconds:.1f} s"
    for length_s, unit, most in ((1, "s", 90), (60, "min", 90), (3600, "h", 36)):
        if round(seconds / length_s) < most:
            return f"{round(seconds / length_s)} {unit}"
    return f"{round(seconds / 86_400)} d"
