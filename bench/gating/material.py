"""The material that the gate is measured on: labelled speech, noise by kind, and mixtures of the two."""

import json
import random
import re
import sys
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from edged.cli import recordings
from edged.gate.detectors import resampler

RATE = 16_000
SENTENCES = Path("/usr/share/pocketsphinx/test/data/librivox")
SOUNDS = Path("/usr/share/sounds/alsa")
SEED = 20_261_121
MADE_S = 20.0
"""Seconds of each kind of noise that is generated."""
KINDS_A_SPEECH = 3
"""Kinds of noise that each recording of speech is mixed with, at each level."""


class Sound(NamedTuple):
    """A recording and what is known of it."""

    name: str
    group: str
    """`close`, `meeting`, `noise`, or `close at 10 dB`."""
    kind: str
    """Of noise: `rain`."""
    pcm: bytes
    speech: tuple[tuple[float, float], ...]
    """Ranges of speech, in seconds."""

    @property
    def duration_s(self) -> float:
        """Duration in seconds."""
        return len(self.pcm) / 2 / RATE


def of_directory(directory: Path) -> list[Sound]:
    """As its `index.json` has it."""
    index = json.loads((directory / "index.json").read_text())
    sounds = []
    for entry in index["speech"]:
        intervals = tuple((start, end) for start, end in entry["speech_s"])
        sounds.append(Sound(entry["file"], "meeting", "", _read(directory / entry["file"]), intervals))
    for entry in index["close_speech"]:
        pcm = _read(directory / entry["file"])
        sounds.append(Sound(entry["file"], "close", "", pcm, ((0.0, len(pcm) / 2 / RATE),)))
    for entry in index["noise"]:
        kind = re.match(r"(bg-noise|[a-z]+(?:-[a-z]+)*)", Path(entry["file"]).stem)
        name = kind[1] if kind else "other"
        sounds.append(Sound(entry["file"], "noise", name, _read(directory / entry["file"]), ()))
    return sounds


def of_debian() -> list[Sound]:
    """What `pocketsphinx-testdata` and `alsa-utils` bring, and noise that is made here."""
    sounds = []
    for path in sorted(SENTENCES.glob("*.wav")):
        pcm = _read(path)
        sounds.append(Sound(path.name, "close", "", pcm, ((0.0, len(pcm) / 2 / RATE),)))
    for path in sorted(SOUNDS.glob("*_*.wav")):
        pcm = _read(path)
        sounds.append(Sound(path.name, "close", "", pcm, (_said(pcm),)))
    if not sounds:
        sys.exit("neither pocketsphinx-testdata nor alsa-utils is installed: script/setup does that")
    if (SOUNDS / "Noise.wav").exists():
        sounds.append(Sound("Noise.wav", "noise", "pink noise", _read(SOUNDS / "Noise.wav"), ()))
    return [*sounds, *(Sound(kind, "noise", kind, pcm, ()) for kind, pcm in made())]


def _read(path: Path) -> bytes:
    recording = recordings.read(path)
    whole = len(recording.pcm) // 6 * 6  # a multiple of three samples, as 48 kHz is of 16
    return resampler(recording.rate)(array("h", recording.pcm[:whole])).tobytes()


def _said(pcm: bytes) -> tuple[float, float]:
    """From the first loud sample to the last: these recordings are digitally silent around one phrase."""
    loud = [i for i, sample in enumerate(array("h", pcm)) if abs(sample) > 500]
    return loud[0] / RATE, loud[-1] / RATE


