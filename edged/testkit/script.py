"""A recording with known words, and an engine that answers each of them exactly when its audio has arrived.

Words are found by the audio itself, bit by bit and wherever it comes: a word is answered only if all of its samples
arrived in one piece, and as often as they arrive. So audio that was lost, cut or sent twice shows as words that are
missing or doubled. The way there must not change samples (a WAV source or a virtual card; no gain, no resampling).

How: every `STRIDE` samples of each word a short slice (an anchor) is indexed; in the stream, `STRIDE` neighbouring
offsets are looked up once every `HOP` samples, so that any stretch of a word that is long enough is met at any
alignment. From an anchor on, bytes are compared, backwards to the word's start and forwards as they arrive.
"""

import json
import wave
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple, Self

from edged.model.audio import BYTES_PER_SAMPLE
from edged.model.cures import with_cure
from edged.model.errors import UsageError
from edged.recognizer.engine import Engine, Recognition, RecognizedWord

STRIDE = 16
"""Samples between anchors: a look-up table entry for each millisecond of a word at 16 kHz."""
ANCHOR_BYTES = 16 * BYTES_PER_SAMPLE
"""16 samples: enough to be unique in recorded speech, which is never without noise."""
HOP = 80
"""Samples between two looks into the stream: a stretch of a word of 7 ms at 16 kHz is noticed."""
CONFIDENCE = 0.99


class ScriptWord(NamedTuple):
    """One word of the recording: samples `start` to `end` (exclusive)."""

    text: str
    start: int
    end: int


