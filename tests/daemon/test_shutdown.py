"""Closing in order, whatever goes wrong in it."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from edged.daemon.shutdown import run_all


class FirstError(Exception):
    pass


class SecondError(Exception):
    pass


def steps(taken: list[str]) -> tuple[Callable[[], Awaitable[object]], ...]:
    """Two that fail among those that do not."""

    def step(name: str, error: Exception | None = None) -> Callable[[], Awaitable[object]]:
        async def take() -> None:
            await asyncio.sleep(0.01)
            taken.append(name)
            if error:
                raise error

        return take

    return step("stop"), step("flush", FirstError()), step("deliver", SecondError()), step("move")


def test_each_step_is_taken_whatever_the_one_before_did_and_the_first_error_is_raised(
    caplog: pytest.LogCaptureFixture,
) -> None:
    taken: list[str] = []
    with pytest.raises(FirstError):
        asyncio.run(_closed(taken))
    assert taken == ["stop", "flush", "deliver", "move"]
    assert "SecondError" in caplog.text, "the other one is in the log"


async def _closed(taken: list[str]) -> None:
    await run_all(*steps(taken))


def test_a_cancellation_waits_until_the_last_step_is_taken() -> None:
    taken: list[str] = []

    async def main() -> None:
        closing = asyncio.create_task(run_all(*steps(taken)[::3]))
        await asyncio.sleep(0.005)
        closing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await closing

    asyncio.run(main())
    assert taken == ["stop", "move"]
