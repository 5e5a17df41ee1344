"""Summary of a run: one line for the log, JSON for programs. Pure."""

from msgspec import Struct


class Summary(Struct, kw_only=True):
    """Counters of a run. Seconds are of audio; `saved` is the share of the captured audio that need not be sent."""

    run: str
    captured_s: float
    sent_s: float
    keepalives: int
    connections: int
    reconnects: int
    utterances: int
    words: int
    holes: int
    evicted_s: float
    left_s: float
    """Speech that was not transcribed when the run ended."""
    usd_estimated: float
    ignored_messages: int = 0
    """Messages of the server that are unreadable, of an unknown kind, or complaints; the log has the first of each."""
    peak_dbfs: float | None = None
    """Loudest sample, to within 0.8 % of full scale; None if nothing was captured."""
    clipped: int = 0
    """Samples at either end of the scale."""
    overruns: int = 0
    lost_s: float = 0.0
    """Estimate of what was not captured since the first block: overruns, and a microphone that was away."""
    dropped_s: float = 0.0
    """Audio that was captured, and lost because edged stood still for too long."""
    judged_late_s: float = 0.0
    """Time that the gate was behind, as this machine is slow for its second opinion."""
    given_up: int = 0
    """Number of times that the gate was too slow, and went on without a second opinion for ten minutes."""
    saved: float = 0.0

    def __post_init__(self) -> None:
        wanted_s = self.sent_s + self.left_s + self.evicted_s
        self.saved = max(0.0, 1 - wanted_s / self.captured_s) if self.captured_s else 0.0

    def line(self) -> str:
        """Format the summary for people, at the end of a run."""
        parts = [
            f"{_counted(self.ignored_messages, 'message')} ignored" if self.ignored_messages else "",
            f"peak {self.peak_dbfs:.1f} dBFS" if self.peak_dbfs is not None else "",
            f"{_counted(self.clipped, 'sample')} clipped" if self.clipped else "",
            _counted(self.overruns, "overrun") if self.overruns else "",
            f"{self.lost_s:.1f} s lost" if self.lost_s else "",
            f"{self.dropped_s:.1f} s dropped" if self.dropped_s else "",
            f"{self.judged_late_s:.1f} s judged late" if self.judged_late_s else "",
            f"second opinion given up {_counted(self.given_up, 'time')}" if self.given_up else "",
        ]
        return (
            f"captured {self.captured_s:.1f} s, sent {self.sent_s:.1f} s (saved {self.saved:.0%}, "
            f"about {self.usd_estimated:.4f} USD sent), {_counted(self.keepalives, 'keep-alive')}, "
            f"{_counted(self.connections, 'connection')} ({_counted(self.reconnects, 'reconnect')}), "
            f"{_counted(self.utterances, 'utterance')}, {_counted(self.words, 'word')}, "
            f"{_counted(self.holes, 'hole')}, {self.evicted_s:.1f} s evicted, {self.left_s:.1f} s left"
            + "".join(f", {part}" for part in parts if part)
        )


def _counted(number: int, noun: str) -> str:
    """Return `1 hole`, `2 holes`."""
    return f"{number} {noun}{'s'[: number != 1]}"
