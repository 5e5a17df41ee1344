"""Recordings made up for tests and measuring: words that a voice detector takes for voice, each unlike all others.

A word is sung rather than said: a voice's pitch, a syllable for each of its vowels with the three formants of that,
and noise of its own, so that its samples occur nowhere else. Neural detectors take it for speech, too. Between words is
the faint noise of a room.
"""

import math
import random
from array import array
from collections.abc import Iterator, Sequence

from edged.testkit.script import Script, ScriptWord

VOICE_LEVEL = 7000
"""Peak level of 32767 for a speaker near the microphone (about -16 dBFS)."""
GRAIN = 120
"""Noise within a word, peak: makes its samples unique, and is not heard."""
ROOM_LEVEL = 6
"""Noise between words, peak: about -77 dBFS, a quiet room; never exact zeros, which would be a dead microphone."""
TABLE = 256
"""Points of one period of the voice."""
RAMP_S = 0.012
"""A word swells and fades this fast: no click, and voiced nearly from its first sample."""
FORMANTS = {
    "a": (730, 1090, 2440),
    "e": (530, 1840, 2480),
    "i": (270, 2290, 3010),
    "o": (570, 840, 2410),
    "u": (300, 870, 2240),
}
"""Formants of each vowel in Hz, about those of a male speaker of American English."""
STRENGTHS = ((1.0, 80), (0.6, 110), (0.35, 160))
"""Strengths of the three formants, and their half widths in Hz."""
DIP = 0.15
"""A consonant, between two syllables: so much softer, and no pause to a voice detector."""
SYLLABLES = [consonant + vowel for consonant in "bdfgklmnprstvz" for vowel in "aeiou"]


def vocabulary(count: int) -> list[str]:
    """Return `count` different pronounceable words (at most 4900): `babada`, `bemuto`, ..."""
    n = len(SYLLABLES)
    # The first syllable counts, the second counts how often that came round, the third is for the ear.
    return [SYLLABLES[i % n] + SYLLABLES[(i // n + i * 23) % n] + SYLLABLES[(i * 31 + 10) % n] for i in range(count)]


def compose(
    sentences: Sequence[str],
    *,
    seed: int = 0,
    rate: int = 16_000,
    lead_s: float = 1.5,
    silence_s: float = 6.0,
    tail_s: float = 2.0,
    word_s: tuple[float, float] = (0.25, 0.5),
    pause_s: tuple[float, float] = (0.06, 0.2),
    every_s: float | None = None,
) -> Script:
    """A recording of sentences of words: `lead_s` of room, the sentences with `silence_s` between them, `tail_s`.

    With `every_s` a sentence begins that often instead. Words last, and pauses between them, as long as drawn from
    the ranges given. The same arguments give the same samples.
    """
    rng = random.Random(seed)
    words: list[ScriptWord] = []
    at = round(lead_s * rate)
    for number, sentence in enumerate(sentences):
        if number and every_s is None:
            at += round(silence_s * rate)
        elif number and every_s is not None:
            begin = round((lead_s + number * every_s) * rate)
            if begin <= at:
                raise ValueError(f"a sentence lasts longer than {every_s} s")
            at = begin
        for place, text in enumerate(sentence.split()):
            if place:
                at += round(rng.uniform(*pause_s) * rate)
            start, at = at, at + round(rng.uniform(*word_s) * rate)
            words.append(ScriptWord(text, start, at))
    return _record(rng, words, at + round(tail_s * rate), rate)


def place(words: Sequence[tuple[str, float, float]], length_s: float, *, seed: int = 0, rate: int = 16_000) -> Script:
    """A recording of `length_s` with each `(text, start_s, end_s)` just there."""
    table = [ScriptWord(text, round(start_s * rate), round(end_s * rate)) for text, start_s, end_s in words]
    return _record(random.Random(seed), table, round(length_s * rate), rate)


def _record(rng: random.Random, words: Sequence[ScriptWord], samples: int, rate: int) -> Script:
    pcm = bytearray()
    for word in words:
        pcm += _room(rng, word.start - len(pcm) // 2)
        pcm += _word(rng, word.end - word.start, rate, word.text)
    pcm += _room(rng, samples - len(pcm) // 2)
    return Script(bytes(pcm), words, rate)


def sentences(count: int, words_each: int = 6) -> list[str]:
    """Return `count` sentences in which no word occurs twice."""
    words = vocabulary(count * words_each)
    return [" ".join(words[i : i + words_each]) for i in range(0, len(words), words_each)]


def _noise(rng: random.Random, samples: int, peak: int) -> Iterator[int]:
    """Evenly spread over -peak..peak, a byte of randomness a sample."""
    scale = bytes((value * (2 * peak + 1)) >> 8 for value in range(256))
    return (value - peak for value in rng.randbytes(samples).translate(scale))


def _room(rng: random.Random, samples: int) -> bytes:
    return array("h", _noise(rng, samples, ROOM_LEVEL)).tobytes()


def _word(rng: random.Random, samples: int, rate: int, text: str) -> bytes:
    pitch = rng.uniform(95, 180)
    glide = rng.uniform(-0.25, 0.1)
    vowels = [letter for letter in text if letter in FORMANTS] or ["a"]
    periods = {vowel: _period(pitch, vowel) for vowel in dict.fromkeys(vowels)}
    tables = [periods[vowel] for vowel in vowels]
    tables.append(tables[-1])
    last = len(vowels) - 1
    ramp = round(RAMP_S * rate)
    phase = 0.0
    out = array("h")
    for i, grain in enumerate(_noise(rng, samples, GRAIN // 2)):
        syllable, within = divmod(i * len(vowels) / samples, 1)
        now, following = tables[int(syllable)], tables[int(syllable) + 1]
        moved = max(0.0, 2.5 * within - 1.5)  # from one vowel to the next in the last 40 %
        border = min(within if syllable else 1.0, 1 - within if syllable < last else 1.0)
        level = min(1.0, (i + 1) / ramp, (samples - i) / ramp) * min(1.0, DIP + 5 * border)
        point = int(phase) % TABLE
        out.append(int(level * (now[point] + (following[point] - now[point]) * moved)) + grain)
        phase += TABLE * pitch * (1 + glide * i / samples) / rate
    return out.tobytes()


def _period(pitch: float, vowel: str) -> list[float]:
    """One period of a voice that says a vowel: harmonics up to 3.4 kHz, falling as a voice's; peaks at VOICE_LEVEL."""
    harmonics = []
    for k in range(1, int(3400 / pitch)):
        peaks = zip(FORMANTS[vowel], STRENGTHS, strict=True)
        gain = 0.02 + sum(strength / (1 + ((k * pitch - hz) / width) ** 2) for hz, (strength, width) in peaks)
        harmonics.append((k, gain / k**0.5))
    wave = [sum(gain * math.sin(math.tau * k * i / TABLE + 0.7 * k * k) for k, gain in harmonics) for i in range(TABLE)]
    peak = max(map(abs, wave))
    return [VOICE_LEVEL * value / peak for value in wave]
