"""The bell: heard when it is rung, or by the time given, and never missed."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from edged.stream.wakeup import Wakeup
from tests.patience import PATIENCE_S


def ringing(test: Callable[[Wakeup], Awaitable[None]]) -> None:
    async def main() -> None:
        await asyncio.wait_for(test(Wakeup()), PATIENCE_S)

    asyncio.run(main())


def now_s() -> float:
    return asyncio.get_running_loop().time()


@pytest.mark.parametrize("by_s", [None, 1e6])
def test_who_waits_goes_on_when_it_is_rung(by_s: float | None) -> None:
    async def test(bell: Wakeup) -> None:
        asyncio.get_running_loop().call_soon(bell.set)
        await bell.wait(by_s)

    ringing(test)


def test_what_was_rung_before_is_heard_at_once_until_it_is_hushed() -> None:
    async def test(bell: Wakeup) -> None:
        bell.set()
        await bell.wait()
        await bell.wait()
        bell.clear()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(bell.wait(), 0.01)

    ringing(test)


def test_it_rings_by_the_earliest_time_that_was_asked_for() -> None:
    """A deadline that moves on leaves the timer as it is; one that comes nearer does not."""

    async def test(bell: Wakeup) -> None:
        begun_s = now_s()
        waits = asyncio.create_task(bell.wait(begun_s + 60))
        await asyncio.sleep(0)
        waits.cancel()
        await bell.wait(begun_s + 0.02)
        assert now_s() >= begun_s + 0.019

    ringing(test)


def test_a_time_that_is_over_is_heard_without_waiting() -> None:
    async def test(bell: Wakeup) -> None:
        await bell.wait(now_s() - 1)

    ringing(test)


def test_after_a_cancelled_wait_it_still_rings() -> None:
    async def test(bell: Wakeup) -> None:
        waits = asyncio.create_task(bell.wait())
        await asyncio.sleep(0)
        waits.cancel()
        await asyncio.gather(waits, return_exceptions=True)
        bell.set()
        await bell.wait()

    ringing(test)
