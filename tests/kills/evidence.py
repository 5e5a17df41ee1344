"""Evidence of the wire, kept to explain a lost word: each connection's audio, and the server's messages."""

import json
import time
from pathlib import Path

from edged.model.ranges import Range
from edged.recognizer.engine import Engine, Recognition
from edged.testkit.instrumented_server import InstrumentedServer
from edged.testkit.script import Script, ScriptEngineFactory


class _Kept:
    """An engine that writes down what it hears."""

    def __init__(self, engine: Engine, file: Path) -> None:
        self._engine = engine
        self._file = file
        self.stable_after_s = engine.stable_after_s

    def feed(self, pcm: bytes) -> Recognition:
        """Keep the audio, and feed the engine."""
        with self._file.open("ab") as file:
            file.write(pcm)
        return self._engine.feed(pcm)

    def flush(self) -> Recognition:
        """Flush the wrapped engine."""
        return self._engine.flush()

    def commit(self, until_s: float) -> None:
        """Pass `until_s` on to the wrapped engine."""
        self._engine.commit(until_s)

    def close(self) -> None:
        """Close the wrapped engine."""
        self._engine.close()


class Evidence(ScriptEngineFactory):
    """A script's engines; `directory`/wire gets a raw file for each, named by number and time."""

    def __init__(self, script: Script, directory: Path) -> None:
        super().__init__(script)
        self._directory = directory
        self._wire = directory / "wire"
        self._wire.mkdir()
        self._opened = 0

    def open(self, rate: int) -> Engine:
        """Open an engine whose audio is kept in a file of its own."""
        self._opened += 1
        return _Kept(super().open(rate), self._wire / f"{self._opened:04}-{time.strftime('%H%M%S')}.raw")

    def keep(self, server: InstrumentedServer, heard: list[Range]) -> None:
        """Keep the messages of each connection, and the ranges of the room that were heard."""
        zero_s = time.time() - time.monotonic()
        said = [
            {
                "request": account.request_id,
                "opened": time.strftime("%H:%M:%S", time.localtime(zero_s + account.opened_at_s)),
                "samples": account.samples,
                "close": [account.close_code, account.close_reason],
                "said": [(round(at_s - account.opened_at_s, 2), text) for at_s, text in account.sent],
            }
            for account in server.connection_logs
        ]
        (self._wire / "said.json").write_text(json.dumps(said))
        (self._directory / "heard.json").write_text(json.dumps(heard))
