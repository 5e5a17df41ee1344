"""What is compared: edged's gate with this and that, and what others do. Each takes a sound and tells what it sends."""

from array import array
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from msgspec.structs import replace

from edged.config.settings import PRESETS, GateSettings
from edged.gate import audio_gate, second_opinion
from edged.gate.audio_gate import AudioGate, SecondDetector, SegmentAudio, SegmentEvent
from edged.gate.detectors import Micro, Silero, webrtc, why_not_installed
from edged.gate.gate import SegmentClosed, SegmentOpened
from edged.model.audio import Block

from .material import RATE, Sound

BLOCK = RATE // 10


class Outcome(NamedTuple):
    """Decisions of a variant on one sound."""

    sent: list[tuple[float, float]]
    """Ranges sent, in seconds."""
    delays_s: list[float]
    """From each opening's first voiced frame to the decision."""


Run = Callable[[Sound], Outcome]


class Variant(NamedTuple):
    """A row of the table."""

    name: str
    note: str
    run: Run
    group: str
    """`edged`, `others` or `tried`."""


def variants(which: str) -> list[Variant]:
    """All of them, or those of one group."""
    rows = [
        Variant("everything sent", "", lambda sound: Outcome([(0.0, sound.duration_s)], []), "others"),
        *(
            Variant(f"webrtcvad {mode}, usual collector", "300 ms ring, 90 %", _collector(mode), "others")
            for mode in (2, 3)
        ),
        *(
            Variant(f"{name} alone", "asked of everything", _alone(name), "others")
            for name in ("micro", "silero")
            if not why_not_installed(name)
        ),
        Variant("edged: none", "webrtcvad alone", _edged(GateSettings(second_opinion="none")), "edged"),
    ]
    if not why_not_installed("micro"):
        rows.append(Variant("edged: micro", "", _edged(GateSettings(second_opinion="micro")), "edged"))
    if not why_not_installed("silero"):
        silero = GateSettings(second_opinion="silero")
        rows += [
            Variant(
                f"edged: silero, {name}", "the default" * (name == "normal"), _edged(_preset(silero, name)), "edged"
            )
            for name in PRESETS
        ]
        rows += _tried(silero)
    return [row for row in rows if which in ("all", row.group)]


def _tried(silero: GateSettings) -> list[Variant]:
    """One thing changed, against the default."""
    changed = {
        "not levelled": ("quiet sounds are not amplified for it", _edged(silero, gain=1.0)),
        "never afresh": ("one long look", _edged(silero, fresh_ms=10**9)),
        "not warmed up": ("it hears nothing before the onset", _edged(silero, warm_ms=0)),
        "no patience": ("webrtcvad alone holds nothing", _edged(replace(silero, patience_ms=0))),
        "stays_at = opens_at": ("no hysteresis", _edged(replace(silero, stays_at=silero.opens_at))),
        "aggressiveness 1": ("webrtcvad hears more", _edged(replace(silero, aggressiveness=1))),
        "aggressiveness 3": ("webrtcvad hears less", _edged(replace(silero, aggressiveness=3))),
        "one chunk decides": ("and not the mean of two", _edged(silero, steady_ms=1)),
        "hangover 1200": ("", _edged(replace(silero, hangover_ms=1200))),
        "pre-roll 300": ("", _edged(replace(silero, pre_roll_ms=300))),
        "pre-roll 500": ("", _edged(replace(silero, pre_roll_ms=500))),
        "pre-roll 800": ("", _edged(replace(silero, pre_roll_ms=800))),
        "look back 300": ("a late opinion cuts", _edged(replace(silero, look_back_ms=300))),
    }
    rows = [Variant(f"silero, {name}", note, run, "tried") for name, (note, run) in changed.items()]
    floor = _edged(replace(silero, opens_at=1.0, stays_at=1.0, patience_ms=0), detector=Louder)
    return [*rows, Variant("8 dB over the noise floor", "cheap, in place of a second detector", floor, "tried")]


def edged_variant(name: str, gate: GateSettings) -> Variant:
    """The gate with other settings."""
    return Variant(name, "", _edged(gate), "left out")


def _preset(gate: GateSettings, name: str) -> GateSettings:
    return replace(gate, preset=name, **PRESETS[name])


