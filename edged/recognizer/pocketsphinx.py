"""A real recogniser on this machine: PocketSphinx, with the US English model that its wheel brings.

It is a small recogniser from before neural networks: it hears most words of clear speech, not all, and on a Raspberry
Pi in real time. Words come while somebody speaks. It decodes only from a voice's onset (and `PRE_ROLL_S` before) to a
`flush`, so that silence costs nothing.
"""

import ctypes
import importlib
import importlib.util
import shlex
import sys
from collections import deque
from typing import Any

from edged.model.audio import BYTES_PER_SAMPLE
from edged.model.errors import UsageError
from edged.recognizer.engine import Engine, Recognition, RecognizedWord

RATE = 16_000
"""Sample rate that the model was trained on."""
PRE_ROLL_S = 0.3
"""Decoded from before the onset: the first sounds of a word are faint."""
VAD_MODE = 2
ONSET_FRAMES = (3, 5)
"""Voiced frames, and frames to count among (30 ms each), that distinguish an onset from a click."""
CHUNK_BYTES = RATE // 50 * BYTES_PER_SAMPLE
"""The decoder holds Python's lock while it works: 20 ms of audio a call leave room for others in between."""
REST_S = (15.0, 0.15)
"""An utterance longer than this is taken as done at a pause of this, as the decoder's memory grows with it."""
LONGEST_S = 60.0
"""Longest utterance without a pause; a longer one is ended."""
CONFIDENCE = 0.5
"""PocketSphinx has no confidence in single words that would mean anything."""
MISSING = f"PocketSphinx is not installed: {shlex.quote(sys.executable)} -m pip install pocketsphinx"
"""Error that names the Python edged runs with, so that pip installs to the right place."""


class PocketsphinxEngine:
    """See `Engine`. `module` is the imported `pocketsphinx`."""

    stable_after_s = 1.0

    def __init__(self, module: Any) -> None:
        self._decoder = module.Decoder(samprate=float(RATE), loglevel="FATAL")
        self._vad = module.Vad(VAD_MODE, RATE, 0.03)
        self._frame_bytes: int = self._vad.frame_bytes
        self._frames_a_second: int = self._decoder.config["frate"]
        self._rest = b""
        """Shorter than a frame."""
        self._taken = 0
        """Bytes judged and decoded or dropped."""
        self._recent: deque[bool] = deque(maxlen=ONSET_FRAMES[1])
        self._pre_roll: deque[bytes] = deque(maxlen=round(PRE_ROLL_S * RATE * BYTES_PER_SAMPLE / self._frame_bytes))
        self._begun: int | None = None
        """Byte at which the open utterance began."""
        self._voice = (0.0, 0.0)
        self._done: list[RecognizedWord] = []
        """Words of finished utterances, not yet committed."""
        self._committed_s = 0.0

    def feed(self, pcm: bytes) -> Recognition:
        """See `Engine`."""
        data = self._rest + pcm
        whole = len(data) - len(data) % self._frame_bytes
        self._rest = data[whole:]
        for at in range(0, whole, self._frame_bytes):
            self._frame(data[at : at + self._frame_bytes])
        return self._heard()

    def flush(self) -> Recognition:
        """See `Engine`."""
        self._end()
        return self._heard()

    def commit(self, until_s: float) -> None:
        """See `Engine`."""
        self._committed_s = max(self._committed_s, until_s)
        self._done = [word for word in self._done if self._open(word)]

    def close(self) -> None:
        """See `Engine`. A decoder's 100 MB and more are many small pieces, which malloc would keep for the next one."""
        self._decoder = None
        if trim := getattr(ctypes.CDLL(None), "malloc_trim", None):  # glibc's
            trim(0)

    def _open(self, word: RecognizedWord) -> bool:
        # By its middle: what was said may be cut into words in another way by now.
        return (word.start_s + word.end_s) / 2 > self._committed_s

    def _heard(self) -> Recognition:
        words = (*self._done, *(word for word in self._hypothesis() if self._open(word)))
        return Recognition(words, *self._voice)

    def _seconds(self, at: int) -> float:
        return at / BYTES_PER_SAMPLE / RATE

    def _frame(self, frame: bytes) -> None:
        self._recent.append(bool(self._vad.is_speech(frame)))
        start_s = self._seconds(self._taken)
        self._taken += len(frame)
        now_s = self._seconds(self._taken)
        if sum(self._recent) >= ONSET_FRAMES[0]:
            if start_s - self._voice[1] > 0.3 or self._voice[1] == 0:
                self._voice = (max(0.0, now_s - len(self._recent) * (now_s - start_s)), now_s)
            else:
                self._voice = (self._voice[0], now_s)
            if self._begun is None:
                self._begin()
        if self._begun is None:
            self._pre_roll.append(frame)
            return
        self._decode(frame)
        length_s = now_s - self._seconds(self._begun)
        if (length_s > REST_S[0] and now_s - self._voice[1] >= REST_S[1]) or length_s > LONGEST_S:
            self._end()

    def _begin(self) -> None:
        self._decoder.start_utt()
        before = b"".join(self._pre_roll)
        self._pre_roll.clear()
        self._begun = self._taken - self._frame_bytes - len(before)
        self._decode(before)

    def _decode(self, pcm: bytes) -> None:
        for at in range(0, len(pcm), CHUNK_BYTES):
            self._decoder.process_raw(pcm[at : at + CHUNK_BYTES], False, False)

    def _end(self) -> None:
        if self._begun is None:
            return
        self._decoder.end_utt()
        self._done += [word for word in self._hypothesis() if self._open(word)]
        self._begun = None
        self._recent.clear()

    def _hypothesis(self) -> list[RecognizedWord]:
        """The words of the utterance that is open, or was until now."""
        if self._begun is None or self._decoder.hyp() is None:
            return []
        begun_s = self._seconds(self._begun)
        return [
            RecognizedWord(
                segment.word.partition("(")[0],  # the(2): in its second pronunciation
                begun_s + segment.start_frame / self._frames_a_second,
                begun_s + (segment.end_frame + 1) / self._frames_a_second,
                CONFIDENCE,
            )
            for segment in self._decoder.seg()
            if segment.word[0] not in "<["  # <sil>, [NOISE]
        ]


class PocketsphinxEngineFactory:
    """Opens a decoder for each connection; raises `UsageError` if PocketSphinx is not installed."""

    name = "pocketsphinx"
    is_blocking = True

    def __init__(self) -> None:
        if importlib.util.find_spec("pocketsphinx") is None:
            raise UsageError(MISSING)
        self._module = importlib.import_module("pocketsphinx")

    def rate_error(self, rate: int) -> str | None:
        """See `Engines`."""
        return None if rate == RATE else f"PocketSphinx's model takes {RATE} Hz: set sample_rate={RATE}."

    def open(self, rate: int) -> Engine:
        """See `Engines`; takes a third of a second on a PC."""
        return PocketsphinxEngine(self._module)
