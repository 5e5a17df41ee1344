"""A real journald that took a record and lost it: the next process writes it again, if it can read the journal."""

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from edged.transcripts import journal_readback
from edged.transcripts.sinks.journal import JournalSink
from tests.journald import Journald
from tests.life import Life, after_a_kill, live, nothing, outbox
from tests.transcripts.some import record


@pytest.fixture
def journald(monkeypatch: pytest.MonkeyPatch) -> Iterator[Journald]:
    from systemd.journal import Reader

    one = Journald()
    opened = Reader.__init__
    monkeypatch.setattr(Reader, "__init__", lambda reader: opened(reader, path=one.directory))
    yield one
    one.end()


async def utter(life: Life) -> None:
    """One record, delivered to both sinks."""
    life.hear(0, 16_000)
    life.utter(0, 16_000)
    await life.written(1)


def ids(journald: Journald) -> list[str]:
    """Return the ids of all records of the first run that the sink has received until now."""
    mark = uuid4().hex
    JournalSink(journald.socket).deliver([record(0, run=mark)])
    journald.wait_for(1, f"EDGED_RUN={mark}")
    return [entry["EDGED_ID"] for entry in journald.read("EDGED_RUN=run-1")]


@pytest.mark.slow
def test_what_journald_took_and_lost_is_written_again_at_the_next_start_once(
    tmp_path: Path, journald: Journald
) -> None:
    journal = JournalSink(journald.socket)
    live(tmp_path, utter, journal=journal)
    ((id_, done),) = outbox(tmp_path).items()
    assert done
    [before] = journald.wait_for(1, "EDGED_RUN=run-1")
    journald.lose()
    for run in ("run-2", "run-3"):
        live(tmp_path, nothing, run, journal=journal)
        [again] = journald.wait_for(1, "EDGED_RUN=run-1")
        same = {name for name in before if name.startswith(("EDGED_", "MESSAGE"))}
        assert {name: again[name] for name in same} == {name: before[name] for name in same}
    assert ids(journald) == [id_]


@pytest.mark.slow
@pytest.mark.parametrize(("readable", "times"), [(True, 1), (False, 2)])
def test_a_kill_between_the_writing_and_its_mark_doubles_a_record_only_where_the_journal_cannot_be_read(
    tmp_path: Path, journald: Journald, monkeypatch: pytest.MonkeyPatch, readable: bool, times: int
) -> None:
    journal = JournalSink(journald.socket)

    async def before(life: Life) -> None:
        life.hear(0, 16_000)
        life.utter(0, 16_000)

    left = after_a_kill(tmp_path, before, delivers=False, journal=journal)
    (id_,) = outbox(left)
    live(tmp_path / "first", nothing, "run-2", journal=journal)  # what the kill left is as it was before this
    assert ids(journald) == [id_]
    monkeypatch.setattr(journal_readback, "may_read_journal", lambda namespace: readable)
    live(left, nothing, "run-3", journal=journal)
    assert ids(journald) == [id_] * times
