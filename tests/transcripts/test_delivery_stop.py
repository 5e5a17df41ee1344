"""A stop is bounded, whatever a sink does."""

import asyncio

from edged.transcripts.delivery import Delivery, Event
from tests.transcripts.shelf import SOON_S, Shelf, until
from tests.transcripts.some import record


def test_a_stop_waits_no_longer_than_it_may_for_a_sink_that_hangs_and_says_what_is_left() -> None:
    async def main() -> None:
        file, journal = Shelf(), Shelf()
        file.stall()
        delivery = Delivery({"file": file, "journal": journal}, 10, lambda _: None)
        delivery.start()
        delivery.submit(record(1))
        await asyncio.to_thread(file.stalled.wait, 5)
        delivery.submit(record(2))
        assert await delivery.close(0.05) == {"file": 2}
        assert journal.calls[-1] == "close"
        file.go_on()

    asyncio.run(main())


def test_a_stop_tries_a_failing_sink_again_soon_whatever_its_wait() -> None:
    async def main() -> None:
        file = Shelf()
        file.fail(times=2)
        events: list[Event] = []
        delivery = Delivery({"file": file}, 10, events.append, waits_s=(1000,))
        delivery.submit(record(1))
        delivery.start()
        await until(lambda: events)
        assert await delivery.close(5) == {}
        assert file.has == ["id-1"]

    asyncio.run(main())


def test_a_stop_gives_up_a_sink_that_goes_on_failing() -> None:
    async def main() -> None:
        file = Shelf()
        file.fail(times=1000)
        delivery = Delivery({"file": file}, 10, lambda _: None, waits_s=SOON_S)
        delivery.submit(record(1))
        delivery.start()
        assert await delivery.close(0.1) == {"file": 1}
        await until(lambda: file.calls[-1] == "close")

    asyncio.run(main())


def test_a_stop_before_the_start_leaves_everything() -> None:
    async def main() -> None:
        delivery = Delivery({"file": Shelf()}, 10, lambda _: None)
        delivery.submit(record(1))
        assert await delivery.close(5) == {"file": 1}

    asyncio.run(main())
