"""Records of each run are of its own device, dated by its own clock; and no id comes twice."""

from typing import Any

import pytest

from edged.config.settings import CaptureSettings, Settings
from edged.daemon import run_records as module
from edged.daemon.run_records import RunRecordBuilders
from edged.model.utterance import PlacedWord, Utterance
from edged.service.clock import timestamp
from edged.spool.capture_time import Anchor, Boot, PositionClock
from edged.spool.model import RunBacklog
from tests.spool.some import RATE, run_of

WALL_OFFSET_S = 1_700_000_000.0
NOW_S = 500.0


@pytest.fixture
def builders(monkeypatch: pytest.MonkeyPatch) -> RunRecordBuilders:
    """Make the builders of a run that began at 100 s of this boot, whose clock is set."""
    monkeypatch.setattr(module, "wall_offset_s", lambda: WALL_OFFSET_S)
    monkeypatch.setattr(module, "boottime_s", lambda: NOW_S)
    settings = Settings(capture=CaptureSettings(channel=1, channels=2))
    return RunRecordBuilders(settings, "run-2", PositionClock([Anchor(0, 100.0)], RATE), lambda: "synchronized")


def earlier(boot: Boot | None) -> RunBacklog:
    """Make the state of a run that began at 10 s of its own boot."""
    return RunBacklog(run_of(), (), (Anchor(0, 10.0),), boot, 0.0)


UTTERANCE = Utterance(0, RATE, (PlacedWord(0, RATE, "ah", "Ah.", 0.9, None),), "request", False)
"""The first second of a run."""


@pytest.mark.parametrize(
    ("boot", "here", "expected"),
    [
        pytest.param(
            None,
            True,
            {"start": timestamp(10 + WALL_OFFSET_S), "clock": "synchronized", "delayed_s": NOW_S - 11},
            id="this boot",
        ),
        pytest.param(
            Boot("boot-1", WALL_OFFSET_S - 3600, True),
            False,
            {"start": timestamp(10 + WALL_OFFSET_S - 3600), "clock": "synchronized", "delayed_s": NOW_S + 3600 - 11},
            id="an hour before it",
        ),
        pytest.param(
            Boot("boot-1", 5.0, False), False, {"start": timestamp(15), "clock": "unsynchronized"}, id="a clock not set"
        ),
        pytest.param(None, False, {"clock": "unknown"}, id="nobody knows"),
    ],
)
def test_an_earlier_run_is_dated_by_the_clock_of_its_boot(
    builders: RunRecordBuilders, boot: Boot | None, here: bool, expected: dict[str, Any]
) -> None:
    builders.add(earlier(boot), here=here)
    record = builders.build("run-1", UTTERANCE)
    assert {name: getattr(record, name) for name in expected} == expected
    assert (record.run, record.device, record.channel) == ("run-1", "plughw:CARD=Device", 0)


def test_the_living_run_is_of_the_device_that_is_open_now(builders: RunRecordBuilders) -> None:
    assert builders.build("run-2", UTTERANCE).device == "auto"
    builders.set_device("plughw:CARD=B")
    record = builders.build("run-2", UTTERANCE)
    assert (record.device, record.channel, record.start) == ("plughw:CARD=B", 1, timestamp(100 + WALL_OFFSET_S))


def test_ids_are_of_this_process_whatever_run_the_words_are_of(builders: RunRecordBuilders) -> None:
    builders.add(earlier(None), here=True)
    ids = [builders.build(run, UTTERANCE).id for run in ("run-2", "run-1", "run-2")]
    assert ids == ["run-2-1", "run-2-2", "run-2-3"]


def test_samples_of_an_unknown_run_are_a_fault(builders: RunRecordBuilders) -> None:
    assert builders.seconds("run-2", RATE // 2) == 0.5
    with pytest.raises(KeyError):
        builders.seconds("run-1", RATE)
