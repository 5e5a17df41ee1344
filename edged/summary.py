"""What a run came to: one line for the log, JSON for programs."""

from msgspec import Struct


class Summary(Struct, kw_only=True):
    """Seconds are of audio. `saved` is the share of what was captured that was not sent."""

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
    saved: float = 0.0

    def __post_init__(self) -> None:
        saved = 1 - self.sent_s / self.captured_s if self.captured_s else 0.0
        self.saved = max(0.0, saved)

    def line(self) -> str:
        """For people, at the end of a run."""
        return (
            f"captured {self.captured_s:.1f} s, sent {self.sent_s:.1f} s (saved {self.saved:.0%}, "
            f"about {self.usd_estimated:.4f} USD sent), {_counted(self.keepalives, 'keep-alive')}, "
            f"{_counted(self.connections, 'connection')} ({_counted(self.reconnects, 'reconnect')}), "
            f"{_counted(self.utterances, 'utterance')}, {_counted(self.words, 'word')}, "
            f"{_counted(self.holes, 'hole')}, {self.evicted_s:.1f} s evicted, {self.left_s:.1f} s left"
        )


def _counted(number: int, what: str) -> str:
    """`1 hole`, `2 holes`."""
    return f"{number} {what}{'s'[: number != 1]}"
