"""The connection limiter: which sender may connect, and which one must release its connection."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from edged.stream import connection_limiter
from edged.stream.connection_limiter import ConnectionLimiter
from tests.patience import PATIENCE_S


class FakeUser:
    """Someone who wants a connection."""

    def __init__(self, *, presses: bool = False, speaks: bool = False, waits: bool = True) -> None:
        self.asked = 0
        self.soon = False
        self.is_urgent = presses
        self.has_live_speech = speaks
        self.waits = waits
        self.on_leave: Callable[[], None] = lambda: None

    def request_close(self, *, soon: bool) -> None:
        self.asked += 1
        self.soon = soon
        self.on_leave()


def play(body: Callable[[], Awaitable[None]]) -> None:
    async def main() -> None:
        async with asyncio.timeout(PATIENCE_S):
            await body()

    asyncio.run(main())


async def taking(one: ConnectionLimiter, holder: FakeUser) -> asyncio.Task[None]:
    """Wants a connection; it has been as far as it comes at once."""
    task = asyncio.create_task(one.acquire(holder))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    return task


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits that a test can wait for."""
    monkeypatch.setattr(connection_limiter, "ASK_S", 0.02)
    monkeypatch.setattr(connection_limiter, "TURN_S", 0.0)


def test_two_that_are_allowed_take_at_once_and_nobody_is_asked() -> None:
    async def body() -> None:
        one, live, behind = ConnectionLimiter(2), FakeUser(), FakeUser()
        await one.acquire(live)
        await one.acquire(behind)
        assert (live.asked, behind.asked) == (0, 0)

    play(body)


def test_where_one_is_allowed_the_holder_is_asked_to_leave_and_the_next_waits_until_it_did() -> None:
    async def body() -> None:
        one, live, behind = ConnectionLimiter(1), FakeUser(), FakeUser()
        await one.acquire(live)
        waiting = await taking(one, behind)
        assert live.asked == 1
        assert not waiting.done()
        one.release(live)
        await waiting
        assert behind.asked == 0

    play(body)


def test_a_holder_that_stays_is_asked_again() -> None:
    """A request to release ends with its connection: the holder may have begun another one since."""

    async def body() -> None:
        one, live, behind = ConnectionLimiter(1), FakeUser(), FakeUser()
        await one.acquire(live)
        asked = asyncio.Event()
        live.on_leave = lambda: asked.set() if live.asked == 3 else None
        waiting = await taking(one, behind)
        await asked.wait()
        assert not waiting.done()
        one.release(live)
        await waiting

    play(body)


def test_two_that_want_the_only_one_take_turns() -> None:
    async def body() -> None:
        one, turns = ConnectionLimiter(1), list[str]()

        async def work(name: str) -> None:
            for _ in range(3):
                me, left = FakeUser(), asyncio.Event()
                me.on_leave = left.set
                await one.acquire(me)
                turns.append(name)
                if len(turns) < 6:
                    await left.wait()
                one.release(me)

        await asyncio.gather(work("live"), work("behind"))
        assert turns == ["live", "behind"] * 3

    play(body)


def test_who_presses_goes_first_and_others_leave_for_it_soon() -> None:
    """The urgent sender goes before all who came earlier."""

    async def body() -> None:
        one, live, other, behind = ConnectionLimiter(1), FakeUser(), FakeUser(), FakeUser(presses=True)
        await one.acquire(live)
        third = await taking(one, other)
        assert (live.asked, live.soon) == (1, False)
        waiting = await taking(one, behind)
        assert live.soon
        one.release(live)
        await waiting
        one.release(behind)
        await third

    play(body)


@pytest.mark.parametrize(("presses", "asked"), [(False, 0), (True, 1)])
def test_who_presses_is_asked_to_leave_only_by_others_who_do(presses: bool, asked: int) -> None:
    async def body() -> None:
        one, behind = ConnectionLimiter(1), FakeUser(presses=True)
        await one.acquire(behind)
        waiting = await taking(one, FakeUser(presses=presses))
        assert behind.asked == asked
        one.release(behind)
        await waiting

    play(body)


@pytest.mark.parametrize("speaks", [False, True])
def test_for_what_is_said_now_another_is_broken_off(speaks: bool) -> None:
    async def body() -> None:
        one, behind = ConnectionLimiter(1), FakeUser()
        await one.acquire(behind)
        waiting = await taking(one, FakeUser(speaks=speaks))
        assert (behind.asked, behind.soon) == (1, speaks)
        one.release(behind)
        await waiting

    play(body)


def test_one_who_begins_to_press_while_it_waits_goes_before_the_others() -> None:
    async def body() -> None:
        one, live, other, behind = ConnectionLimiter(1), FakeUser(), FakeUser(), FakeUser()
        await one.acquire(live)
        third, waiting = await taking(one, other), await taking(one, behind)
        behind.is_urgent = True
        soon = asyncio.Event()
        live.on_leave = lambda: soon.set() if live.soon else None
        await soon.wait()
        one.release(live)
        await waiting
        assert not third.done()
        one.release(behind)
        await third

    play(body)


