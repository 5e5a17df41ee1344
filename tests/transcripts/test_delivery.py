import asyncio
import logging
import threading
from functools import partial
from pathlib import Path

import pytest

from edged.config.settings import FileSinkSettings
from edged.model.record import decode
from edged.transcripts.delivery import (
    Delivery,
    DeliveryEvent,
    RecordEvicted,
    RecordsDelivered,
    SinkDied,
    SinkFailing,
    SinkWorking,
)
from edged.transcripts.outbox import SinkCounts
from edged.transcripts.sinks.file import FileSink
from tests.transcripts.fake_sinks import SOON_S, FakeConsole, FakeSink, has, ids, until
from tests.transcripts.some import record, records


def test_records_reach_every_sink_in_order_in_its_own_thread_and_events_report_it() -> None:
    async def main() -> None:
        file, journal = FakeSink(), FakeSink()
        events: list[DeliveryEvent] = []
        delivery = Delivery({"file": file, "journal": journal}, 10, events.append)
        delivery.start()
        for each in records(1, 5):
            delivery.submit(each)
        assert await delivery.close(5) == {}
        assert file.ids == journal.ids == ids(1, 5)
        assert (file.thread, journal.thread) == ("sink file", "sink journal")
        assert file.calls[0] == "reopen"
        assert file.calls[-1] == "close"
        for sink in ("file", "journal"):
            reported = [
                id_
                for event in events
                if isinstance(event, RecordsDelivered) and event.sink == sink
                for id_ in event.ids
            ]
            assert reported == ids(1, 5)
        assert delivery.counts()["file"] == SinkCounts(pending=0, delivered=5, undelivered=0)

    asyncio.run(main())


def test_events_arrive_in_the_event_loop() -> None:
    async def main() -> None:
        threads: list[threading.Thread] = []
        delivery = Delivery({"file": FakeSink()}, 10, lambda _: threads.append(threading.current_thread()))
        delivery.start()
        delivery.submit(record(1))
        await delivery.close(5)
        assert threads == [threading.main_thread()]

    asyncio.run(main())


def test_records_submitted_before_the_start_go_to_the_sinks_that_lack_them() -> None:
    async def main() -> None:
        file, journal = FakeSink(), FakeSink()
        delivery = Delivery({"file": file, "journal": journal}, 10, lambda _: None)
        delivery.submit(record(1), lacking=["journal"])
        delivery.submit(record(2))
        delivery.start()
        await delivery.close(5)
        assert (file.ids, journal.ids) == (ids(2, 2), ids(1, 2))

    asyncio.run(main())


def test_a_sink_that_fails_gets_each_record_once_and_is_logged_twice(caplog: pytest.LogCaptureFixture) -> None:
    """WARNING at first, DEBUG for repeats, INFO when it works again, with how many waited."""

    async def main() -> None:
        file = FakeSink()
        file.fail(times=3, delivered=1)
        events: list[DeliveryEvent] = []
        delivery = Delivery({"file": file}, 100, events.append, retry_waits_s=SOON_S)
        for each in records(1, 10):
            delivery.submit(each)
        delivery.start()
        await until(lambda: SinkWorking("file") in events)
        await delivery.close(5)
        assert file.ids == ids(1, 10)
        assert events == [
            *(
                event
                for n in (1, 2, 3)
                for event in (RecordsDelivered("file", (f"id-{n}",)), SinkFailing("file", "no room"))
            ),
            RecordsDelivered("file", tuple(ids(4, 10))),
            SinkWorking("file"),
        ]

    with caplog.at_level(logging.DEBUG, "edged.transcripts.delivery"):
        asyncio.run(main())
    levels = [line.levelname for line in caplog.records]
    assert levels == ["WARNING", "DEBUG", "DEBUG", "INFO"]
    assert "works again after" in caplog.messages[-1]
    assert caplog.messages[-1].endswith("7 records waited")


