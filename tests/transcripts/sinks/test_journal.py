import json
import os
import threading
from collections.abc import Iterator
from datetime import datetime

import pytest
from systemd.journal import Reader

from edged.model.errors import SinkError
from edged.model.record import RecordWord
from edged.service.journal import datagram
from edged.transcripts.journal_entry import MESSAGE_ID, entry_fields
from edged.transcripts.sinks.journal import JournalSink
from tests.journald import Journald
from tests.transcripts.some import record, records


@pytest.fixture(scope="module")
def shared() -> Iterator[Journald]:
    journald = Journald()
    yield journald
    journald.end()


@pytest.fixture
def journald(shared: Journald) -> Iterator[Journald]:
    """A journal that works, whatever the test before did to it."""
    yield shared
    shared.kill()
    shared.start()


def long_words() -> tuple[RecordWord, ...]:
    """About 300 kB of JSON."""
    return tuple(
        RecordWord(word=f"word{n}", text=f"Word{n},", start=n / 3, end=n / 3 + 0.2, confidence=0.9) for n in range(4000)
    )


def test_an_entry_has_native_fields_that_journalctl_shows(journald: Journald) -> None:
    JournalSink(journald.socket).deliver([record(1, id="fields")])
    (found,) = journald.wait_for(1, "EDGED_ID=fields")
    assert {name: value for name, value in found.items() if name.startswith("EDGED_")} == {
        "EDGED_ID": "fields",
        "EDGED_START": "2026-11-20T09:15:02.120Z",
        "EDGED_END": "2026-11-20T09:15:04.480Z",
        "EDGED_CONFIDENCE": "0.98",
        "EDGED_CHANNEL": "0",
        "EDGED_WORDS": '[{"word":"turn","text":"Turn","start":0.0,"end":0.21,"confidence":0.99}]',
        "EDGED_LANGUAGE": "en",
        "EDGED_MODEL": "nova-3",
        "EDGED_REQUEST_ID": "c0ffee",
        "EDGED_REPLAYED": "false",
        "EDGED_DELAYED_S": "0.4",
        "EDGED_CLOCK": "synchronized",
        "EDGED_DEVICE": "plughw:CARD=Device",
        "EDGED_HOST": "kiosk-7",
        "EDGED_RUN": "run-1",
        "EDGED_FROM": "412800",
        "EDGED_TO": "451200",
    }
    assert found["MESSAGE"] == "Turn light 1 off."
    assert found["MESSAGE_ID"] == MESSAGE_ID
    assert found["PRIORITY"] == "6"
    assert found["SYSLOG_IDENTIFIER"] == "edged-transcripts"
    assert found["_TRANSPORT"] == "journal"
    assert found["_PID"] == str(os.getpid())


def test_the_message_id_and_the_identifier_find_transcripts(journald: Journald) -> None:
    JournalSink(journald.socket).deliver([record(1, id="found")])
    ids = [found["EDGED_ID"] for found in journald.wait_for(1, f"MESSAGE_ID={MESSAGE_ID}", "EDGED_ID=found")]
    assert ids == ["found"]
    assert journald.read("-t", "edged-transcripts", "EDGED_ID=found")
    assert not journald.read("-t", "edged", "EDGED_ID=found"), "the log is without them"


def test_entries_can_be_read_by_systemd_python(journald: Journald) -> None:
    JournalSink(journald.socket).deliver([record(1, id="reader")])
    journald.wait_for(1, "EDGED_ID=reader")
    with Reader(path=journald.directory) as reader:
        reader.add_match(EDGED_ID="reader")
        found = reader.get_next()
    assert found["MESSAGE"] == "Turn light 1 off."
    assert found["MESSAGE_ID"].hex == MESSAGE_ID
    assert datetime.fromisoformat(found["EDGED_START"]).year == 2026


def test_an_absent_language_is_an_absent_field(journald: Journald) -> None:
    JournalSink(journald.socket).deliver([record(1, id="absent", language=None)])
    (found,) = journald.wait_for(1, "EDGED_ID=absent")
    assert "EDGED_LANGUAGE" not in found


