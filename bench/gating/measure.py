"""Figures of each variant, computed from its decisions on each sound."""

import subprocess
import sys
from pathlib import Path
from statistics import median
from typing import NamedTuple

from .material import Sound
from .variants import Outcome

EDGE_S = 0.005
"""Labels are written to the millisecond, and frames are 20 ms: less than this is no cut."""


class Cut(NamedTuple):
    """A beginning or end of labelled speech that is not sent."""

    where: str
    """`beginning` or `end`."""
    at_s: float
    """As it is labelled."""
    lost_s: float
    """Of the speech next to it, so much is not sent."""

    @property
    def stretch(self) -> tuple[float, float]:
        """Range of speech that is not sent."""
        ends = self.at_s, self.at_s + (self.lost_s if self.where == "beginning" else -self.lost_s)
        return min(ends), max(ends)


class Measured(NamedTuple):
    """One sound and what was made of it; its samples are gone."""

    sound: Sound
    duration_s: float
    outcome: Outcome
    cpu_s: float

    @property
    def sent_s(self) -> float:
        """Duration of the audio that is sent."""
        return sum(end - start for start, end in self.joined)

    @property
    def speech_s(self) -> float:
        """How much of it is speech."""
        return sum(end - start for start, end in self.sound.speech)

    @property
    def kept_s(self) -> float:
        """Duration of the speech that is sent."""
        return sum(
            max(0.0, min(end, sent_to) - max(start, sent_from))
            for start, end in self.sound.speech
            for sent_from, sent_to in self.joined
        )

    @property
    def joined(self) -> list[tuple[float, float]]:
        """What is sent, neighbouring and overlapping stretches as one."""
        joined: list[tuple[float, float]] = []
        for start, end in self.outcome.sent:
            if joined and start <= joined[-1][1] + EDGE_S:
                joined[-1] = (joined[-1][0], end)
            else:
                joined.append((start, end))
        return joined

    @property
    def cuts(self) -> list[Cut]:
        """What is not sent at the beginnings and ends of labelled speech."""
        joined, cuts = self.joined, list[Cut]()
        for start, end in self.sound.speech:
            if not any(a - EDGE_S <= start <= b + EDGE_S for a, b in joined):
                cuts.append(
                    Cut("beginning", start, min((a for a, _ in joined if start < a < end), default=end) - start)
                )
            if not any(a - EDGE_S <= end <= b + EDGE_S for a, b in joined):
                cuts.append(Cut("end", end, end - max((b for _, b in joined if start < b < end), default=start)))
        return cuts


class Figures(NamedTuple):
    """A row. Shares are from 0 to 1; None: there was nothing to measure it on."""

    kept: dict[str, float]
    """Share of the speech that is sent, by group: `close`, `meeting`, `close at 10 dB`, ..., `all at 10 dB`."""
    cuts: int
    edges: int
    """Beginnings and ends of labelled speech, in recordings as they are, and how many of them are not sent."""
    per_speech: float
    """Seconds sent for a second of speech, in recordings as they are."""
    noise: float
    by_kind: dict[str, float]
    """Share of noise that is sent."""
    pieces_a_minute: float
    """While there is speech."""
    delay_ms: tuple[float, float]
    """From the first voiced frame to the decision: half of them, and nine of ten, are done by then."""
    cpu: dict[str, float]
    """Seconds an hour of audio: `quiet`, `noise` (of its dearest kind), `speech`."""
    memory_mb: float


def share_kept(ones: list[Measured]) -> float:
    """Of the speech in these."""
    return sum(one.kept_s for one in ones) / max(1e-9, sum(one.speech_s for one in ones))


def share_sent(ones: list[Measured]) -> float:
    """Of all of these."""
    return sum(one.sent_s for one in ones) / max(1e-9, sum(one.duration_s for one in ones))


def figures(measured: list[Measured], memory_mb: float) -> Figures:
    """Figures of one variant."""

    def of(*groups: str) -> list[Measured]:
        return [one for one in measured if one.sound.group in groups]

    groups = sorted({one.sound.group for one in measured if one.sound.speech})
    shares = {group: share_kept(of(group)) for group in groups}
    for level in sorted({group.partition(" at ")[2] for group in groups} - {""}):
        shares[f"all at {level}"] = share_kept([one for one in measured if one.sound.group.endswith(f" at {level}")])
    plain = of("close", "meeting")
    noise = of("noise")
    delays = sorted(delay * 1000 for one in plain for delay in one.outcome.delays_s)
    costs = {
        one.sound.name: one.cpu_s / one.duration_s * 3600 for one in measured if one.sound.group.startswith("cost")
    }
    return Figures(
        kept=shares,
        cuts=sum(len(one.cuts) for one in plain),
        edges=sum(2 * len(one.sound.speech) for one in plain),
        per_speech=sum(one.sent_s for one in plain) / max(1e-9, sum(one.speech_s for one in plain)),
        noise=share_sent(noise),
        by_kind={
            kind: share_sent([n for n in noise if n.sound.kind == kind])
            for kind in sorted({n.sound.kind for n in noise})
        },
        pieces_a_minute=sum(len(one.outcome.sent) for one in plain) / (sum(one.duration_s for one in plain) / 60),
        delay_ms=(median(delays), delays[int(0.9 * len(delays))]) if delays else (0.0, 0.0),
        cpu={
            "quiet": costs["quiet"],
            "noise": max((cost for name, cost in costs.items() if name.startswith("cost of noise")), default=0.0),
            "speech": next((cost for name, cost in costs.items() if name.startswith("cost of speech")), 0.0),
        },
        memory_mb=memory_mb,
    )


MEMORY = """
import sys
sys.path.insert(0, sys.argv[1])
from gating.material import Sound
from gating.variants import variants
run = next(variant.run for variant in variants("all") if variant.name == sys.argv[2])
import random
run(Sound("", "", "", random.Random(0).randbytes(320_000), ()))
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmRSS:")))
"""


def memory_mb(name: str) -> float:
    """Resident, of a process that has gated 10 s of noise, and holds nothing else."""
    command = [sys.executable, "-c", MEMORY, str(Path(__file__).parents[1]), name]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return int(done.stdout) / 1024
