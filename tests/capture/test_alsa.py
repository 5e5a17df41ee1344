"""A microphone through the real libasound, and what goes wrong with it."""

import array
import logging
import threading
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from edged.capture import alsa, cards, opening, pcm_reader, signal_faults
from edged.capture.alsa import AlsaSource
from edged.capture.level import StallDetector
from edged.capture.source import Source
from edged.config.settings import CaptureSettings
from edged.model.audio import Block, Overrun, SignalChange, SourceEvent, SourceLost, SourceOpened
from edged.model.errors import SourceMismatchError
from edged.model.message_ids import MessageId
from tests.capture.conftest import Microphone, Tape, joined, settings, speech_like

Running = Callable[[Source], Source]

NEAR = 16_000 * 60 // 1000
"""Positions after a hole are estimates: within 60 ms here, three periods."""


def test_what_is_captured_is_what_was_played_to_the_bit(microphone: Microphone, tape: Tape, running: Running) -> None:
    audio = speech_like(0.5)
    virtual = microphone(audio)
    source = running(AlsaSource(settings(), tape.put))
    tape.wait(Block, 20)
    assert source.stop(1)
    blocks = tape.all(Block)
    assert joined(blocks) == audio[: len(joined(blocks))]
    assert [block.position for block in blocks] == [320 * i for i in range(len(blocks))]
    assert tape.items[0] == SourceOpened("virtual", "16000 Hz, 1 channel(s), periods of 320 samples, buffer of 3200")
    assert tape.summary == ["SourceOpened"] + ["Block"] * len(blocks)
    assert source.counters.blocks == len(blocks)
    assert source.counters.peak > 8000
    assert virtual.played is not None


def test_a_block_carries_the_boot_time_of_its_first_sample(
    microphone: Microphone, tape: Tape, running: Running
) -> None:
    virtual = microphone(speech_like(0.2))
    running(AlsaSource(settings(), tape.put))
    tape.wait(Block, 15)
    assert virtual.played is not None
    started_s = virtual.played.started_s + time.clock_gettime(time.CLOCK_BOOTTIME) - time.monotonic()
    errors = [block.at_s - (started_s + block.position / 16_000) for block in tape.all(Block)]
    assert max(map(abs, errors)) < 0.02
    assert errors == pytest.approx(errors[:1] * len(errors), abs=0.02)


def test_one_channel_of_several_is_taken(microphone: Microphone, tape: Tape, running: Running) -> None:
    audio = speech_like(0.3, channels=3)
    microphone(audio, channels=3)
    running(AlsaSource(settings(channels=3, channel=2), tape.put))
    tape.wait(Block, 5)
    heard = joined(tape.all(Block))
    assert heard == memoryview(audio).cast("h")[2::3].tobytes()[: len(heard)]


def test_an_overrun_is_a_hole_in_the_positions_and_never_an_exception(
    microphone: Microphone, tape: Tape, running: Running
) -> None:
    audio = speech_like(3)
    virtual = microphone(audio)
    source = running(AlsaSource(settings(), tape.put))
    tape.wait(Block, 5)
    virtual.stall()  # so that something is lost
    time.sleep(0.15)
    virtual.overrun()
    overrun = tape.wait(Overrun)
    blocks = tape.wait_after(overrun, 3)
    before = tape.all(Block)[: -len(blocks)] if blocks else []
    assert blocks[0].position == before[-1].end + overrun.lost_samples
    assert source.counters.lost_samples == overrun.lost_samples
    assert source.counters.overruns == 1
    offset = audio.find(joined(blocks)) // 2
    assert offset > 0, "what comes after it is right to the bit"
    assert abs(blocks[0].position - offset) < NEAR
    assert 0.1 * 16_000 < overrun.lost_samples < 1 * 16_000
    assert not tape.all(SourceLost)