def test_nobody_leaves_for_one_that_has_nothing_to_send_until_it_has() -> None:
    """Live speech in a silence, while a backlog is transcribed: each turn would cost a connection and its priming."""

    async def body() -> None:
        one, live, behind = ConnectionLimiter(1), FakeUser(waits=False), FakeUser()
        await one.acquire(behind)
        waiting = await taking(one, live)
        await asyncio.sleep(0.05)
        assert behind.asked == 0
        live.waits = live.has_live_speech = True
        one.stir()
        await asyncio.sleep(0.001)
        assert (behind.asked, behind.soon) == (1, True)
        one.release(behind)
        await waiting

    play(body)


def test_a_turn_lasts_a_while_unless_the_other_presses_or_the_holder_has_nothing_to_send(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Two that talk by turns, sentence by sentence, would cost a connection for each."""
    monkeypatch.setattr(connection_limiter, "TURN_S", 0.1)

    async def body() -> None:
        one, live, behind = ConnectionLimiter(1), FakeUser(), FakeUser()
        await one.acquire(behind)
        waiting = await taking(one, live)
        await asyncio.sleep(0.03)
        assert behind.asked == 0
        behind.waits = False
        one.stir()
        await asyncio.sleep(0.001)
        assert behind.asked == 1
        behind.waits = True
        one.release(behind)
        await waiting
        pressing = await taking(one, FakeUser(presses=True))
        assert live.asked == 1
        pressing.cancel()
        await asyncio.gather(pressing, return_exceptions=True)
        again = await taking(one, behind)
        assert live.asked == 1
        await asyncio.sleep(0.15)
        assert live.asked > 1
        one.release(live)
        await again

    play(body)


def test_one_that_has_something_to_send_goes_before_one_that_has_not() -> None:
    async def body() -> None:
        one, first, live, behind = ConnectionLimiter(1), FakeUser(), FakeUser(waits=False), FakeUser()
        await one.acquire(first)
        silent, waiting = await taking(one, live), await taking(one, behind)
        one.release(first)
        await waiting
        assert not silent.done()
        one.release(behind)
        await silent

    play(body)


@pytest.mark.parametrize("status", [403, 409, 429, 503])
def test_after_the_server_said_too_many_only_one_has_a_connection(status: int) -> None:
    """A refused sender waits until the other has left, though two were allowed before."""

    async def body() -> None:
        one, live, behind = ConnectionLimiter(2), FakeUser(), FakeUser()
        await one.acquire(behind)
        one.opened(behind)
        await one.acquire(live)
        assert one.failed(live, status)
        one.release(live)
        waiting = await taking(one, live)
        assert behind.asked == 1
        assert not waiting.done()
        one.release(behind)
        await waiting

    play(body)


@pytest.mark.slow
@pytest.mark.parametrize("first_ends", [True, False])
def test_after_the_server_ended_one_for_the_other_only_one_has_a_connection(
    first_ends: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """The new limit is reported once."""
    caplog.set_level("INFO")

    async def body() -> None:
        one, live, behind = ConnectionLimiter(2), FakeUser(), FakeUser()
        for holder in (live, behind):
            await one.acquire(holder)
            one.opened(holder)
        ends, stays = (live, behind) if first_ends else (behind, live)
        assert await one.ended(ends, ours=False)
        one.release(ends)
        waiting = await taking(one, ends)
        assert stays.asked == 1
        assert not waiting.done()
        assert not await one.ended(stays, ours=True)
        one.release(stays)
        await waiting

    play(body)
    [record] = caplog.records
    assert record.getMessage() == (
        "recogniser: the server seems to allow one connection: live speech and backlog take turns; "
        "trying two again in 10 min 0 s"
    )


@pytest.mark.slow
def test_both_lost_at_once_show_no_limit(caplog: pytest.LogCaptureFixture) -> None:
    """The network has failed, or the server starts again."""
    caplog.set_level("INFO")

    async def body() -> None:
        one, live, behind = ConnectionLimiter(2), FakeUser(), FakeUser()
        for holder in (live, behind):
            await one.acquire(holder)
            one.opened(holder)
        assert not any(await asyncio.gather(*(one.ended(holder, ours=False) for holder in (live, behind))))

    play(body)
    assert not caplog.records


def test_one_who_gives_up_waiting_stands_in_nobodys_way() -> None:
    async def body() -> None:
        one, live, behind, third = ConnectionLimiter(1), FakeUser(), FakeUser(), FakeUser()
        await one.acquire(live)
        waiting = await taking(one, behind)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        one.release(live)
        await one.acquire(third)
        assert third.asked == 0

    play(body)
