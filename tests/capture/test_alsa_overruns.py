"""Missing audio of a microphone: overruns, late readers, and chains of plug-ins that only seem to lose some."""

import array
import time
from itertools import pairwise

import pytest

from edged.capture.alsa import AlsaSource
from edged.model.audio import Block, Overrun, SignalChange, SourceEvent, SourceLost
from edged.model.message_ids import MessageId
from tests.capture.conftest import NEAR, EventLog, Microphone, Running, joined, settings, speech_like


def test_an_overrun_is_a_hole_in_the_positions_and_never_an_exception(
    microphone: Microphone, events: EventLog, running: Running
) -> None:
    audio = speech_like(3)
    virtual = microphone(audio)
    source = running(AlsaSource(settings(), events.put))
    events.wait(Block, 5)
    virtual.stall()  # so that something is lost
    time.sleep(0.15)
    virtual.overrun()
    overrun = events.wait(Overrun)
    blocks = events.wait_after(overrun, 3)
    before = events.all(Block)[: -len(blocks)] if blocks else []
    assert blocks[0].position == before[-1].end + overrun.lost_samples
    assert source.counters.lost_samples == overrun.lost_samples
    assert source.counters.overruns == 1
    offset = audio.find(joined(blocks)) // 2
    assert offset > 0, "audio after the hole is right to the bit"
    assert abs(blocks[0].position - offset) < NEAR
    assert 0.1 * 16_000 < overrun.lost_samples < 1 * 16_000
    assert not events.all(SourceLost)


@pytest.mark.slow
def test_a_reader_that_is_too_late_loses_audio_but_not_the_count(
    microphone: Microphone, events: EventLog, running: Running
) -> None:
    """pyalsaaudio 0.10 does not report this overrun; the stamps do."""
    audio = speech_like(3)
    microphone(audio)

    def deliver(item: SourceEvent) -> None:
        events.put(item)
        if len(events.items) == 6:
            time.sleep(0.4)

    running(AlsaSource(settings(buffer_ms=100), deliver))
    overrun = events.wait(Overrun)
    blocks = events.wait_after(overrun, 2)
    assert abs(blocks[0].position - audio.find(joined(blocks)) // 2) < NEAR
    assert overrun.lost_samples > 0.2 * 16_000


@pytest.mark.slow
def test_a_hang_longer_than_full_buffers_explain_is_a_hole(
    microphone: Microphone, events: EventLog, running: Running
) -> None:
    audio = speech_like(3)
    virtual = microphone(audio)
    running(AlsaSource(settings(), events.put))
    events.wait(Block, 5)
    virtual.stall()
    time.sleep(0.4)
    virtual.resume()
    overrun = events.wait(Overrun)
    blocks = events.wait_after(overrun, 2)
    assert abs(blocks[0].position - audio.find(joined(blocks)) // 2) < NEAR


@pytest.mark.slow
@pytest.mark.parametrize(("rate", "channels", "format_"), [(16_000, 1, "S32_LE"), (48_000, 2, "S32_LE")])
def test_gain_invents_no_hole_whatever_the_read_interval(
    microphone: Microphone, events: EventLog, running: Running, rate: int, channels: int, format_: str
) -> None:
    """A `route` in front of S32 at the card's own rate never reports how many frames are available."""
    quiet = array.array("i", (value * 6000 for value in array.array("h", speech_like(7, rate=rate, channels=channels))))
    microphone(quiet.tobytes(), rate=rate, channels=channels, format=format_, card=True)
    source = running(AlsaSource(settings("plughw:CARD=Virtual", gain_db=20, buffer_ms=500), events.put))
    for rest_s in (0.3, 0.03, 0.2, 0.04, 0.06, 0.0):
        source.set_read_interval(rest_s)
        time.sleep(0.7)
        time.sleep(0.25) if rest_s == 0.2 else None
    assert source.stop(1)
    assert not events.all(Overrun)
    blocks = events.all(Block)
    assert all(a.end == b.position for a, b in pairwise(blocks))
    assert blocks[-1].end > 16_000 * 4
    assert (source.counters.overruns, source.counters.lost_samples) == (0, 0)


@pytest.mark.slow
def test_a_slow_reader_of_a_chain_that_buffers_loses_nothing(
    microphone: Microphone, events: EventLog, running: Running
) -> None:
    quiet = array.array("i", (value * 6000 for value in array.array("h", speech_like(5))))
    microphone(quiet.tobytes(), format="S32_LE", card=True)

    def deliver(item: SourceEvent) -> None:
        events.put(item)
        if len(events.items) % 20 == 6:
            time.sleep(0.35)

    running(AlsaSource(settings("plughw:CARD=Virtual", gain_db=20, buffer_ms=500), deliver))
    events.wait(Block, 150, timeout_s=8)
    assert not events.all(Overrun)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("pace", "cure"), [(24_000, "set another capture.rate"), (15_000, "48000"), (48_000, "rate = 48000")]
)
def test_a_card_with_a_wrong_rate_is_measured_and_has_no_holes(
    microphone: Microphone, events: EventLog, running: Running, pace: int, cure: str
) -> None:
    microphone(speech_like(3), pace=pace, after="loop")
    source = running(AlsaSource(settings(buffer_ms=1000), events.put))
    change = events.wait(SignalChange, timeout_s=20)
    assert change.fault
    assert change.message_id is MessageId.MICROPHONE_RATE
    assert float(change.text.split()[1]) == pytest.approx(pace, rel=0.03)
    assert "instead of 16000" in change.text
    assert cure in change.text
    before = len(events.all(Block))
    block = events.wait(Block, before + 150, timeout_s=10)
    assert abs(time.clock_gettime(time.CLOCK_BOOTTIME) - block.at_s) < 0.3
    assert not events.all(Overrun)
    assert source.counters.lost_samples == 0
