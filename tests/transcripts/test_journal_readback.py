"""The look-up in the journal, on a real, private journald, finds records by id and by samples, and within bounds."""

from collections.abc import Iterator

import pytest

from edged.transcripts import journal_readback
from edged.transcripts.journal_entry import record_from_entry
from edged.transcripts.journal_readback import find_in_journal
from edged.transcripts.reconciliation import SinkContents
from edged.transcripts.sinks.journal import JournalSink
from tests.journald import Journald
from tests.transcripts.queries import by_id, by_range, numbers, second, seconds


@pytest.fixture
def journald(monkeypatch: pytest.MonkeyPatch) -> Iterator[Journald]:
    from systemd.journal import Reader

    one = Journald()
    opened = Reader.__init__
    monkeypatch.setattr(Reader, "__init__", lambda reader: opened(reader, path=one.directory))
    yield one
    one.end()


def test_ids_and_samples_are_found(journald: Journald, monkeypatch: pytest.MonkeyPatch) -> None:
    """Records come back as they went in, whatever is in them; those of this run, the last so many."""
    odd = second(4, text="two\nlines \u00e4", language=None, confidence=1.0, words=(), replayed=True)
    sent = [*seconds(0, 3), odd, second(3, run="run-2")]
    JournalSink(journald.socket).deliver(sent)
    journald.wait_for(len(sent))
    assert find_in_journal(by_id(0, 4, 5)) == SinkContents(by_id(0, 4).ids, ())
    assert find_in_journal(by_range(3 * 16_000, 90_000)) == SinkContents(frozenset(), (second(3), odd))
    assert numbers(find_in_journal(by_range(0, 90_000))) == [0, 1, 2, 3, 4]
    monkeypatch.setattr(journal_readback, "MAX_ENTRIES_PER_RUN", 2)
    assert numbers(find_in_journal(by_range(0, 90_000))) == [3, 4]


def test_a_process_without_permission_gets_no_contents(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    monkeypatch.setattr(journal_readback, "JOURNAL_DIRECTORIES", ())
    assert find_in_journal(by_id(1)) is None


def test_entries_of_others_are_no_records() -> None:
    with pytest.raises(KeyError):
        record_from_entry({"MESSAGE": "hello"})