def test_waits_grow_and_a_new_record_does_not_shorten_them() -> None:
    async def main() -> None:
        file = FakeSink()
        file.fail(times=100)
        delivery = Delivery({"file": file}, 100, lambda _: None, retry_waits_s=(0.01, 0.02, 1000))
        delivery.submit(record(0))
        delivery.start()
        tries = ["reopen", "deliver 1", "deliver 1", "deliver 1"]
        await until(lambda: file.calls == tries)
        delivery.submit(record(1))
        await asyncio.sleep(0.05)
        assert file.calls == tries
        await delivery.close(0)

    asyncio.run(main())


def test_a_signal_reopens_a_failing_sink_and_tries_it_at_once() -> None:
    async def main() -> None:
        file = FakeSink()
        file.fail(times=1)
        events: list[DeliveryEvent] = []
        delivery = Delivery({"file": file}, 100, events.append, retry_waits_s=(1000,))
        delivery.submit(record(1))
        delivery.start()
        await until(lambda: SinkFailing("file", "no room") in events)
        delivery.reopen()
        await until(lambda: SinkWorking("file") in events)
        assert file.calls == ["reopen", "deliver 1", "reopen", "deliver 1"]
        await delivery.close(5)

    asyncio.run(main())


def test_a_sink_that_cannot_be_opened_is_tried_again_without_any_record() -> None:
    async def main() -> None:
        file = FakeSink()
        file.fail_to_open(times=2)
        events: list[DeliveryEvent] = []
        delivery = Delivery({"file": file}, 100, events.append, retry_waits_s=SOON_S)
        delivery.start()
        await until(lambda: SinkWorking("file") in events)
        assert events == [SinkFailing("file", "no such place")] * 2 + [SinkWorking("file")]
        await delivery.close(5)

    asyncio.run(main())


def test_opening_a_full_disk_does_not_count_as_working() -> None:
    """Otherwise a disk that can be opened but not written would be reported as an outage over and over."""

    async def main() -> None:
        file = FakeSink()
        file.fail(times=3)
        events: list[DeliveryEvent] = []
        delivery = Delivery({"file": file}, 100, events.append, retry_waits_s=(1000,))
        delivery.submit(record(1))
        delivery.start()
        for count in (1, 2, 3):
            await until(partial(has, events, count))
            delivery.reopen()
        await until(lambda: SinkWorking("file") in events)
        assert [type(event) for event in events] == [
            SinkFailing,
            SinkFailing,
            SinkFailing,
            RecordsDelivered,
            SinkWorking,
        ]
        await delivery.close(5)

    asyncio.run(main())


def test_a_sink_that_stalls_holds_up_neither_the_loop_nor_another_sink() -> None:
    async def main() -> None:
        file, journal = FakeSink(), FakeSink()
        file.stall()
        delivery = Delivery({"file": file, "journal": journal}, 1000, lambda _: None)
        delivery.start()
        delivery.submit(record(0))
        await asyncio.to_thread(file.stalled.wait, 5)
        for each in records(1, 500):
            delivery.submit(each)
        await until(lambda: len(journal.ids) == 501)
        assert file.ids == []
        file.resume()
        assert await delivery.close(5) == {}
        assert file.ids == ids(0, 500)

    asyncio.run(main())


