"""The look-up in the transcript file finds records by id and by samples, from the end, and within bounds."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from edged.config.settings import FileSinkSettings
from edged.model.errors import SinkError
from edged.model.ranges import Ranges
from edged.model.record import Record, encode
from edged.transcripts import file_readback
from edged.transcripts.file_readback import find_in_file
from edged.transcripts.reconciliation import ReadbackQuery, SinkContents
from edged.transcripts.sinks.file import FileSink
from tests.transcripts.queries import by_id, by_range, numbers, second, seconds
from tests.transcripts.some import record, records


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "t.jsonl"


def deliver(path: Path, *what: Record) -> None:
    """Write records with a file sink."""
    FileSink(FileSinkSettings(path=str(path), fsync="never")).deliver(what)


def test_ids_are_found_from_the_end_across_chunks_and_torn_lines(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_readback, "CHUNK_BYTES", 50)
    path.write_bytes(b"".join(encode(each) + b"\n" for each in records(1, 20)) + b'{"id":"id-21","te')
    assert find_in_file(path, by_id(1, 7, 20, 21, 99)) == SinkContents(by_id(1, 7, 20).ids, ())


def test_a_last_line_without_a_newline_counts(path: Path) -> None:
    path.write_bytes(encode(record(1)))
    assert find_in_file(path, by_id(1)).ids == {"id-1"}


def test_an_id_inside_a_text_is_no_id(path: Path) -> None:
    deliver(path, record(1, text='"id":"id-2"', request_id="id-3"))
    assert find_in_file(path, by_id(2, 3)).ids == set()


def test_records_that_transcribe_any_of_these_samples_are_found_complete_and_in_order(path: Path) -> None:
    """Records of another run, and those that only touch the range, are not found."""
    deliver(path, *seconds(0, 9), second(3, run="run-2"), record(77, run="run-3"))
    held = find_in_file(path, by_range(2 * 16_000 + 1, 5 * 16_000))
    assert held.records == tuple(seconds(2, 4))
    assert held.ids == set(), "nobody asked for one"


def test_ids_and_samples_are_searched_together(path: Path) -> None:
    deliver(path, *seconds(0, 5))
    held = find_in_file(path, ReadbackQuery(frozenset({"id-0", "id-8"}), {"run-1": Ranges([(64_000, 64_001)])}))
    assert held.ids == {"id-0"}
    assert numbers(held) == [4]


def test_lines_that_are_no_records_are_skipped(path: Path) -> None:
    """A newer version's too: it has an id, but can't be delivered elsewhere."""
    deliver(path, second(1))
    with path.open("ab") as file:
        file.write(b'{"id":"id-2","run":"run-1","from":16000,"to":17000}\n\xff\n[]\n\n{"id":7}\n')
    held = find_in_file(path, ReadbackQuery(frozenset({"id-2"}), {"run-1": Ranges([(0, 99_000)])}))
    assert held.ids == {"id-2"}
    assert numbers(held) == [1]


@pytest.mark.parametrize("rotated", ["t.jsonl.1", "t.jsonl-20261120", "t.jsonl-20261120-1763600000"])
def test_the_rotated_predecessor_is_searched(path: Path, rotated: str) -> None:
    deliver(path.with_name(rotated), second(1))
    assert find_in_file(path, by_id(1)).ids == {"id-1"}
    deliver(path, second(2))
    assert find_in_file(path, by_id(1, 2, 3)).ids == {"id-1", "id-2"}
    assert numbers(find_in_file(path, by_range(0, 160_000))) == [1, 2]


@pytest.mark.parametrize("other", ["t.jsonl.torn", "t.jsonl.1.gz", "other.jsonl.1", "t.jsonl.11"])
def test_other_files_are_not_searched(path: Path, other: str) -> None:
    deliver(path.with_name(other), second(1))
    assert find_in_file(path, ReadbackQuery(by_id(1).ids, by_range(0, 99_000).ranges)) == SinkContents(frozenset(), ())


def test_the_search_for_ids_is_bounded(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deliver(path, *records(1, 9))
    monkeypatch.setattr(file_readback, "LOOK_BACK_BYTES", len(encode(record(9))) + 10)
    assert find_in_file(path, by_id(1, 9)).ids == {"id-9"}


def test_the_search_for_samples_is_bounded_for_all_files_together(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    line_bytes = len(encode(second(1))) + 1
    deliver(path.with_name("t.jsonl.1"), *seconds(1, 4))
    deliver(path, *seconds(5, 6))
    monkeypatch.setattr(file_readback, "RANGES_BYTES", round(3.5 * line_bytes))
    assert numbers(find_in_file(path, by_range(0, 160_000))) == [3, 4, 5, 6]


def test_no_more_is_read_than_is_needed(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A start may not take long: the microphone waits for it."""
    read: list[bytes] = []
    lines = file_readback._lines_backwards

    def counted(path: Path) -> Iterator[bytes]:
        for line in lines(path):
            read.append(line)
            yield line

    monkeypatch.setattr(file_readback, "_lines_backwards", counted)
    deliver(path, *records(1, 99))
    find_in_file(path, by_id(98, 99))
    assert len(read) <= 4, "a newline at the end, two records, and one to see that it is enough"


