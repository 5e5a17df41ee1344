"""A stop is bounded, whatever a sink does."""

import asyncio
import logging

import pytest

from edged.model.errors import SinkError, SinkGoneError
from edged.transcripts.delivery import Delivery, DeliveryEvent, RecordsDelivered, SinkGone
from tests.transcripts.fake_sinks import SOON_S, FakeSink, ids, until
from tests.transcripts.some import record, records


def test_a_stop_waits_only_until_its_deadline_for_a_sink_that_hangs_and_returns_what_is_left() -> None:
    async def main() -> None:
        file, journal = FakeSink(), FakeSink()
        file.stall()
        delivery = Delivery({"file": file, "journal": journal}, 10, lambda _: None)
        delivery.start()
        delivery.submit(record(1))
        await asyncio.to_thread(file.stalled.wait, 5)
        delivery.submit(record(2))
        assert await delivery.close(0.05) == {"file": 2}
        assert journal.calls[-1] == "close"
        file.resume()

    asyncio.run(main())


def test_a_stop_tries_a_failing_sink_again_soon_whatever_its_wait() -> None:
    async def main() -> None:
        file = FakeSink()
        file.fail(times=2)
        events: list[DeliveryEvent] = []
        delivery = Delivery({"file": file}, 10, events.append, retry_waits_s=(1000,))
        delivery.submit(record(1))
        delivery.start()
        await until(lambda: events)
        assert await delivery.close(5) == {}
        assert file.ids == ["id-1"]

    asyncio.run(main())


def test_a_stop_gives_up_a_sink_that_goes_on_failing() -> None:
    async def main() -> None:
        file = FakeSink()
        file.fail(times=1000)
        delivery = Delivery({"file": file}, 10, lambda _: None, retry_waits_s=SOON_S)
        delivery.submit(record(1))
        delivery.start()
        assert await delivery.close(0.1) == {"file": 1}
        await until(lambda: file.calls[-1] == "close")

    asyncio.run(main())


def test_a_stop_before_the_start_leaves_everything() -> None:
    async def main() -> None:
        delivery = Delivery({"file": FakeSink()}, 10, lambda _: None)
        delivery.submit(record(1))
        assert await delivery.close(5) == {"file": 1}

    asyncio.run(main())


@pytest.mark.parametrize("error", [SinkError("no screen"), SinkGoneError("no screen"), OSError(5, "I/O error")])
def test_a_sink_that_fails_to_close_ends_normally(error: Exception) -> None:
    class Unclosable(FakeSink):
        def close(self) -> None:
            raise error

    async def main() -> None:
        console, events = Unclosable(), list[DeliveryEvent]()
        delivery = Delivery({"console": console}, 10, events.append)
        delivery.submit(record(1))
        delivery.start()
        assert await delivery.close(5) == {}
        assert events == [RecordsDelivered("console", ("id-1",))]

    asyncio.run(main())


def test_a_sink_that_is_gone_is_dropped_with_one_line_and_lacks_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """Delivery does not try it again or wait for it; the other sinks get all records."""

    class Broken(FakeSink):
        def deliver(self, records: object) -> None:
            self.calls.append("deliver")
            raise SinkGoneError("can't write to the console: Input/output error")

    async def main() -> None:
        console, file, events = Broken(), FakeSink(), list[DeliveryEvent]()
        delivery = Delivery({"console": console, "file": file}, 10, events.append, retry_waits_s=SOON_S)
        delivery.start()
        for each in records(1, 3):
            delivery.submit(each)
        await until(lambda: SinkGone("console") in events)
        delivery.reopen()
        for each in records(4, 30):
            delivery.submit(each)
            await asyncio.sleep(0.001)
        assert await delivery.close(5) == {}
        assert console.calls == ["reopen", "deliver", "close"]
        assert file.ids == ids(1, 30)

    with caplog.at_level(logging.DEBUG, "edged.transcripts.delivery"):
        asyncio.run(main())
    assert caplog.messages == [
        "sink console: can't write to the console: Input/output error: it is gone, so it gets no more records"
    ]
