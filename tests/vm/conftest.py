"""One machine for all tests of a file, with a recogniser that knows what is said in its room."""

import asyncio
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from edged.testkit.compose import compose, sentences
from edged.testkit.instrumented_server import InstrumentedServer
from edged.testkit.script import Script, ScriptEngineFactory
from tests.end_to_end.stage import Setting
from tests.kills.network import Network
from tests.vm import disk
from tests.vm.machine import Machine
from tests.vm.service import SPEAKER, Service

SENTENCES = 36
"""Sentences of six words, three seconds each: more than all tests together need."""

SILENCE_S = 1.2
"""Between them: it ends an utterance, and the gate lets most of it through."""


class House:
    """A machine, the speech in its room, the recogniser, and the network between them."""

    def __init__(self, machine: Machine, script: Script, server: InstrumentedServer, network: Network) -> None:
        self.machine = machine
        self.service = Service(machine)
        self.script = script
        self.server = server
        self.network = network
        self._next = 0

    def sentence(self, number: int = 1) -> tuple[int, int, list[str]]:
        """The next so many that nobody has spoken yet: from and to which sample, and their words."""
        first, self._next = self._next, self._next + number
        words = self.script.words[first * WORDS : self._next * WORDS]
        around = self.script.rate // 2
        return words[0].start - around, words[-1].end + around, [word.text for word in words]

    async def begin(self, *, card: bool = True, clock: str = "utc", **settings: Setting) -> None:
        """Switched on and reachable, and edged begins anew with these settings: `section__key=value`."""
        if not self.machine.on:
            await self.machine.boot(clock=clock)
        self.network.turn("fine")
        await self.service.begin_anew()
        if card:
            await self.machine.plug_card()
        named = {name.replace("__", "."): value for name, value in settings.items()}
        await self.service.configure(self.network.port, named)
        if card:
            await self.service.shows("capturing")

    async def says(self, number: int = 1, device: str = SPEAKER) -> list[str]:
        """Speak the next sentences to their end; return their words."""
        start, end, words = self.sentence(number)
        await self.service.talk(start, end, device)
        await self.service.told(end)
        return words

    async def check(self, *words: str) -> None:
        """Assert that these words are written, each once, and nothing else."""
        await self.service.comes(words)
        assert sorted(await self.service.words()) == sorted(words), self.service.log


WORDS = 6


@pytest.fixture(scope="session")
def made() -> disk.Disk:
    """Build or find the disk that machines boot from."""
    if reason := disk.needed():
        pytest.skip(reason)
    return disk.disk()


@pytest.fixture(scope="module")
def loop() -> Iterator[asyncio.Runner]:
    """Machines belong to one event loop from boot to end."""
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture(scope="module")
def house(loop: asyncio.Runner, made: disk.Disk, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """Off at first."""
    script = compose(sentences(SENTENCES, WORDS), lead_s=1.0, silence_s=SILENCE_S, tail_s=1.0)
    recording = tmp_path_factory.mktemp("room") / "speech.raw"
    recording.write_bytes(script.pcm)
    stack = AsyncExitStack()
    house = loop.run(_open(stack, made, recording, script))
    yield house
    loop.run(stack.aclose())


async def _open(stack: AsyncExitStack, made: disk.Disk, recording: Path, script: Script) -> House:
    machine = await stack.enter_async_context(Machine(made, recording))
    server = await stack.enter_async_context(InstrumentedServer(ScriptEngineFactory(script)))
    network = await stack.enter_async_context(Network(server.port))
    return House(machine, script, server, network)
