"""A microphone through the real libasound: what it delivers, and what it refuses."""

import logging
import threading
import time
from pathlib import Path

import pytest

from edged.capture import alsa, cards, opening
from edged.capture.alsa import AlsaSource
from edged.model.audio import Block, SourceEvent, SourceLost, SourceOpened
from edged.model.errors import SourceMismatchError
from tests.capture.conftest import EventLog, Microphone, Running, joined, settings, speech_like


def test_captured_audio_is_what_was_played_to_the_bit(
    microphone: Microphone, events: EventLog, running: Running
) -> None:
    audio = speech_like(0.5)
    virtual = microphone(audio)
    source = running(AlsaSource(settings(), events.put))
    events.wait(Block, 20)
    assert source.stop(1)
    blocks = events.all(Block)
    assert joined(blocks) == audio[: len(joined(blocks))]
    assert [block.position for block in blocks] == [320 * i for i in range(len(blocks))]
    assert events.items[0] == SourceOpened("virtual", "16000 Hz, 1 channel(s), periods of 320 samples, buffer of 3200")
    assert events.summary == ["SourceOpened"] + ["Block"] * len(blocks)
    assert source.counters.blocks == len(blocks)
    assert source.counters.peak > 8000
    assert virtual.playback_state is not None


def test_a_block_carries_the_boot_time_of_its_first_sample(
    microphone: Microphone, events: EventLog, running: Running
) -> None:
    virtual = microphone(speech_like(0.2))
    running(AlsaSource(settings(), events.put))
    events.wait(Block, 15)
    assert virtual.playback_state is not None
    started_s = virtual.playback_state.started_s + time.clock_gettime(time.CLOCK_BOOTTIME) - time.monotonic()
    errors = [block.at_s - (started_s + block.position / 16_000) for block in events.all(Block)]
    assert max(map(abs, errors)) < 0.02
    assert errors == pytest.approx(errors[:1] * len(errors), abs=0.02)


def test_the_chosen_channel_is_delivered(microphone: Microphone, events: EventLog, running: Running) -> None:
    audio = speech_like(0.3, channels=3)
    microphone(audio, channels=3)
    running(AlsaSource(settings(channels=3, channel=2), events.put))
    events.wait(Block, 5)
    delivered = joined(events.all(Block))
    assert delivered == memoryview(audio).cast("h")[2::3].tobytes()[: len(delivered)]


def test_an_unsupported_format_is_named_with_the_supported_ones(
    microphone: Microphone, events: EventLog, running: Running
) -> None:
    microphone(b"", rate=48_000, channels=2)
    source = AlsaSource(settings(), events.put)
    with pytest.raises(SourceMismatchError, match=r"can't do 16000 Hz with 1 channel.*it can do 48000 Hz; 2 channels"):
        source.check()
    running(source)
    assert "48000 Hz; 2 channels" in events.wait(SourceLost).reason
    assert opening.capabilities("virtual") == "48000 Hz; 2 channels"


def test_auto_stays_with_its_choice(tmp_path: Path, events: EventLog, monkeypatch: pytest.MonkeyPatch) -> None:
    names = iter(["plughw:CARD=First", "plughw:CARD=Second"])
    monkeypatch.setattr(cards, "choose_device", lambda: next(names))
    source = AlsaSource(settings("auto"), events.put)
    for _ in range(2):
        missing = source.check()
        assert missing is not None
        assert "plughw:CARD=First" in missing.reason


def test_messages_of_libasound_go_to_the_debug_log_and_never_to_standard_error(
    microphone: Microphone, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    microphone(b"")
    for device in ("nonesuch", "plughw:CARD=Nonesuch", "default", "{broken"):
        with caplog.at_level(logging.DEBUG):
            AlsaSource(settings(device), print).check()
    assert capfd.readouterr() == ("", "")
    assert "Unknown PCM" in caplog.text


def test_a_bug_of_our_own_is_logged_and_capture_goes_on(
    microphone: Microphone,
    events: EventLog,
    running: Running,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(alsa, "POLL_S", 0.05)
    microphone(b"")
    once = threading.Event()

    def deliver(item: SourceEvent) -> None:
        if isinstance(item, Block) and not once.is_set():
            once.set()
            raise ZeroDivisionError
        events.put(item)

    running(AlsaSource(settings(), deliver))
    events.wait(Block, 2)
    assert events.summary[:4] == ["SourceOpened", "SourceLost", "SourceOpened", "Block"]
    assert "ZeroDivisionError" in caplog.text
