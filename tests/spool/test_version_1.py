"""A spool that the first version of the formats left after a kill is taken over whole.

`version_1/` holds what edged wrote on 2026-11-28 before its modules were renamed: both databases as SQL, the ring as
compressed base64. Keep these files when a format changes: the migration has to make this test pass again.

- `run-1` and `run-2` ended in order. On disk lie a record that every sink has, a record that the journal lacks, and
  0.1 s of speech without a transcript.
- `run-3` was killed. In the runtime directory lie a record that no sink has, 0.1 s of speech without a transcript, and
  a ring with the beginning of a word that the gate had not decided on.
"""

import asyncio
import base64
import sqlite3
import zlib
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from edged.config.settings import FileSinkSettings
from edged.daemon import recovery
from edged.model.audio import BYTES_PER_SAMPLE
from edged.model.record import decode
from edged.spool import directories, schema
from edged.spool.integrity import shape
from edged.transcripts.file_readback import find_in_file
from edged.transcripts.sinks.file import FileSink
from tests.life import SPOKEN, Life, live, outbox, records
from tests.spool.some import Bench, pcm

VERSION_1 = Path(__file__).parent / "version_1"

RING_START = 8000
"""Position of the first sample of `SPOKEN` in the ring."""
RING_END = 17_600


@pytest.fixture
def left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory that holds the spool of version 1, in the boot that wrote it."""
    for directory in ("runtime", "disk"):
        (tmp_path / directory).mkdir(mode=0o700)
        path = tmp_path / directory / "spool.db"
        path.touch(mode=0o600)
        with closing(sqlite3.connect(path)) as database:
            database.executescript((VERSION_1 / f"{directory}.sql").read_text())
    ring = tmp_path / "runtime" / "ring"
    ring.touch(mode=0o600)
    ring.write_bytes(zlib.decompress(base64.b64decode((VERSION_1 / "ring.zlib.base64").read_text())))
    monkeypatch.setattr(directories, "boot_id", lambda: "boot-1")
    monkeypatch.setattr(recovery, "readbacks", lambda _: {"file": partial(find_in_file, tmp_path / "records.jsonl")})
    return tmp_path


def stored_records(base: Path) -> dict[str, str]:
    """The JSON text of each record in both databases, by id."""
    found: dict[str, str] = {}
    for directory in ("runtime", "disk"):
        with closing(sqlite3.connect(base / directory / "spool.db")) as database:
            found |= dict(database.execute("SELECT id, record FROM outbox"))
    return found


async def load_pcm(life: Life, run: str, start: int, end: int) -> bytes:
    pieces = await life.persistence.load(run, start, end)
    assert [position for position, _ in pieces][:1] == [start]
    return b"".join(data for _, data in pieces)


def test_each_record_is_delivered_to_the_sinks_that_lack_it_under_its_old_id(left: Path) -> None:
    stored = stored_records(left)
    assert stored.keys() == {"run-1-1", "run-2-1", "run-3-1"}
    journal = left / "journal"
    journal.mkdir()

    async def until_delivered(life: Life) -> None:
        await life.written(1)
        while len(records(journal)) < 2:  # noqa: ASYNC110  the file has no event
            await asyncio.sleep(0.005)

    live(left, until_delivered, "run-4", journal=FileSink(FileSinkSettings(path=str(journal / "records.jsonl"))))
    assert records(left) == [decode(stored["run-3-1"])]
    assert records(journal) == [decode(stored["run-2-1"]), decode(stored["run-3-1"])]
    assert outbox(left) == dict.fromkeys(stored, True)
    assert stored_records(left) == stored, "the texts stay as they were written"


def test_speech_without_a_transcript_becomes_backlog_with_the_same_samples(left: Path) -> None:
    async def look(life: Life) -> None:
        backlog = {run: [stretch[:2] for stretch in stretches] for run, _, stretches in life.backlog}
        assert backlog["run-1"] == [(3200, 4800)]
        assert backlog["run-3"][0] == (0, 1600)
        assert backlog.keys() == {"run-1", "run-3"}
        assert {rate for _, rate, _ in life.backlog} == {16_000}
        voiced = {run: stretches[0][2] for run, _, stretches in life.backlog}
        assert voiced == {"run-1": ((3200, 4800),), "run-3": ((0, 1600),)}
        assert await load_pcm(life, "run-1", 3200, 4800) == pcm(3200, 4800)
        assert await load_pcm(life, "run-3", 0, 1600) == pcm(0, 1600)

    live(left, look, "run-4")


def test_the_undecided_audio_in_the_ring_is_judged_and_becomes_backlog(left: Path) -> None:
    async def look(life: Life) -> None:
        [stretches] = [stretches for run, _, stretches in life.backlog if run == "run-3"]
        [_, (start, end, voiced)] = stretches
        assert RING_START <= start < RING_START + SPOKEN.words[0].start < RING_END <= end
        assert voiced
        expected = SPOKEN.pcm[(start - RING_START) * BYTES_PER_SAMPLE : (end - RING_START) * BYTES_PER_SAMPLE]
        assert await load_pcm(life, "run-3", start, end) == expected

    live(left, look, "run-4")


def test_nothing_of_it_is_taken_for_damage(left: Path) -> None:
    bench = Bench(left)
    assert bench.events == []
    bench.close()


@pytest.mark.parametrize("directory", ["runtime", "disk"])
def test_its_databases_have_the_present_schema_after_they_are_opened(left: Path, directory: str) -> None:
    with (
        closing(schema.open_database(left / directory / "spool.db", "OFF")) as old,
        closing(schema.open_database(left / "new.db", "OFF")) as new,
    ):
        assert shape(old) == shape(new)
        assert schema.user_version(old) == schema.user_version(new)
