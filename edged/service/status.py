"""The one line that `systemctl status edged` shows. Pure.

The line is sent again when it changes, so it counts in steps as coarse as its age may be.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceStatus:
    """State of the service, as people see it."""

    device: str | None = None
    """Device that is captured; None while there is none."""
    absence: str = "absent"
    """Reason for the lack of a device, in a word or two; empty while the first device is being opened."""
    absent_s: float = 0.0
    """Time since there was a device."""
    fault: str | None = None
    """Fault of the microphone's signal: `SignalChange.text`."""
    connection: str = "not connected"
    """State of the connection, or the reason for its lack: `ReconnectingClient.state`."""
    retry_s: float | None = None
    """Time until the next attempt to connect, if edged waits for one."""
    backlog_s: float = 0.0
    """Speech that was captured and has no transcript yet."""
    undelivered: int = 0
    """Records that a sink lacks: the greatest number of any sink."""
    sink_fault: str | None = None
    """Reason why a sink takes no records."""
    ending_s: float | None = None
    """Time that a stopping service waits for final results, at most."""


def status_line(status: ServiceStatus) -> str:
    """Format the status: `capturing plughw:CARD=Device; streaming; backlog 0.0 s`."""
    parts = []
    if status.ending_s is not None:
        parts.append(f"stopping, waiting up to {span(status.ending_s)} for final results")
    elif status.device is None:
        parts.append(
            f"microphone {status.absence} for {span(status.absent_s)}" if status.absence else "opening the microphone"
        )
    else:
        parts.append(f"capturing {status.device}")
    if status.fault and status.ending_s is None:
        parts.append(status.fault)
    parts.append(
        status.connection if status.retry_s is None else f"{status.connection}, trying again in {span(status.retry_s)}"
    )
    parts.append(f"backlog {span(status.backlog_s, tenths=True)}")
    if status.undelivered:
        parts.append(f"{status.undelivered} record{'s'[: status.undelivered != 1]} not yet written")
    if status.sink_fault:
        parts.append(status.sink_fault)
    return "; ".join(parts)


def span(seconds: float, *, tenths: bool = False) -> str:
    """Format a length of time in its largest unit: `42 s`, `3 min`, `2 h`, `5 d`.

    With `tenths`, `0.3 s` below ten seconds.
    """
    if tenths and seconds < 9.95:
        return f"{seconds:.1f} s"
    for length_s, unit, most in ((1, "s", 90), (60, "min", 90), (3600, "h", 36)):
        if round(seconds / length_s) < most:
            return f"{round(seconds / length_s)} {unit}"
    return f"{round(seconds / 86_400)} d"
