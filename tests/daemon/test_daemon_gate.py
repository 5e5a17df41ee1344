"""What a daemon tells its gate: what the recogniser made of the audio."""

from collections.abc import Callable
from pathlib import Path

import pytest

from edged.config.settings import Settings
from edged.daemon import daemon
from edged.daemon.daemon import Daemon
from edged.gate.controller import GateController
from edged.model.errors import ExitStatus
from edged.stream.events import SenderEvent
from edged.stream.pending_audio import AudioReleased
from edged.stream.transcript_assembler import UtteranceReady
from edged.testkit.instrumented_server import InstrumentedServer
from tests.daemon.test_daemon import fast as fast  # a fixture
from tests.daemon.test_daemon import settings as settings  # another
from tests.daemon.test_daemon import signals as signals  # another
from tests.daemon.test_daemon import with_server, words


def test_the_gate_learns_of_every_word_and_of_silence(
    settings: Callable[..., Settings], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That is its evidence against noise: audio that was answered, and in which there was no word."""
    learnt: list[SenderEvent] = []
    monkeypatch.setattr(daemon, "teach", lambda gate, event: learnt.append(event))

    async def act(server: InstrumentedServer) -> None:
        assert await Daemon(settings(server.url), None).run() is ExitStatus.OK

    with_server(act)
    uttered = [word.word for effect in learnt if isinstance(effect, UtteranceReady) for word in effect.utterance.words]
    assert uttered == words(tmp_path) == ["one", "two", "three"]
    assert any(isinstance(effect, AudioReleased) and effect.outcome == "silence" for effect in learnt)


def test_its_lateness_is_in_the_summary(settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(GateController, "late_s", 2.5)

    async def act(server: InstrumentedServer) -> None:
        run = Daemon(settings(server.url), None)
        assert await run.run() is ExitStatus.OK
        assert run.summary.judged_late_s == 2.5
        run._gate.suspensions = 2
        assert "2.5 s judged late, second opinion given up 2 times" in run.summary.line()

    with_server(act)