def test_at_the_bound_the_oldest_records_are_lost_counted_and_reported_while_the_loop_runs(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main() -> None:
        file = FakeSink()
        file.fail(times=1)
        events: list[DeliveryEvent] = []
        delivery = Delivery({"file": file}, 10, events.append, retry_waits_s=(1000,))
        delivery.start()
        delivery.submit(record(1))
        await until(lambda: events)
        for each in records(2, 15):
            delivery.submit(each)
        delivery.reopen()
        await until(lambda: SinkWorking("file") in events)
        assert file.ids == ids(6, 15)
        assert [event.id for event in events if isinstance(event, RecordEvicted)] == ids(1, 5)
        assert delivery.counts()["file"] == SinkCounts(pending=0, delivered=10, undelivered=5)
        await delivery.close(5)

    with caplog.at_level(logging.INFO, "edged.transcripts.delivery"):
        asyncio.run(main())
    assert [line.levelname for line in caplog.records] == ["WARNING", "WARNING", "INFO"]
    assert caplog.messages[-1].endswith("10 records waited, 5 records lost")


def test_a_stall_that_lost_records_is_reported_too(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        file = FakeSink()
        file.stall()
        delivery = Delivery({"file": file}, 10, lambda _: None)
        delivery.start()
        delivery.submit(record(1))
        await asyncio.to_thread(file.stalled.wait, 5)
        for each in records(2, 15):
            delivery.submit(each)
        file.resume()
        await delivery.close(5)
        assert file.ids == ["id-1", *ids(6, 15)]
        assert delivery.counts()["file"] == SinkCounts(pending=0, delivered=11, undelivered=4)

    asyncio.run(main())
    assert "too many records wait" in caplog.messages[0]
    assert "takes records again" in caplog.messages[1]


@pytest.mark.parametrize("bug", [ZeroDivisionError("ours"), SystemExit(3)])
def test_a_thread_that_dies_of_a_bug_is_reported_and_the_others_continue(bug: BaseException) -> None:
    async def main() -> None:
        file, journal = FakeSink(), FakeSink()
        file.die(bug)
        events: list[DeliveryEvent] = []
        delivery = Delivery({"file": file, "journal": journal}, 10, events.append)
        delivery.start()
        delivery.submit(record(1))
        await until(lambda: SinkDied("file", bug) in events)
        delivery.submit(record(2))
        assert await delivery.close(5) == {"file": 2}
        assert journal.ids == ids(1, 2)

    asyncio.run(main())


def test_only_the_latest_interim_is_shown_and_none_that_is_older_than_a_record() -> None:
    async def main() -> None:
        console, file = FakeConsole(), FakeSink()
        console.stall()
        delivery = Delivery({"console": console, "file": file}, 10, lambda _: None)
        delivery.start()
        delivery.submit(record(1))
        await asyncio.to_thread(console.stalled.wait, 5)
        delivery.show_interim("old")
        delivery.submit(record(2))
        delivery.show_interim("turn")
        delivery.show_interim("turn the")
        console.resume()
        await until(lambda: "interim turn the" in console.calls)
        await delivery.close(5)
        assert console.calls == ["reopen", "deliver 1", "deliver 1", "interim turn the", "close"]
        assert file.ids == ids(1, 2)

    asyncio.run(main())


def test_an_interim_that_fails_is_no_outage() -> None:
    async def main() -> None:
        console = FakeConsole()
        events: list[DeliveryEvent] = []
        delivery = Delivery({"console": console}, 10, events.append)
        delivery.start()
        delivery.show_interim("broken")
        await until(lambda: "interim broken" in console.calls)
        delivery.submit(record(1))
        await delivery.close(5)
        assert events == [RecordsDelivered("console", ("id-1",))]

    asyncio.run(main())


def test_an_id_that_is_pending_already_is_rejected() -> None:
    async def main() -> None:
        delivery = Delivery({"file": FakeSink()}, 10, lambda _: None)
        delivery.submit(record(1))
        with pytest.raises(ValueError, match="already"):
            delivery.submit(record(1))

    asyncio.run(main())


def test_a_thread_that_was_left_behind_survives_a_closed_loop() -> None:
    file = FakeSink()
    file.stall()

    async def main() -> None:
        delivery = Delivery({"file": file}, 10, lambda _: None)
        delivery.start()
        delivery.submit(record(1))
        await asyncio.to_thread(file.stalled.wait, 5)
        await delivery.close(0)

    asyncio.run(main())
    left_behind = next(thread for thread in threading.enumerate() if thread.name == "sink file")
    file.resume()
    left_behind.join(5)
    assert not left_behind.is_alive()
    assert file.calls[-1] == "close"


def test_a_directory_in_place_of_a_real_file_is_an_outage_that_ends(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    path.mkdir()

    async def main() -> None:
        events: list[DeliveryEvent] = []
        delivery = Delivery(
            {"file": FileSink(FileSinkSettings(path=str(path)))}, 10, events.append, retry_waits_s=SOON_S
        )
        delivery.start()
        for each in records(1, 3):
            delivery.submit(each)
        await until(lambda: events)
        path.rmdir()
        await until(lambda: SinkWorking("file") in events)
        assert await delivery.close(5) == {}

    asyncio.run(main())
    assert [decode(line).id for line in path.read_bytes().splitlines()] == ids(1, 3)
