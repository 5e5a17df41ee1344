"""What goes when there is too much of it, or when it is too old: the oldest, counted."""

from pathlib import Path

import msgspec
import pytest

from edged.model.ranges import Ranges
from edged.spool.commands import MarkDelivered, ReleaseAudio
from edged.spool.maintenance import KEEP_DELIVERED_BYTES, MB
from edged.spool.model import SpeechEvicted
from tests.spool.some import SINKS, Bench, answer, audio, commit, run_of, segment


@pytest.mark.slow
def test_beyond_max_mb_the_oldest_on_disk_goes_and_is_counted(tmp_path: Path) -> None:
    bench = Bench(tmp_path, max_mb=1, runtime_max_mb=1)
    bench.begin()
    bench.do(segment(0))
    for start in range(0, 1_600_000, 16_000):
        bench.speak(start, start + 16_000)
        bench.run_maintenance(1)
    bench.run_maintenance()
    evicted = bench.events_of(SpeechEvicted)
    waiting = bench.waiting()
    assert {event.bound for event in evicted} == {"max_mb"}
    assert round(sum(event.seconds for event in evicted) * 16_000) + waiting.total == 1_600_000
    assert waiting == Ranges([(waiting.first or 0, 1_600_000)])
    assert waiting.first
    assert bench.tiers.disk is not None
    assert bench.tiers.disk.database.used_bytes() <= MB
    assert bench.tiers.runtime.database.used_bytes() <= MB
    bench.close()


def test_speech_older_than_max_age_goes_wherever_it_lies(tmp_path: Path) -> None:
    bench = Bench(tmp_path, max_age_h=1)
    bench.begin(run_of(started_s=bench.now_s))
    bench.do(segment(0), audio(0, 16_000))
    bench.move()
    bench.do(audio(16_000, 32_000))
    bench.run_maintenance(3000)
    assert bench.waiting() == Ranges([(0, 32_000)])
    bench.run_maintenance(1000)
    evicted = bench.events_of(SpeechEvicted)
    assert sum(event.seconds for event in evicted) == 2
    assert {event.bound for event in evicted} == {"max_age_h"}
    assert not bench.waiting()
    bench.close()


def test_records_stay_for_an_hour_after_they_were_delivered(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.begin()
    bench.do(segment(0), audio(0, 32_000), commit(answer(1, 0, 8000)), commit(answer(2, 8000, 9000)))
    bench.do(*(MarkDelivered(sink, ("id-1",)) for sink in SINKS))
    bench.run_maintenance(3000)
    bench.close()
    bench = Bench(tmp_path)
    assert [each.id for each in bench.recovered.delivered] == ["id-1"]
    assert [each.record.id for each in bench.recovered.undelivered] == ["id-2"]
    bench.now_s += 4000
    bench.do(ReleaseAudio("run-1", 0, 1))
    bench.run_maintenance(100)
    bench.close()
    bench = Bench(tmp_path)
    assert bench.recovered.delivered == ()
    assert [each.record.id for each in bench.recovered.undelivered] == ["id-2"]
    bench.close()


@pytest.mark.slow
def test_delivered_records_take_no_more_than_4_mb(tmp_path: Path) -> None:
    """However much a server says in an hour. The newest stay; what a sink lacks stays too."""
    bench = Bench(tmp_path)
    bench.begin()
    bench.do(segment(0), audio(0, 32_000))
    long = "a" * 100_000
    for number in range(100):
        bench.do(commit(msgspec.structs.replace(answer(number, number * 100, number * 100 + 100), text=long)))
        if number:
            bench.do(*(MarkDelivered(sink, (f"id-{number}",)) for sink in SINKS))
        bench.run_maintenance(2)
    bench.run_maintenance(70)
    for store in bench.tiers.stores:
        assert sum(len(entry.record) for entry in store.outbox.list_entries() if entry.done) <= KEEP_DELIVERED_BYTES
    kept = {entry.id for store in bench.tiers.stores for entry in store.outbox.list_entries()}
    assert {"id-0", "id-99", "id-61"} <= kept
    assert {id_ for store in bench.tiers.stores for id_, _ in store.outbox.list_marks()} == kept - {"id-0"}
    bench.close()
