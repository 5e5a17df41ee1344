"""The virtual microphone, compiled if need be, and a log of the events that a source delivers."""

import random
import shutil
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest

from edged.capture.source import Source
from edged.config.settings import CaptureSettings
from edged.model.audio import Block, SourceEvent
from edged.testkit.virtual_microphone import VirtualMicrophone
from tests.patience import PATIENCE_S

ROOT = Path(__file__).parents[2]
C_SOURCE = ROOT / "script" / "virtual_microphone.c"

T = TypeVar("T", bound=SourceEvent)


@pytest.fixture(scope="session")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The compiled plug-in: that of script/setup if it is up to date, otherwise a new one."""
    made = ROOT / ".cache" / "libasound_module_pcm_edged.so"
    if made.exists() and made.stat().st_mtime >= C_SOURCE.stat().st_mtime:
        return made
    if shutil.which("gcc") is None:
        pytest.skip("no gcc: the virtual microphone can't be compiled")
    made = tmp_path_factory.mktemp("plugin") / made.name
    flags = ["-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-DPIC"]
    command = ["gcc", *flags, "-o", str(made), str(C_SOURCE), "-lasound"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if "asoundlib.h: No such file" in result.stderr:
        pytest.skip("no libasound2-dev: the virtual microphone can't be compiled")
    assert result.returncode == 0, result.stderr
    return made


Microphone = Callable[..., VirtualMicrophone]
Running = Callable[[Source], Source]

NEAR = 16_000 * 60 // 1000
"""Samples by which a position after a hole may be wrong: 60 ms, three periods."""


@pytest.fixture
def microphone(tmp_path: Path, plugin: Path, monkeypatch: pytest.MonkeyPatch) -> Microphone:
    """Return a function that makes a virtual microphone, which libasound finds in this process."""

    def make(audio: bytes, **options: object) -> VirtualMicrophone:
        raw = tmp_path / "audio.raw"
        raw.write_bytes(audio)
        made = VirtualMicrophone(tmp_path, plugin, raw, **options)  # type: ignore[arg-type]
        for name, value in made.environment.items():
            monkeypatch.setenv(name, value)
        return made

    return make


def speech_like(seconds: float, *, rate: int = 16_000, channels: int = 1, seed: int = 1) -> bytes:
    """Return random s16le samples: no two parts are equal, so a block shows which part it is."""
    generator = random.Random(seed)
    count = int(seconds * rate) * channels
    return struct.pack(f"<{count}h", *(generator.randint(-9000, 9000) for _ in range(count)))


def settings(device: str = "virtual", **options: object) -> CaptureSettings:
    """Return settings with short periods, for short tests."""
    return CaptureSettings(device=device, **({"period_ms": 20, "buffer_ms": 200} | options))  # type: ignore[arg-type]


class EventLog:
    """The events that a source delivered, with methods that wait for them."""

    def __init__(self) -> None:
        self.items: list[SourceEvent] = []
        self._changed = threading.Condition()

    def put(self, item: SourceEvent) -> None:
        with self._changed:
            self.items.append(item)
            self._changed.notify_all()

    def all(self, kind: type[T]) -> list[T]:
        with self._changed:
            return [item for item in self.items if isinstance(item, kind)]

    def wait(self, kind: type[T], count: int = 1, timeout_s: float = PATIENCE_S) -> T:
        """Return the `count`-th event of a kind; fail if it does not come."""
        with self._changed:
            found: list[T] = []

            def there() -> bool:
                found[:] = [item for item in self.items if isinstance(item, kind)]
                return len(found) >= count

            assert self._changed.wait_for(there, timeout_s), f"no {kind.__name__} {count} in {self.summary}"
            return found[count - 1]

    def after(self, mark: SourceEvent) -> list[Block]:
        """Return the blocks after an event."""
        with self._changed:
            index = next(i for i, item in enumerate(self.items) if item is mark)
            return [item for item in self.items[index:] if isinstance(item, Block)]

    def wait_after(self, mark: SourceEvent, count: int, timeout_s: float = PATIENCE_S) -> list[Block]:
        """Return the blocks after an event, at least `count`."""
        end = time.monotonic() + timeout_s
        while len(blocks := self.after(mark)) < count:
            assert time.monotonic() < end, self.summary
            time.sleep(0.01)
        return blocks

    @property
    def summary(self) -> list[str]:
        return [type(item).__name__ for item in self.items]


@pytest.fixture
def events() -> EventLog:
    return EventLog()


@pytest.fixture
def running() -> Iterator[Callable[[Source], Source]]:
    """Return a function that starts sources, which stop at the end of the test."""
    started: list[Source] = []

    def start(source: Source) -> Source:
        source.start()
        started.append(source)
        return source

    yield start
    for source in started:
        assert source.stop(5)


def joined(blocks: list[Block]) -> bytes:
    """Return the audio of blocks."""
    return b"".join(block.pcm for block in blocks)
