"""What a daemon says of the audio itself: what was lost on its way, and a volume that costs words."""

import signal
from collections.abc import Callable
from itertools import count
from typing import Literal

import pytest
from msgspec.structs import replace

from edged import daemon
from edged.audio import Block, Ended, Opened
from edged.capture.level import Loudness, dbfs
from edged.daemon import Daemon
from edged.errors import Exit
from edged.recognizer.server import Server
from edged.settings import Settings
from tests.test_daemon import BLOCK, played, send, with_server
from tests.test_daemon import settings as settings  # a fixture
from tests.test_daemon import signals as signals  # another


def test_audio_that_a_loop_that_stood_still_has_cost_is_told_and_counted(
    settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The hand-over holds ten seconds, here of silence: five more are lost, the oldest."""
    blocks = [Block(1600 * number, bytes(3200), 100 + number / 10) for number in range(150)]
    played(monkeypatch, Opened("plughw:CARD=A", "as asked"), *blocks, Ended())

    async def act(server: Server) -> None:
        run = Daemon(settings(server.url), None)
        assert await run.run() is Exit.OK
        assert (run.summary.dropped_s, run.summary.captured_s, run.summary.peak_dbfs) == (5.0, 10.0, dbfs(0))

    with_server(act)
    [said] = [record.message for record in caplog.records if "stood still" in record.message]
    assert said.startswith("5.0 s of audio lost: ")


@pytest.mark.parametrize(("source", "told"), [("alsa", True), ("wav", False)])
def test_a_microphone_that_clips_is_told_of_and_a_recording_is_as_it_is(
    source: Literal["alsa", "wav"],
    told: bool,
    settings: Callable[..., Settings],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(daemon, "WATCH_S", 0.001)
    hears, clipped = Loudness.check, count(step=100)
    monkeypatch.setattr(
        Loudness, "check", lambda loudness, *_, is_open: hears(loudness, 32767, next(clipped), is_open=is_open)
    )
    played(monkeypatch, Opened("plughw:CARD=A", "as asked"), Block(0, BLOCK, 100.0))
    whole = settings()
    waiting = replace(whole, capture=replace(whole.capture, source=source))

    async def act(_: Server) -> None:
        sent = send(signal.SIGTERM, after_s=0.3)
        await Daemon(waiting, None).run()
        sent.join()

    with_server(act)
    assert [record.message for record in caplog.records if "clips" in record.message] == [
        "microphone: clips: lower capture.volume, or move it away from who speaks"
    ] * told