def made() -> Iterator[tuple[str, bytes]]:
    """Noise of the simple kinds, the same each time."""
    rng = random.Random(SEED)
    count = round(MADE_S * RATE)
    white = [rng.gauss(0, 1) for _ in range(count)]
    yield "white noise", _pcm(white, 2500)
    low, rumble = 0.0, []
    for sample in white:
        low = 0.97 * low + sample
        rumble.append(low)
    yield "fan", _pcm(rumble, 3000)
    yield "quiet room", _pcm(rumble, 60)
    ticks = [0.02 * sample for sample in white]
    for start in range(RATE // 3, count - 800, RATE // 2):
        for i in range(800):
            ticks[start + i] += rng.gauss(0, 1) * 0.99**i
    yield "ticking", _pcm(ticks, 1200)
    drops = [0.3 * sample for sample in white]
    for _ in range(round(120 * MADE_S)):
        start, strength = rng.randrange(count - 400), rng.random() ** 3 * 8
        for i in range(400):
            drops[start + i] += rng.gauss(0, strength) * 0.985**i
    yield "rain", _pcm(drops, 3000)
    from math import sin, tau

    hum = [sum(sin(tau * 50 * k * i / RATE) / k for k in (1, 2, 3, 5, 7)) + 0.1 * white[i] for i in range(count)]
    yield "mains hum", _pcm(hum, 2500)
    chords, at = [0.0] * count, 0
    while at < count:
        length = min(count - at, RATE // 2)
        tones = [220 * 2 ** (rng.choice((0, 3, 4, 7, 9, 12)) / 12) for _ in range(3)]
        for i in range(length):
            chords[at + i] = sum(sin(tau * tone * k * i / RATE) / k for tone in tones for k in (1, 2, 3)) * 0.9998**i
        at += length
    yield "chords", _pcm(chords, 3000)


def _pcm(samples: list[float], level: float) -> bytes:
    """Return the sound scaled to this root mean square."""
    gain = level / max(1e-9, (sum(sample * sample for sample in samples) / len(samples)) ** 0.5)
    return _clipped(samples, gain)


def _clipped(samples: list[float], gain: float = 1.0) -> bytes:
    return array("h", [max(-32768, min(32767, round(sample * gain))) for sample in samples]).tobytes()


def mixtures(sounds: list[Sound], levels_db: tuple[int, ...]) -> list[Sound]:
    """Each recording of speech with some kinds of noise, so much below its speech: all kinds come equally often."""
    rng = random.Random(SEED)
    kinds: dict[str, list[bytes]] = {}
    for sound in sounds:
        if sound.group == "noise":
            kinds.setdefault(sound.kind, []).append(sound.pcm)
    turn = [kind for _ in range(len(sounds)) for kind in rng.sample(sorted(kinds), len(kinds))]
    mixed = []
    for sound in sounds:
        if sound.group == "noise":
            continue
        for _ in range(KINDS_A_SPEECH):
            kind = turn.pop()
            clips = rng.sample(kinds[kind], len(kinds[kind]))
            mixed += [_mixture(sound, kind, b"".join(clips), level) for level in levels_db]
    return mixed


def _mixture(sound: Sound, kind: str, noise: bytes, level_db: int) -> Sound:
    speech = array("h", sound.pcm)
    under = array("h", noise * (len(sound.pcm) // len(noise) + 1))[: len(speech)]
    said = [
        speech[i]
        for start, end in sound.speech
        for i in range(round(start * RATE), min(len(speech), round(end * RATE)))
    ]
    gain = (_power(said) / _power(under) / 10 ** (level_db / 10)) ** 0.5
    together = [a + b * gain for a, b in zip(speech, under, strict=True)]
    loudest = max(32767.0, max(together), -min(together))
    group = f"{sound.group} at {level_db} dB"
    return sound._replace(group=group, kind=kind, pcm=_clipped(together, 32767 / loudest))


def _power(samples: "list[int] | array[int]") -> float:
    return max(1.0, sum(sample * sample for sample in samples) / max(1, len(samples)))


def for_cost(sounds: list[Sound]) -> list[Sound]:
    """The same, joined by kind, and a quiet room: what is loaded once must not count for each second of it."""
    joined: dict[tuple[str, str], list[bytes]] = {}
    for sound in sounds:
        group, kind = ("cost of noise", sound.kind) if sound.group == "noise" else ("cost of speech", "")
        joined.setdefault((group, kind), []).append(sound.pcm)
    rng = random.Random(SEED)
    quiet = array("h", [rng.randint(-8, 8) for _ in range(120 * RATE)]).tobytes()
    rows = [Sound(f"{group} {kind}", group, kind, b"".join(pieces), ()) for (group, kind), pieces in joined.items()]
    return [*rows, Sound("quiet", "cost of quiet", "", quiet, ())]
