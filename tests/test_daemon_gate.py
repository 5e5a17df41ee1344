"""What a daemon tells its gate: what the recogniser made of the audio."""

from collections.abc import Callable
from pathlib import Path

import pytest

from edged.daemon import Daemon
from edged.errors import Exit
from edged.hearing import Hearing
from edged.recognizer.server import Server
from edged.settings import Settings
from edged.stream.account import Released
from edged.stream.effects import LaneEffect
from edged.stream.scribe import Uttered
from tests.test_daemon import fast as fast  # a fixture
from tests.test_daemon import settings as settings  # another
from tests.test_daemon import signals as signals  # another
from tests.test_daemon import with_server, words


def test_the_gate_learns_of_every_word_and_of_silence(
    settings: Callable[..., Settings], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That is its evidence against noise: audio that was answered, and in which there was no word."""
    learnt: list[LaneEffect] = []
    monkeypatch.setattr(Hearing, "learn", lambda self, effect: learnt.append(effect))

    async def act(server: Server) -> None:
        assert await Daemon(settings(server.url), None).run() is Exit.OK

    with_server(act)
    uttered = [word.word for effect in learnt if isinstance(effect, Uttered) for word in effect.utterance.words]
    assert uttered == words(tmp_path) == ["one", "two", "three"]
    assert any(isinstance(effect, Released) and effect.fate == "silence" for effect in learnt)


def test_its_lateness_is_in_the_summary(settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Hearing, "late_s", 2.5)

    async def act(server: Server) -> None:
        run = Daemon(settings(server.url), None)
        assert await run.run() is Exit.OK
        assert run.summary.judged_late_s == 2.5
        run._hearing.given_up = 2
        assert "2.5 s judged late, second opinion given up 2 times" in run.summary.line()

    with_server(act)