class Louder:
    """Takes for speech what is 8 dB louder than the quietest tenth of the last 5 s."""

    chunk_samples = RATE * 32 // 1000

    def __init__(self) -> None:
        self._levels: deque[float] = deque(maxlen=156)

    def reset(self) -> None:
        """The floor stays: it is of the room."""

    def __call__(self, pcm: bytes) -> float:
        samples = array("h", pcm)[::4]
        level = sum(sample * sample for sample in samples) / len(samples) + 1.0
        self._levels.append(level)
        return float(level > 6.3 * sorted(self._levels)[len(self._levels) // 10])


@contextmanager
def _changed(
    fresh_ms: int | None, warm_ms: int | None, gain: float | None, steady_ms: int | None = None
) -> Iterator[None]:
    """Constants that are no settings."""
    before = second_opinion.RESTART_MS, second_opinion.WARM_UP_MS, Silero.MAX_GAIN, audio_gate.AVERAGED_MS
    wanted = (fresh_ms, warm_ms, gain, steady_ms)
    _set(*(was if now is None else now for was, now in zip(before, wanted, strict=True)))
    try:
        yield
    finally:
        _set(*before)


def _set(fresh_ms: float, warm_ms: float, gain: float, steady_ms: float) -> None:
    """They are final for all else."""
    second_opinion.RESTART_MS, second_opinion.WARM_UP_MS = fresh_ms, warm_ms  # type: ignore[misc,assignment]
    Silero.MAX_GAIN, audio_gate.AVERAGED_MS = gain, steady_ms  # type: ignore[misc,assignment]


def _edged(
    gate: GateSettings,
    *,
    fresh_ms: int | None = None,
    warm_ms: int | None = None,
    gain: float | None = None,
    steady_ms: int | None = None,
    detector: Callable[[], SecondDetector] | None = None,
) -> Run:
    def run(sound: Sound) -> Outcome:
        with _changed(fresh_ms, warm_ms, gain, steady_ms):
            second = detector() if detector else _second(gate.second_opinion)
            return through(AudioGate(gate, RATE, webrtc(gate.aggressiveness, RATE), second), sound.pcm)

    return run


def _second(name: str) -> SecondDetector | None:
    return None if name == "none" else Silero(RATE) if name == "silero" else Micro(RATE)


def through(gate: AudioGate, pcm: bytes, told: Callable[[list[SegmentEvent]], None] = lambda let: None) -> Outcome:
    """In blocks, as from a microphone; `told` takes what is let through."""
    sent, delays, opened_at = [], [], 0.0
    waiting = False
    for at in range(0, len(pcm) // 2, BLOCK):
        block = Block(at, pcm[at * 2 : (at + BLOCK) * 2], at / RATE)
        let = gate.feed(block) + (gate.finish() if at + BLOCK >= len(pcm) // 2 else [])
        told(let)
        for event in let:
            match event:
                case SegmentOpened(start):
                    opened_at, waiting = start / RATE, True
                case SegmentAudio(_, _, voiced) if voiced and waiting:
                    delays.append((block.end - voiced[0][0]) / RATE)
                    waiting = False
                case SegmentClosed(end, _):
                    sent.append((opened_at, end / RATE))
    return Outcome(sent, delays)


def _collector(mode: int) -> Run:
    """The usual one around webrtcvad: open when 90 % of a ring of 300 ms are voiced, shut when 90 % are not."""

    def run(sound: Sound) -> Outcome:
        detector, size, frames = webrtc(mode, RATE), RATE * 30 // 1000, 10
        ring: deque[bool] = deque(maxlen=frames)
        sent, delays, start = list[tuple[float, float]](), list[float](), -1
        for at in range(0, len(sound.pcm) // 2 - size + 1, size):
            ring.append(detector(sound.pcm[at * 2 : (at + size) * 2]))
            if start < 0 and sum(ring) > 0.9 * frames:
                start = max(0, at + size - frames * size)
                delays.append(frames * size / RATE)
                ring.clear()
            elif start >= 0 and len(ring) == frames and sum(ring) < 0.1 * frames:
                sent.append((start / RATE, (at + size) / RATE))
                start = -1
                ring.clear()
        if start >= 0:
            sent.append((start / RATE, sound.duration_s))
        return Outcome(sent, delays)

    return run


def _alone(name: str) -> Run:
    """Asked of everything, in one long look: 0.5 opens, 0.35 stays, with edged's pre-roll and hangover around it."""

    def run(sound: Sound) -> Outcome:
        gate = GateSettings(second_opinion=name)  # type: ignore[arg-type]  # one of two
        with _changed(None, None, 1.0):
            detector = _second(name)
            size = detector.chunk_samples if detector else RATE
            sent, start, held = list[tuple[float, float]](), -1.0, 0.0
            for at in range(0, len(sound.pcm) // 2 - size + 1, size):
                likelihood = detector(sound.pcm[at * 2 : (at + size) * 2]) if detector else 0.0
                now = (at + size) / RATE
                if start < 0 and likelihood >= 0.5:
                    start = max(0.0, at / RATE - gate.pre_roll_ms / 1000)
                if start >= 0 and likelihood >= 0.35:
                    held = now
                if start >= 0 and now - held >= gate.hangover_ms / 1000:
                    sent.append((start, now))
                    start = -1.0
        if start >= 0:
            sent.append((start, sound.duration_s))
        return Outcome(sent, [])

    return run
