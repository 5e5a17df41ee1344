"""The daemon reports the recogniser's results to its gate."""

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
from edged.testkit.compose import place
from edged.testkit.instrumented_server import InstrumentedServer
from tests.daemon.test_daemon import fast as fast  # a fixture
from tests.daemon.test_daemon import settings as settings  # another
from tests.daemon.test_daemon import signals as signals  # another
from tests.daemon.test_daemon import with_server, words

WITH_A_NOISE = place([("one", 0.5, 0.8), ("two", 0.9, 1.2), ("three", 1.3, 1.6), ("noise", 4.0, 4.3)], 6.0)
"""`SCRIPT`, and later a sound that passes the gate and that the server's script does not know as a word.

The sound is a segment of its own. The pause behind a word would not do: when a busy machine delays the server's final,
that final covers the pause too, and all of it is released as recorded.
"""


@pytest.mark.slow
def test_the_gate_learns_of_every_word_and_of_silence(
    settings: Callable[..., Settings], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The gate's evidence against noise is acknowledged audio without a word in it."""
    WITH_A_NOISE.save(tmp_path / "speech.wav", tmp_path / "speech.json")
    learnt: list[SenderEvent] = []
    monkeypatch.setattr(daemon, "teach", lambda gate, event: learnt.append(event))

    async def act(server: InstrumentedServer) -> None:
        assert await Daemon(settings(server.url), None).run() is ExitStatus.OK

    with_server(act)
    uttered = [word.word for event in learnt if isinstance(event, UtteranceReady) for word in event.utterance.words]
    assert uttered == words(tmp_path) == ["one", "two", "three"]
    assert any(isinstance(event, AudioReleased) and event.outcome == "silence" for event in learnt)


def test_the_gates_lateness_is_in_the_summary(
    settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(GateController, "late_s", 2.5)

    async def act(server: InstrumentedServer) -> None:
        run = Daemon(settings(server.url), None)
        assert await run.run() is ExitStatus.OK
        assert run.summary.judged_late_s == 2.5
        run._gate.suspensions = 2
        assert "2.5 s judged late, second opinion given up 2 times" in run.summary.line()

    with_server(act)