class Script:
    """A recording and its words.

    Raises `UsageError` if words overlap, lie outside of the recording, or can't be told by their audio.
    """

    def __init__(self, pcm: bytes, words: Iterable[ScriptWord], rate: int = 16_000) -> None:
        self.pcm = pcm
        self.rate = rate
        self.words = tuple(words)
        self.audio = tuple(pcm[word.start * BYTES_PER_SAMPLE : word.end * BYTES_PER_SAMPLE] for word in self.words)
        self._check()
        self.anchors = self._index()

    @classmethod
    def load(cls, wav: str | Path, table: str | Path) -> Self:
        """A 16-bit mono WAV and its JSON list of `{"word", "start", "end"}`.

        `start` and `end` are samples if they are whole numbers, seconds if they have a decimal point.
        """
        try:
            with wave.open(str(wav), "rb") as source:
                if source.getsampwidth() != BYTES_PER_SAMPLE or source.getnchannels() != 1:
                    raise UsageError(f"{wav}: a script's recording is 16-bit mono PCM")
                rate = source.getframerate()
                # A header may promise 4 GB, which Python would ask the system for.
                pcm = source.readframes(min(source.getnframes(), Path(wav).stat().st_size // BYTES_PER_SAMPLE))
            entries = json.loads(Path(table).read_text(encoding="utf-8"))
            words = [
                ScriptWord(str(entry["word"]), _samples(entry["start"], rate), _samples(entry["end"], rate))
                for entry in entries
            ]
        except OSError as error:
            raise UsageError(f"{error.filename or wav}: {with_cure(error)}") from error
        except (wave.Error, EOFError) as error:
            raise UsageError(f"{wav}: no WAV file that can be read ({error})") from error
        except (ValueError, TypeError, KeyError) as error:
            raise UsageError(f'{table}: not a JSON list of {{"word", "start", "end"}} ({error})') from error
        return cls(pcm, words, rate)

    def save(self, wav: str | Path, table: str | Path) -> None:
        """Write both files; `load` reads them again."""
        with wave.open(str(wav), "wb") as target:
            target.setnchannels(1)
            target.setsampwidth(BYTES_PER_SAMPLE)
            target.setframerate(self.rate)
            target.writeframes(self.pcm)
        entries = [{"word": word.text, "start": word.start, "end": word.end} for word in self.words]
        Path(table).write_text(json.dumps(entries, indent=1) + "\n", encoding="utf-8")

    @property
    def texts(self) -> list[str]:
        """Texts of the words in order."""
        return [word.text for word in self.words]

    def _check(self) -> None:
        before = 0
        for word in self.words:
            if not before <= word.start < word.end <= len(self.pcm) // BYTES_PER_SAMPLE:
                raise UsageError(
                    f"script: word {word.text!r} at samples {word.start}-{word.end} overlaps its neighbour,"
                    " is empty, or lies outside of the recording"
                )
            before = word.end

    def _index(self) -> dict[bytes, tuple[int, int]]:
        """Anchor to (word, byte offset in it), for anchors that occur once."""
        found: dict[bytes, tuple[int, int]] = {}
        ambiguous: set[bytes] = set()
        for number, audio in enumerate(self.audio):
            for offset in range(0, len(audio) - ANCHOR_BYTES + 1, STRIDE * BYTES_PER_SAMPLE):
                anchor = audio[offset : offset + ANCHOR_BYTES]
                if anchor in found:
                    ambiguous.add(anchor)
                found[anchor] = (number, offset)
        for anchor in ambiguous:
            del found[anchor]
        known = {number for number, _ in found.values()}
        for number, word in enumerate(self.words):
            if number not in known:
                raise UsageError(f"script: word {word.text!r} is too short, silent, or sounds exactly like another one")
        return found


def _samples(value: int | float, rate: int) -> int:
    return value if isinstance(value, int) else round(value * rate)


class ScriptEngine:
    """Answers the words of a script.

    `take_half_processed` tells faults that wait for a word.
    """

    stable_after_s = 0.0

    def __init__(self, script: Script) -> None:
        self._script = script
        self._buffer = bytearray()
        self._longest = max((len(audio) for audio in script.audio), default=0) + HOP * BYTES_PER_SAMPLE
        self._dropped = 0
        """Bytes of the stream before the buffer."""
        self._at = 0
        """Byte of the stream up to which it is searched."""
        self._word: tuple[int, int, bool] | None = None
        """The word that arrives just now: its number, where it starts in the stream, whether it is whole so far."""
        self._voice = (0, 0)
        self._open: list[RecognizedWord] = []
        self._half_processed: list[int] = []

    def feed(self, pcm: bytes) -> Recognition:
        """See `Engine`."""
        self._buffer += pcm
        end = self._dropped + len(self._buffer)
        while self._at < end and (self._search(end) if self._word is None else self._follow(end, *self._word)):
            pass
        surplus = min(len(self._buffer) - self._longest, self._at - self._dropped)
        if surplus > self._longest:  # seldom, as deleting from the front moves the rest
            del self._buffer[:surplus]
            self._dropped += surplus
        return self._heard()

    def flush(self) -> Recognition:
        """See `Engine`; a word that has not arrived whole stays open."""
        return self._heard()

    def commit(self, until_s: float) -> None:
        """See `Engine`."""
        self._open = [word for word in self._open if word.end_s > until_s]

    def close(self) -> None:
        """See `Engine`; a script's is small."""

    def take_half_processed(self) -> list[int]:
        """Return the numbers of the words whose middle has passed since the last call."""
        words, self._half_processed = self._half_processed, []
        return words

    def _heard(self) -> Recognition:
        return Recognition(tuple(self._open), self._seconds(self._voice[0]), self._seconds(self._voice[1]))

    def _seconds(self, at: int) -> float:
        return at / BYTES_PER_SAMPLE / self._script.rate

    def _search(self, end: int) -> bool:
        """Look for a word from `_at` on; False: more audio is needed."""
        span = (STRIDE - 1) * BYTES_PER_SAMPLE + ANCHOR_BYTES
        while self._at + span <= end:
            base = self._at - self._dropped
            for offset in range(base, base + STRIDE * BYTES_PER_SAMPLE, BYTES_PER_SAMPLE):
                found = self._script.anchors.get(bytes(self._buffer[offset : offset + ANCHOR_BYTES]))
                if found is not None:
                    self._meet(self._dropped + offset, *found)
                    return True
            self._at += HOP * BYTES_PER_SAMPLE
        return False

    def _meet(self, at: int, number: int, offset: int) -> None:
        """A slice of a word is here: what of it came before?"""
        start = at - offset
        whole = start >= self._dropped and (
            self._buffer[start - self._dropped : at - self._dropped] == self._script.audio[number][:offset]
        )
        self._word = (number, start, whole)
        self._hear(start if whole else at, at)
        self._at = at

    def _hear(self, start: int, end: int) -> None:
        """Voice from `start` to `end`; a pause of less than 0.3 s belongs to the same stretch."""
        if start - self._voice[1] > 0.3 * self._script.rate * BYTES_PER_SAMPLE or self._voice[1] == 0:
            self._voice = (start, end)
        else:
            self._voice = (self._voice[0], max(end, self._voice[1]))

    def _follow(self, end: int, number: int, start: int, whole: bool) -> bool:
        """Compare the word that arrives with what it should be; False: it goes on after this audio."""
        audio = self._script.audio[number]
        upto = min(end, start + len(audio))
        came = self._buffer[self._at - self._dropped : upto - self._dropped]
        due = audio[self._at - start : upto - start]
        before = self._at
        if came != due:
            self._at += _common(came, due)
            self._word = None
        else:
            self._at = upto
        self._hear(before, self._at)
        half = start + len(audio) // 2
        if before < half <= self._at:
            self._half_processed.append(number)
        if came == due and upto == start + len(audio):
            self._word = None
            if whole:
                text = self._script.words[number].text
                self._open.append(RecognizedWord(text, self._seconds(start), self._seconds(upto), CONFIDENCE))
        return self._word is None


def _common(one: bytes | bytearray, other: bytes) -> int:
    """Return the length of the common prefix in bytes: whole samples, and at least one, so that a search advances."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        if one[:middle] == other[:middle]:
            low = middle
        else:
            high = middle - 1
    return max(BYTES_PER_SAMPLE, low - low % BYTES_PER_SAMPLE)


class ScriptEngineFactory:
    """Opens a script's engine for each connection."""

    name = "script"
    is_blocking = False

    def __init__(self, script: Script) -> None:
        self.script = script

    def rate_error(self, rate: int) -> str | None:
        """See `Engines`."""
        if rate == self.script.rate:
            return None
        return f"This server knows a recording of {self.script.rate} Hz: set sample_rate={self.script.rate}."

    def open(self, rate: int) -> Engine:
        """See `Engines`."""
        return ScriptEngine(self.script)


def split_pcm(pcm: bytes, samples: int) -> Iterator[bytes]:
    """The audio in messages of so many samples, the last one shorter."""
    for at in range(0, len(pcm), samples * BYTES_PER_SAMPLE):
        yield pcm[at : at + samples * BYTES_PER_SAMPLE]