@pytest.mark.parametrize(
    "text",
    ["one\ntwo\n\nthree\n", "\n", "a=b\nMESSAGE=forged\nPRIORITY=0", "Grüße, 日本 \U0001f600", ""],
)
def test_text_comes_through_as_it_is_and_forges_no_field(journald: Journald, text: str) -> None:
    id_ = f"text-{text.encode().hex()}"
    JournalSink(journald.socket).deliver([record(1, id=id_, text=text)])
    (found,) = journald.wait_for(1, f"EDGED_ID={id_}")
    assert found["MESSAGE"] == text
    assert found["PRIORITY"] == "6"


def test_an_entry_of_300_kb_goes_whole_through_a_memory_file(journald: Journald) -> None:
    large = record(1, id="large", words=long_words())
    assert len(datagram(entry_fields(large))) > 300_000
    before = len(os.listdir("/proc/self/fd"))
    JournalSink(journald.socket).deliver([record(0, id="before"), large, record(2, id="after")])
    assert len(os.listdir("/proc/self/fd")) == before
    (found,) = journald.wait_for(1, "EDGED_ID=large")
    words = json.loads(found["EDGED_WORDS"])
    assert len(words) == 4000
    assert words[-1]["text"] == "Word3999,"
    assert journald.wait_for(1, "EDGED_ID=after")


def test_a_stopped_journald_is_an_error_and_a_restarted_one_is_used_at_once(journald: Journald) -> None:
    sink = JournalSink(journald.socket)
    sink.deliver([record(1, id="r-1")])
    journald.wait_for(1, "EDGED_ID=r-1")
    journald.kill()
    for call in (sink.reopen, lambda: sink.deliver([record(2, id="r-2")])):
        with pytest.raises(SinkError, match="journald does not run") as caught:
            call()
        assert caught.value.delivered == 0
    journald.start()
    sink.reopen()
    sink.deliver([record(2, id="r-2")])
    assert len(journald.wait_for(1, "EDGED_ID=r-2")) == 1
    sink.close()


def test_a_machine_without_a_journal_is_an_error_and_never_silence(journald: Journald) -> None:
    journald.remove()
    for call in (JournalSink(journald.socket).reopen, lambda: JournalSink(journald.socket).deliver([record(1)])):
        with pytest.raises(SinkError, match="no journal on this machine"):
            call()


@pytest.mark.slow
def test_a_stopped_journald_blocks_neither_other_threads_nor_for_ever_and_takes_each_entry_once(
    journald: Journald,
) -> None:
    """systemd-python's sendv holds the interpreter's lock here, so the event loop would stand still."""
    journald.stop()
    ticks = 0
    done = threading.Event()

    def tick() -> None:
        nonlocal ticks
        while not done.wait(0.01):
            ticks += 1

    ticking = threading.Thread(target=tick)
    ticking.start()
    batch = [record(number, id=f"stopped-{number}", run="stopped", text="x" * 1000) for number in range(1000)]
    with pytest.raises(SinkError, match=r"taken nothing for 0\.3 s") as caught:
        JournalSink(journald.socket, timeout_s=0.3).deliver(batch)
    done.set()
    ticking.join()
    assert ticks >= 3
    taken = caught.value.delivered
    assert 0 < taken < 1000
    journald.go_on()
    JournalSink(journald.socket).deliver(batch[taken:])
    found = [entry["EDGED_ID"] for entry in journald.wait_for(1000, "EDGED_RUN=stopped")]
    assert found == [each.id for each in batch]


def test_entries_keep_their_order(journald: Journald) -> None:
    JournalSink(journald.socket).deliver([record(n, run="order") for n in range(50)])
    found = [entry["EDGED_ID"] for entry in journald.wait_for(50, "EDGED_RUN=order")]
    assert found == [each.id for each in records(0, 49)]
