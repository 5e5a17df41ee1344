"""Outages of a microphone: unplugged, busy or failing, and back again."""

import logging
import time
from typing import Any

import pytest

from edged.capture import alsa, opening
from edged.capture.alsa import AlsaSource
from edged.config.settings import CaptureSettings
from edged.model.audio import Block, Overrun, SourceLost, SourceOpened
from edged.model.message_ids import MessageId
from tests.capture.conftest import NEAR, EventLog, Microphone, Running, joined, settings, speech_like


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["unplug", "fail_reads"])
def test_a_device_that_disappears_is_lost_once_and_delivers_within_2_s_of_its_return(
    microphone: Microphone, events: EventLog, running: Running, fault: str
) -> None:
    audio = speech_like(4)
    virtual = microphone(audio)
    source = running(AlsaSource(settings(), events.put))
    events.wait(Block, 5)
    getattr(virtual, fault)()
    lost = events.wait(SourceLost)
    assert "virtual" in lost.reason
    assert source.counters.last_block_s is None
    virtual.replug()
    returned_s = time.monotonic()
    opened = events.wait(SourceOpened, 2)
    assert time.monotonic() - returned_s < 2
    blocks = events.wait_after(opened, 3)
    assert len(events.all(SourceLost)) == 1
    # The outage is a hole of the same length, and no overrun.
    assert events.all(Overrun) == []
    assert abs(blocks[0].position - audio.find(joined(blocks)) // 2) < NEAR
    before = [block for block in events.all(Block) if block not in events.after(opened)]
    assert source.counters.lost_samples == blocks[0].position - before[-1].end > 0
    assert source.counters.openings == 2
    assert source.counters.overruns == 0


@pytest.mark.slow
def test_a_device_that_opens_but_fails_at_each_read_is_one_outage(
    microphone: Microphone,
    events: EventLog,
    running: Running,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Not the opening ends an outage, but the first block; warnings of each opening appear once."""
    monkeypatch.setattr(alsa, "POLL_S", 0.01)
    openings: list[str] = []
    open_pcm = opening.open_pcm

    def opened(device: str, settings: CaptureSettings) -> tuple[Any, str]:
        done = open_pcm(device, settings)
        openings.append(device)
        return done

    monkeypatch.setattr(alsa, "open_pcm", opened)
    virtual = microphone(speech_like(4))
    source = running(AlsaSource(settings(volume=80), events.put))
    events.wait(Block, 5)
    virtual.fail_reads()
    events.wait(SourceLost)
    already = len(openings)
    until_s = time.monotonic() + 5
    while len(openings) < already + 5:
        assert time.monotonic() < until_s
        time.sleep(0.01)
    virtual.resume()
    events.wait_after(events.wait(SourceOpened, 2), 3)
    assert [type(item) for item in events.items if not isinstance(item, Block)] == [
        SourceOpened,
        SourceLost,
        SourceOpened,
    ]
    assert source.counters.openings == 2
    assert len([record for record in caplog.records if record.levelno >= logging.WARNING]) == 1, "about the volume"


@pytest.mark.slow
@pytest.mark.parametrize(("fault", "reason"), [("unplug", "is not there"), ("hold_open", "is held by another process")])
def test_a_device_that_is_absent_or_busy_at_start_is_used_when_it_appears(
    microphone: Microphone, events: EventLog, running: Running, fault: str, reason: str
) -> None:
    virtual = microphone(speech_like(0.5))
    getattr(virtual, fault)()
    source = AlsaSource(settings(), events.put)
    missing = source.check()
    assert missing is not None
    assert reason in missing.reason
    running(source)
    assert reason in events.wait(SourceLost).reason
    virtual.resume()
    events.wait(Block, timeout_s=2)
    assert events.summary[:3] == ["SourceLost", "SourceOpened", "Block"]
    assert events.all(Block)[0].position == 0


def test_a_new_reason_during_an_outage_is_reported(
    microphone: Microphone, events: EventLog, running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(alsa, "POLL_S", 0.05)
    virtual = microphone(speech_like(0.5))
    virtual.unplug()
    running(AlsaSource(settings(), events.put))
    events.wait(SourceLost)
    virtual.hold_open()
    time.sleep(0.3)
    virtual.resume()
    events.wait(SourceOpened)
    assert [lost.message_id for lost in events.all(SourceLost)] == [
        MessageId.MICROPHONE_ABSENT,
        MessageId.MICROPHONE_BUSY,
    ]


@pytest.mark.slow
def test_a_device_that_only_overruns_is_lost_and_reopened(
    microphone: Microphone, events: EventLog, running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(alsa, "MAX_OVERRUN_S", 0.2)
    monkeypatch.setattr(alsa, "POLL_S", 0.05)
    virtual = microphone(speech_like(5))
    running(AlsaSource(settings(), events.put))
    events.wait(Block, 3)
    virtual.overrun_forever()
    assert "delivers overruns without end and no audio; reopening it" in events.wait(SourceLost).reason
    time.sleep(0.6)
    virtual.resume()
    events.wait_after(events.wait(SourceOpened, 2), 3)
    assert [type(item) for item in events.items if not isinstance(item, Block)] == [
        SourceOpened,
        SourceLost,
        SourceOpened,
    ]
