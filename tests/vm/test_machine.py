"""edged on a machine of its own: the kernel's own sound card, clock, memory limit, suspend and power button."""

import asyncio
import re
import time
from collections.abc import Callable, Coroutine

import pytest

from edged.model.record import Record
from tests.end_to_end.stage import wall_s
from tests.vm.conftest import House
from tests.vm.machine import RATE
from tests.vm.service import CARD, SPEAKER

pytestmark = pytest.mark.slow

Story = Callable[[House], Coroutine[None, None, None]]

WRONG_CLOCK = "2024-01-01T00:00:00"
"""The clock of a machine without a battery, before the network has set it."""

TIMES_WITHIN_S = 5.0
"""Tolerance for times: an emulated processor reports the room 1.6 s late if busy.

A wrong date is off by 20 s or by years.
"""


def test_a_card_that_comes_after_the_boot_is_used(house: House, loop: asyncio.Runner) -> None:
    """The machine boots without the sound card and its driver."""

    async def story() -> None:
        await house.begin(card=False)
        await house.service.shows("microphone absent for")
        await house.machine.plug_card()
        await house.service.shows("capturing plughw:CARD=Loopback")
        await house.check(*await house.says())

    loop.run(story())


def test_a_card_that_is_pulled_while_somebody_speaks_costs_no_other_word(house: House, loop: asyncio.Runner) -> None:
    """The words before are written, and those from its return on; its status says what it waits for."""

    async def story() -> None:
        await house.begin()
        start, end, words = house.sentence(2)
        await house.service.talk(start, end)
        await house.service.told(start + (end - start) // 2)
        before = [word.text for word in house.script.words if word.text in words and word.end <= house.machine.at]
        await house.machine.pull_card()
        await house.service.shows("microphone absent for")
        await house.machine.push_card()
        await house.service.shows("capturing")
        after = await house.says()
        await house.service.comes(after)
        written = await house.service.words()
        assert len(before) >= 3
        assert set(before) <= set(written)
        assert written == [*words[: len(written) - len(after)], *after], "nothing twice, and in order"

    loop.run(story())


def test_the_memory_limit_holds_in_an_outage(house: House, loop: asyncio.Runner) -> None:
    """More is said than would fit; the kernel ends it only when the limit is set below what it needs at rest, and then
    it is started again and nothing is gone."""

    async def story() -> None:
        machine, service = house.machine, house.service
        await house.begin(capture__rate=48_000, spool__runtime_max_mb=1, spool__to_disk_s=3)
        await house.says(device=f"plug{SPEAKER}")  # so that all it needs at rest is loaded
        house.network.turn("refuse")
        await limit_memory(house, int(await service.show("MemoryCurrent")) + SPARE_MB * 1_000_000)
        await house.says(OUTAGE_SENTENCES, f"plug{SPEAKER}")
        assert await service.show("NRestarts") == "0"
        assert await kills(house) == 0
        waiting_mb = await on_disk_mb(house)
        assert waiting_mb > SPARE_MB
        await limit_memory(house, 8_000_000)
        await machine.until(lambda: restarted(house), "a kill")
        await limit_memory(house, 192_000_000)
        await service.shows("capturing")
        assert await on_disk_mb(house) >= waiting_mb

    loop.run(story())


SPARE_MB = 5
"""Free memory above the needs of edged at rest."""

OUTAGE_SENTENCES = 16
"""A minute: 6 MB of speech at 48 kHz."""


async def limit_memory(house: House, limit_bytes: int) -> None:
    await house.machine.run("systemctl", "set-property", "--runtime", "edged", f"MemoryMax={limit_bytes}")


async def kills(house: House) -> int:
    """Return how often the kernel has ended edged for its memory."""
    events = await house.machine.run("cat", "/sys/fs/cgroup/system.slice/edged.service/memory.events")
    found = re.search(r"^oom_kill (\d+)", events, re.MULTILINE)
    assert found
    return int(found[1])


async def restarted(house: House) -> bool:
    return int(await house.service.show("NRestarts")) > 0


async def on_disk_mb(house: House) -> float:
    """Return the size of the backlog on disk, by `edged spool status`."""
    status = await house.machine.run("/opt/edged/bin/edged", "spool", "status")
    found = re.search(r"^on disk\s+([\d.]+) MB of speech", status, re.MULTILINE)
    assert found, status
    return float(found[1])


def off_s(house: House, record: Record) -> float:
    """Return the error of a record's time, in seconds."""
    word = house.script.words[house.script.texts.index(record.words[0].word)]
    heard = next(each for each in house.machine.heard if each.start <= word.start and word.end <= each.end)
    return wall_s(record.start) - heard.truly_s - word.start / RATE


def test_a_clock_that_is_set_late_corrects_what_still_waits(house: House, loop: asyncio.Runner) -> None:
    """Records written before the correction keep their wrong time and say so; later ones have the true one."""

    async def story() -> None:
        await house.begin()
        await house.machine.shell(f"mkdir -p /run/systemd/timesync; date -s {WRONG_CLOCK}Z; systemctl restart edged")
        await house.service.shows("capturing")
        before = await house.says()
        await house.service.comes(before)
        house.network.turn("refuse")
        waiting = await house.says()
        await house.machine.set_clock(time.time())
        after = await house.says()
        house.network.turn("fine")
        await house.check(*before, *waiting, *after)
        records = await house.service.records()
        early = [record for record in records if record.words[0].word in before]
        late = [record for record in records if record.words[0].word in (*waiting, *after)]
        assert {record.clock for record in early} == {"unsynchronized"}
        assert {record.start[:4] for record in early} == {"2024"}
        assert {record.clock for record in late} == {"synchronized"}
        assert max(abs(off_s(house, record)) for record in late) < TIMES_WITHIN_S

    loop.run(story())


def test_the_power_button_in_mid_speech_loses_nothing(house: House, loop: asyncio.Runner) -> None:
    """Pressed in an outage; the next boot, whose clock is not set yet, writes it all with its true time."""

    async def story() -> None:
        machine, service = house.machine, house.service
        await house.begin()
        await machine.set_clock(time.time())
        house.network.turn("refuse")
        start, end, words = house.sentence(2)
        await service.talk(start, end)
        middle = house.script.words[house.script.texts.index(words[8])]
        await service.told(middle.end)
        await machine.press_power()
        await machine.off()
        house.network.turn("fine")
        await machine.boot(CARD, clock=WRONG_CLOCK)
        await service.comes(words[:9])
        assert (await service.words())[:9] == words[:9]
        assert max(abs(off_s(house, record)) for record in await service.records()) < TIMES_WITHIN_S

    loop.run(story())


def test_a_suspended_machine_goes_on_where_it_was(house: House, loop: asyncio.Runner) -> None:
    """Speech from before it waits and keeps its time; a microphone and a network from before it are used again."""

    async def story() -> None:
        await house.begin()
        await house.machine.set_clock(time.time())
        house.network.turn("refuse")
        before = await house.says()
        await house.machine.suspend(5.0)
        await house.machine.set_clock(time.time())
        house.network.turn("fine")
        await house.service.shows("capturing")
        after = await house.says()
        await house.check(*before, *after)
        assert max(abs(off_s(house, record)) for record in await house.service.records()) < TIMES_WITHIN_S
        await house.machine.cut()  # after a suspend qemu's power button no longer reaches the kernel

    loop.run(story())