def test_a_broken_line_is_skipped_whatever_is_wrong_with_it(path: Path) -> None:
    """One flipped bit in an id or a text, brackets without end, a number that has none."""
    flipped = bytearray(encode(second(2)))
    flipped[flipped.index(b"id-2")] |= 0x80
    text = bytearray(encode(second(3)))
    text[text.index(b"Turn")] |= 0x80
    number = encode(second(4)).replace(b'"from":64000', b'"from":' + b"6" * 5000)
    deliver(path, second(1))
    with path.open("ab") as file:
        file.write(b"\n".join([bytes(flipped), bytes(text), b"[" * 100_000, number, encode(second(5)), b""]))
    held = find_in_file(path, ReadbackQuery(by_id(1, 2, 5).ids, by_range(0, 160_000).ranges))
    assert held.ids == by_id(1, 5).ids
    assert numbers(held) == [1, 5]


@pytest.mark.parametrize(
    "changed",
    [
        {"start": "2026-11-20T09:q5:02.120Z"},
        {"end": ""},
        {"from_": -1},
        {"from_": 99_000},
        {"to": 1 << 40},
        {"to": 1 << 70},
    ],
)
def test_an_impossible_record_is_skipped(path: Path, changed: dict[str, object]) -> None:
    """Otherwise it would release waiting speech, or end the sink that it is delivered to."""
    deliver(path, second(1), record(2, **{"from_": 32_000, "to": 48_000} | changed))
    assert numbers(find_in_file(path, by_range(0, 160_000))) == [1]


def test_a_line_without_end_costs_no_more_than_its_reading(path: Path) -> None:
    """63 MB took 54 s."""
    deliver(path, second(1))
    with path.open("ab") as file:
        file.write(b"a" * 63_000_000)
    begun_s = time.process_time()
    assert find_in_file(path, by_id(1)).ids == {"id-1"}
    FileSink(FileSinkSettings(path=str(path), fsync="never")).reopen()
    assert time.process_time() - begun_s < 3


@pytest.mark.parametrize("as_predecessor", ["pipe", "device"])
def test_a_predecessor_that_is_no_regular_file_is_skipped_at_once(path: Path, as_predecessor: str) -> None:
    deliver(path, second(1))
    deliver(path.with_name("t.jsonl.1"), second(2))
    other = path.with_name("t.jsonl-20261120")
    os.mkfifo(other) if as_predecessor == "pipe" else other.symlink_to("/dev/zero")
    assert find_in_file(path, by_id(1, 2)).ids == by_id(1, 2).ids


def test_a_pipe_in_the_files_place_is_an_error_at_once(path: Path) -> None:
    os.mkfifo(path)
    with pytest.raises(SinkError, match="a pipe or a device"):
        find_in_file(path, by_id(1))


def test_an_absent_file_holds_nothing(tmp_path: Path) -> None:
    assert find_in_file(tmp_path / "absent" / "t.jsonl", by_id(1)).ids == set()


def test_a_path_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SinkError, match="it is a directory"):
        find_in_file(tmp_path, by_id(1))