def test_a_reader_that_is_too_late_loses_audio_but_not_the_count(
    microphone: Microphone, tape: Tape, running: Running
) -> None:
    """pyalsaaudio 0.10 does not report this overrun; the stamps do."""
    audio = speech_like(3)
    microphone(audio)

    def deliver(item: SourceEvent) -> None:
        tape.put(item)
        if len(tape.items) == 6:
            time.sleep(0.4)

    running(AlsaSource(settings(buffer_ms=100), deliver))
    overrun = tape.wait(Overrun)
    blocks = tape.wait_after(overrun, 2)
    assert abs(blocks[0].position - audio.find(joined(blocks)) // 2) < NEAR
    assert overrun.lost_samples > 0.2 * 16_000


def test_a_hang_longer_than_waiting_explains_is_a_hole_too(
    microphone: Microphone, tape: Tape, running: Running
) -> None:
    audio = speech_like(3)
    virtual = microphone(audio)
    running(AlsaSource(settings(), tape.put))
    tape.wait(Block, 5)
    virtual.stall()
    time.sleep(0.4)
    virtual.resume()
    overrun = tape.wait(Overrun)
    blocks = tape.wait_after(overrun, 2)
    assert abs(blocks[0].position - audio.find(joined(blocks)) // 2) < NEAR


@pytest.mark.parametrize("fault", ["unplug", "eio"])
def test_a_device_that_goes_is_lost_once_and_back_within_2_s_of_its_return(
    microphone: Microphone, tape: Tape, running: Running, fault: str
) -> None:
    audio = speech_like(4)
    virtual = microphone(audio)
    source = running(AlsaSource(settings(), tape.put))
    tape.wait(Block, 5)
    getattr(virtual, fault)()
    lost = tape.wait(SourceLost)
    assert "virtual" in lost.reason
    assert source.counters.last_block_s is None
    virtual.replug()
    returned_s = time.monotonic()
    opened = tape.wait(SourceOpened, 2)
    assert time.monotonic() - returned_s < 2
    blocks = tape.wait_after(opened, 3)
    assert len(tape.all(SourceLost)) == 1
    # The time that it was away is a hole of the same length, and no overrun.
    assert tape.all(Overrun) == []
    assert abs(blocks[0].position - audio.find(joined(blocks)) // 2) < NEAR
    before = [block for block in tape.all(Block) if block not in tape.after(opened)]
    assert source.counters.lost_samples == blocks[0].position - before[-1].end > 0
    assert source.counters.openings == 2
    assert source.counters.overruns == 0


def test_a_device_that_opens_but_fails_at_each_read_is_one_outage(
    microphone: Microphone,
    tape: Tape,
    running: Running,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Opening it is no recovery, its first block is; and what is said at each opening is said once."""
    monkeypatch.setattr(alsa, "POLL_S", 0.01)
    openings: list[str] = []
    open_pcm = opening.open_pcm

    def opened(device: str, settings: CaptureSettings) -> tuple[Any, str]:
        done = open_pcm(device, settings)
        openings.append(device)
        return done

    monkeypatch.setattr(alsa, "open_pcm", opened)
    virtual = microphone(speech_like(4))
    source = running(AlsaSource(settings(volume=80), tape.put))
    tape.wait(Block, 5)
    virtual.eio()
    tape.wait(SourceLost)
    already = len(openings)
    until_s = time.monotonic() + 5
    while len(openings) < already + 5:
        assert time.monotonic() < until_s
        time.sleep(0.01)
    virtual.resume()
    tape.wait_after(tape.wait(SourceOpened, 2), 3)
    assert [type(item) for item in tape.items if not isinstance(item, Block)] == [
        SourceOpened,
        SourceLost,
        SourceOpened,
    ]
    assert source.counters.openings == 2
    assert len([record for record in caplog.records if record.levelno >= logging.WARNING]) == 1, "about the volume"


def test_a_long_stall_was_told_of_and_is_no_overrun_when_it_ends(
    microphone: Microphone, tape: Tape, running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its reader sat in a read all the time: nothing was too slow here."""
    monkeypatch.setattr(pcm_reader, "STALL_S", 0.3)
    audio = speech_like(3)
    virtual = microphone(audio)
    source = running(AlsaSource(settings(), tape.put))
    before = tape.wait(Block, 5)
    virtual.stall()
    time.sleep(0.5)
    heard = len(tape.all(Block))
    virtual.resume()
    after = tape.wait(Block, heard + 2)
    assert tape.summary == ["SourceOpened", *["Block"] * len(tape.all(Block))]
    assert abs(after.position - audio.find(after.pcm) // 2) < NEAR
    assert 0 < source.counters.lost_samples < after.position - before.end
    assert source.counters.overruns == 0


@pytest.mark.parametrize(("fault", "reason"), [("unplug", "is not there"), ("busy", "is held by another process")])
def test_a_device_that_is_absent_or_busy_at_start_is_waited_for(
    microphone: Microphone, tape: Tape, running: Running, fault: str, reason: str
) -> None:
    virtual = microphone(speech_like(0.5))
    getattr(virtual, fault)()
    source = AlsaSource(settings(), tape.put)
    missing = source.check()
    assert missing is not None
    assert reason in missing.reason
    running(source)
    assert reason in tape.wait(SourceLost).reason
    virtual.resume()
    tape.wait(Block, timeout_s=2)
    assert tape.summary[:3] == ["SourceLost", "SourceOpened", "Block"]
    assert tape.all(Block)[0].position == 0


def test_a_new_reason_during_an_outage_is_told(
    microphone: Microphone, tape: Tape, running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(alsa, "POLL_S", 0.05)
    virtual = microphone(speech_like(0.5))
    virtual.unplug()
    running(AlsaSource(settings(), tape.put))
    tape.wait(SourceLost)
    virtual.busy()
    time.sleep(0.3)
    virtual.resume()
    tape.wait(SourceOpened)
    assert [lost.message_id for lost in tape.all(SourceLost)] == [
        MessageId.MICROPHONE_ABSENT,
        MessageId.MICROPHONE_BUSY,
    ]


def test_silence_of_the_device_is_seen_by_another_thread_and_does_not_hold_up_the_stop(
    microphone: Microphone, tape: Tape, running: Running
) -> None:
    virtual = microphone(speech_like(0.5))
    source = running(AlsaSource(settings(), tape.put))
    tape.wait(Block, 3)
    virtual.stall()
    time.sleep(0.1)
    last_s = source.counters.last_block_s
    assert last_s is not None
    assert StallDetector().check(last_s + 2.1, source.counters.last_block_s) is not None
    assert not source.stop(0.1), "the thread hangs in libasound"
    heard = len(tape.all(Block))
    virtual.resume()
    assert source.stop(2)
    assert len(tape.all(Block)) == heard, "nothing is delivered after a stop"


def test_digital_silence_is_reported_and_its_end_too_and_the_mixer_is_left_alone(
    microphone: Microphone, tape: Tape, running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is opened again for it, and neither that nor the hole is news. Who muted it in its mixer has his reasons."""
    monkeypatch.setattr(signal_faults, "STUCK_S", 0.1)
    monkeypatch.setattr(signal_faults, "CURED_S", 0.0)
    virtual = microphone(speech_like(3))
    virtual.set_mixer(10, False)
    source = running(AlsaSource(settings(volume=80), tape.put))
    tape.wait(Block, 2)
    virtual.set_mixer(0, False)
    virtual.mute()
    assert tape.wait(SignalChange).fault
    time.sleep(0.8)
    virtual.resume()
    assert tape.wait(SignalChange, 2) == SignalChange("delivers sound again", False, MessageId.MICROPHONE_SILENT)
    assert source.counters.openings == 1
    assert virtual.mixer == (0, False)
    assert [type(item) for item in tape.items if not isinstance(item, Block)] == [
        SourceOpened,
        SignalChange,
        SignalChange,
    ]


def test_zeros_that_last_until_it_is_opened_again_are_cured_and_that_is_said(
    microphone: Microphone, tape: Tape, running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signal_faults, "STUCK_S", 0.2)
    audio = speech_like(5)
    virtual = microphone(audio)
    running(AlsaSource(settings(), tape.put))
    tape.wait(Block, 3)
    virtual.die()
    told = tape.wait(SignalChange, 2)
    assert told == SignalChange("delivers sound again after it was reopened", False, MessageId.MICROPHONE_SILENT)
    block = tape.wait_after(told, 2)[0]
    assert abs(block.position - audio.find(block.pcm) // 2) < NEAR
    assert not tape.all(SourceLost)


def test_a_read_that_hangs_is_left_behind_and_the_device_opened_again(
    microphone: Microphone, tape: Tape, running: Running
) -> None:
    audio = speech_like(5)
    virtual = microphone(audio)
    source = running(AlsaSource(settings(), tape.put))
    tape.wait(Block, 3)
    virtual.hang()
    time.sleep(0.3)
    heard, last_s = len(tape.all(Block)), source.counters.last_block_s
    source.reopen()
    block = tape.wait_after(tape.wait(SourceOpened, 2), 3)[0]
    assert abs(block.position - audio.find(block.pcm) // 2) < NEAR
    assert last_s is not None
    assert source.counters.last_block_s is not None
    assert source.counters.last_block_s > last_s
    virtual.resume()
    count = len(tape.all(Block))
    tape.wait(Block, count + 20)
    blocks = tape.all(Block)[heard:]
    assert all(a.end == b.position for a, b in pairwise(blocks)), "what the old read gives when it returns is dropped"


def test_overruns_without_end_are_a_device_that_fails_and_is_opened_again(
    microphone: Microphone, tape: Tape, running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(alsa, "MAX_OVERRUN_S", 0.2)
    monkeypatch.setattr(alsa, "POLL_S", 0.05)
    virtual = microphone(speech_like(5))
    running(AlsaSource(settings(), tape.put))
    tape.wait(Block, 3)
    virtual.overrun_forever()
    assert "delivers overruns without end and no audio; reopening it" in tape.wait(SourceLost).reason
    time.sleep(0.6)
    virtual.resume()
    tape.wait_after(tape.wait(SourceOpened, 2), 3)
    assert [type(item) for item in tape.items if not isinstance(item, Block)] == [
        SourceOpened,
        SourceLost,
        SourceOpened,
    ]


def test_two_channels_that_cancel_each_other_in_one_are_named(
    microphone: Microphone, tape: Tape, running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signal_faults, "STUCK_S", 0.2)
    one = array.array("h", speech_like(3))
    microphone(array.array("h", (side for value in one for side in (value, -value))).tobytes(), channels=2, card=True)
    running(AlsaSource(settings("plughw:CARD=Virtual"), tape.put))
    assert "digital silence" in tape.wait(SignalChange).text
    assert "cancel each other: set capture.channels = 2" in tape.wait(SignalChange, 2).text


def test_a_mute_that_outlasts_a_replug_is_told_of_again(
    microphone: Microphone, tape: Tape, running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And one that does not is not told to be over: what was said of it ended with the device."""
    monkeypatch.setattr(signal_faults, "STUCK_S", 0.1)
    monkeypatch.setattr(alsa, "POLL_S", 0.05)
    virtual = microphone(speech_like(5))
    running(AlsaSource(settings(), tape.put))
    virtual.mute()
    for number in (1, 2):
        assert tape.wait(SignalChange, number).fault
        virtual.unplug()
        tape.wait(SourceLost, number)
        virtual.mute() if number == 1 else virtual.replug()
    tape.wait_after(tape.wait(SourceOpened, 3), 10)
    assert [type(item) for item in tape.items if not isinstance(item, Block)] == [
        *(SourceOpened, SignalChange, SourceLost),
        *(SourceOpened, SignalChange, SourceLost),
        SourceOpened,
    ]


def test_libasounds_own_messages_go_to_the_debug_log_and_never_to_standard_error(
    microphone: Microphone, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    microphone(b"")
    for device in ("nonesuch", "plughw:CARD=Nonesuch", "default", "{broken"):
        with caplog.at_level(logging.DEBUG):
            AlsaSource(settings(device), print).check()
    assert capfd.readouterr() == ("", "")
    assert "Unknown PCM" in caplog.text


def test_rates_and_channels_that_it_cant_do_are_named_with_those_that_it_can(
    microphone: Microphone, tape: Tape, running: Running
) -> None:
    microphone(b"", rate=48_000, channels=2)
    source = AlsaSource(settings(), tape.put)
    with pytest.raises(SourceMismatchError, match=r"can't do 16000 Hz with 1 channel.*it can do 48000 Hz; 2 channels"):
        source.check()
    running(source)
    assert "48000 Hz; 2 channels" in tape.wait(SourceLost).reason
    assert opening.capabilities("virtual") == "48000 Hz; 2 channels"


def test_a_fault_of_our_own_is_logged_and_does_not_make_it_deaf(
    microphone: Microphone,
    tape: Tape,
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
        tape.put(item)

    running(AlsaSource(settings(), deliver))
    tape.wait(Block, 2)
    assert tape.summary[:4] == ["SourceOpened", "SourceLost", "SourceOpened", "Block"]
    assert "ZeroDivisionError" in caplog.text


def test_auto_stays_with_its_choice(tmp_path: Path, tape: Tape, monkeypatch: pytest.MonkeyPatch) -> None:
    names = iter(["plughw:CARD=First", "plughw:CARD=Second"])
    monkeypatch.setattr(cards, "choose_device", lambda: next(names))
    source = AlsaSource(settings("auto"), tape.put)
    for _ in range(2):
        missing = source.check()
        assert missing is not None
        assert "plughw:CARD=First" in missing.reason


@pytest.mark.parametrize(("rate", "channels", "format_"), [(16_000, 1, "S32_LE"), (48_000, 2, "S32_LE")])
def test_gain_invents_no_hole_however_the_reading_pauses(
    microphone: Microphone, tape: Tape, running: Running, rate: int, channels: int, format_: str
) -> None:
    """`route` in front of S32 at the card's own rate never says how much waits in it."""
    quiet = array.array("i", (value * 6000 for value in array.array("h", speech_like(7, rate=rate, channels=channels))))
    microphone(quiet.tobytes(), rate=rate, channels=channels, format=format_, card=True)
    source = running(AlsaSource(settings("plughw:CARD=Virtual", gain_db=20, buffer_ms=500), tape.put))
    for rest_s in (0.3, 0.03, 0.2, 0.04, 0.06, 0.0):
        source.set_read_interval(rest_s)
        time.sleep(0.7)
        time.sleep(0.25) if rest_s == 0.2 else None
    assert source.stop(1)
    assert not tape.all(Overrun)
    blocks = tape.all(Block)
    assert all(a.end == b.position for a, b in pairwise(blocks))
    assert blocks[-1].end > 16_000 * 4
    assert (source.counters.overruns, source.counters.lost_samples) == (0, 0)


def test_a_reader_that_is_slow_in_a_chain_that_buffers_loses_nothing(
    microphone: Microphone, tape: Tape, running: Running
) -> None:
    quiet = array.array("i", (value * 6000 for value in array.array("h", speech_like(5))))
    microphone(quiet.tobytes(), format="S32_LE", card=True)

    def deliver(item: SourceEvent) -> None:
        tape.put(item)
        if len(tape.items) % 20 == 6:
            time.sleep(0.35)

    running(AlsaSource(settings("plughw:CARD=Virtual", gain_db=20, buffer_ms=500), deliver))
    tape.wait(Block, 150, timeout_s=8)
    assert not tape.all(Overrun)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("pace", "cure"), [(24_000, "set another capture.rate"), (15_000, "48000"), (48_000, "rate = 48000")]
)
def test_a_card_that_does_not_keep_its_rate_is_measured_and_has_no_holes(
    microphone: Microphone, tape: Tape, running: Running, pace: int, cure: str
) -> None:
    microphone(speech_like(3), pace=pace, after="loop")
    source = running(AlsaSource(settings(buffer_ms=1000), tape.put))
    told = tape.wait(SignalChange, timeout_s=20)
    assert told.fault
    assert told.message_id is MessageId.MICROPHONE_RATE
    assert float(told.text.split()[1]) == pytest.approx(pace, rel=0.03)
    assert "instead of 16000" in told.text
    assert cure in told.text
    before = len(tape.all(Block))
    block = tape.wait(Block, before + 150, timeout_s=10)
    assert abs(time.clock_gettime(time.CLOCK_BOOTTIME) - block.at_s) < 0.3
    assert not tape.all(Overrun)
    assert source.counters.lost_samples == 0
