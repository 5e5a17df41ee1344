"""Outages, stops and kills with a spool: every word that was heard is written once, whatever ends in between."""

import asyncio
import signal
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pytest

from edged.model.audio import BYTES_PER_SAMPLE
from edged.recognizer.protocol import Limits
from edged.testkit.faults import Fault, FaultKind
from edged.testkit.instrumented_server import InstrumentedServer
from edged.testkit.script import Script, ScriptEngineFactory, ScriptWord
from tests.end_to_end.stage import Run, Setting, Stage, speech, until, wall_s
from tests.end_to_end.test_stopping import LAST_WORDS, free_port
from tests.patience import PATIENCE_S
from tests.transcripts.some import remount, small_disk

pytestmark = pytest.mark.slow

FAST: dict[str, Setting] = {"deepgram.replay_rate": 10}
"""Settings for tests in which the time that a backlog takes does not matter."""

UNCERTAIN_S = 0.4
"""Audio captured this shortly before a kill may be in a hand-over or in a driver, and stored nowhere."""


def part(script: Script, first: int, last: int) -> Script:
    """Return a part of a recording: the words from `first` up to `last`, with the silence around them."""
    words = script.words[first:last]
    low = (script.words[first - 1].end + words[0].start) // 2 if first else 0
    high = (words[-1].end + script.words[last].start) // 2 if last < len(script.words) else len(script.pcm) // 2
    pcm = script.pcm[low * BYTES_PER_SAMPLE : high * BYTES_PER_SAMPLE]
    return Script(pcm, [ScriptWord(word.text, word.start - low, word.end - low) for word in words], script.rate)


@asynccontextmanager
async def serving(
    script: Script, port: int, *, fast: bool = True, **options: object
) -> AsyncIterator[InstrumentedServer]:
    """A recogniser that is there for a while."""
    limits = Limits(max_rate=1000) if fast else None
    async with InstrumentedServer(ScriptEngineFactory(script), port=port, limits=limits, **options) as server:  # type: ignore[arg-type]
        yield server


def url(port: int) -> str:
    return f"ws://127.0.0.1:{port}/v1/listen"


async def played(run: Run, to: int) -> None:
    """Wait until the daemon has heard its recording up to a sample."""
    await run.says("capturing")
    await asyncio.sleep(max(0.0, run.begun_playing_s + to / run.script.rate - time.time()))


def shared(run: Run) -> dict[str, Setting]:
    """Return settings for the next run: the same spool and the same file."""
    return {
        "spool.directory": str(run.directory / "spool"),
        "spool.runtime_directory": str(run.directory / "runtime"),
        "transcripts.file.path": str(run.transcripts),
    }


@dataclass(frozen=True)
class Heard:
    """Audio that one run was to hear: up to which sample, and where that is not certain."""

    run: Run
    to: int | None = None


def check(first: Run, heard: Sequence[Heard], *, within_s: float = 0.05) -> None:
    """All records are in the first run's file: each word that was heard once, where and when it was said."""
    records, words = first.records, Counter(first.words)
    assert max(words.values()) == 1, f"doubled: {[word for word, count in words.items() if count > 1]}"
    assert len({record.id for record in records}) == len(records)
    by_run = defaultdict(list)
    for record in records:
        by_run[record.run].append(record)
    for of_run in by_run.values():
        ranges = sorted((record.from_, record.to) for record in of_run)
        assert all(end <= start for (_, end), (start, _) in pairwise(ranges)), f"records share samples: {ranges}"
    places = {word.text: (each, word) for each in heard for word in each.run.script.words}
    for each in heard:
        script = each.run.script
        certain = len(script.pcm) if each.to is None else each.to - round(UNCERTAIN_S * script.rate)
        lost = [word.text for word in script.words if word.end <= certain and word.text not in words]
        assert not lost, f"lost: {lost}\n{heard[-1].run.last}"
    for name, of_run in by_run.items():
        begins = []
        for record in of_run:
            for word in record.words:
                each, true = places[word.word]
                rate = each.run.script.rate
                begins.append(wall_s(record.start) + word.start - true.start / rate)
                assert record.from_ - within_s * rate <= true.start < true.end <= record.to + within_s * rate
        owners = {id(places[word.word][0].run): places[word.word][0].run for r in of_run for word in r.words}
        (owner,) = owners.values()
        assert max(begins) - min(begins) <= within_s, f"run {name}: times are {max(begins) - min(begins):.3f} s apart"
        assert owner.begun_s < min(begins) < owner.begun_s + 20, "by its words' times it played when it did not"


# Within one run


async def outage(stage: Stage, settings: Mapping[str, Setting]) -> tuple[Run, InstrumentedServer, float]:
    """Twenty seconds of 503 while somebody speaks; returns the server that came after, and when that was."""
    script = speech(count=8, words_each=9, silence_s=1.5)
    async with serving(script, 0, fast=False) as before:
        port, word = before.port, script.words[5]
        run = await stage.daemon(before.url, script, settings)
        await until(lambda: before.received_samples >= (word.start + word.end) // 2, "a word")
    async with serving(script, port, faults=[Fault(FaultKind.REFUSE, status=503, times=1000)]) as refusing:
        await asyncio.sleep(20)
        assert refusing.refusals
    server = await stage.recogniser(script, port=port)
    back_s = time.time()
    assert await run.ends(within_s=120) == 0
    run.check_words()
    run.check_positions()
    run.check_times()
    assert run.summary["evicted_s"] == run.summary["left_s"] == 0
    assert run.summary["connections"] == len(server.connection_logs) + 1
    return run, server, back_s


def most_at_a_time(server: InstrumentedServer) -> int:
    """Return the largest number of connections that stood at the same time."""
    ends = [(account.opened_at_s, 1) for account in server.connection_logs]
    ends += [(account.closed_at_s, -1) for account in server.connection_logs if account.closed_at_s is not None]
    now = most = 0
    for _, change in sorted(ends):
        now += change
        most = max(most, now)
    return most


async def test_an_outage_is_transcribed_beside_live_speech(stage: Stage) -> None:
    """Over a connection of its own: what is said now does not wait for what was said then."""
    run, server, back_s = await outage(stage, {"backfill.after_s": 5})
    assert most_at_a_time(server) == 2
    live = [record for record in run.records if wall_s(record.start) > back_s + 2]
    old = [record for record in run.records if record.delayed_s > 8]
    assert live
    assert old
    assert max(record.delayed_s for record in live) < 5, "live speech waited for the backlog"
    written = [record.from_ for record in run.records]
    assert written != sorted(written), "something old was written after something live"


async def test_an_outage_is_transcribed_over_one_connection(stage: Stage) -> None:
    """`backfill.enabled = false`: never two at a time, and nothing is lost by that."""
    _, server, _ = await outage(stage, {"backfill.after_s": 5, "backfill.enabled": False})
    assert most_at_a_time(server) == 1


async def test_a_server_that_allows_one_connection_gets_one(stage: Stage) -> None:
    """The server refuses a second connection with 429; from then on the two senders take turns."""
    script = speech(count=4, words_each=9, silence_s=1.5)
    port = free_port()
    run = await stage.daemon(url(port), script, {"backfill.after_s": 5, **FAST})
    await played(run, script.words[20].start)
    async with serving(script, port) as server:
        await until(lambda: server.connection_logs, "a connection")
        server.inject(Fault(FaultKind.REFUSE, status=429, times=1))
        assert await run.ends(within_s=90) == 0
        run.check_words()
        run.check_times()
        assert [status for _, status in server.refusals] == [429]
        refused_s = server.refusals[0][0]
        later = [account for account in server.connection_logs if account.opened_at_s > refused_s]
        assert later
        for before, after in pairwise([a for a in server.connection_logs if (a.closed_at_s or refused_s) >= refused_s]):
            assert before.closed_at_s is not None
            assert before.closed_at_s <= after.opened_at_s, "two at a time after the refusal"


# Stops and kills


TWO = speech(count=6, words_each=6, silence_s=2)
EARLIER, LATER = part(TWO, 0, 24), part(TWO, 24, 36)
"""The parts of the recording that the first run hears, and the next one."""


async def again(stage: Stage, first: Run, port: int, **more: Setting) -> Run:
    """The next run, to its end, with a server."""
    async with serving(TWO, port):
        run = await stage.daemon(url(port), LATER, {**shared(first), **FAST, **more})
        assert await run.ends() == 0
        assert run.summary["left_s"] == 0
    return run


async def test_stopped_in_the_middle_of_an_outage(stage: Stage) -> None:
    """75: speech is left. The next run transcribes it beside its own, with the times of then."""
    port = free_port()
    async with serving(TWO, port):
        first = await stage.daemon(url(port), EARLIER, {"daemon.stop_s": 1, **FAST})
        await until(lambda: first.words == list(EARLIER.texts[:6]), "the first sentence")
        await played(first, EARLIER.words[9].start)
    to = (EARLIER.words[16].start + EARLIER.words[16].end) // 2
    await played(first, to)
    first.signal(signal.SIGTERM)
    assert await first.ends() == 75
    assert LAST_WORDS in first.log
    assert "transcribed after the next start" in first.log
    second = await again(stage, first, port)
    check(first, [Heard(first, to), Heard(second)])
    assert "of speech of an earlier run wait to be transcribed" in second.log
    assert {record.run for record in first.records} == {first.summary["run"], second.summary["run"]}


@pytest.mark.parametrize("word", [6, 9, 13])
async def test_killed_in_the_middle_of_an_outage(stage: Stage, word: int) -> None:
    """The kill comes in the first word of a sentence, when the gate has hardly opened, and in later ones."""
    port = free_port()
    first = await stage.daemon(url(port), EARLIER, FAST)
    to = (EARLIER.words[word].start + EARLIER.words[word].end) // 2
    await played(first, to)
    first.signal(signal.SIGKILL)
    assert await first.ends() == -signal.SIGKILL
    second = await again(stage, first, port)
    check(first, [Heard(first, to), Heard(second)])


@pytest.mark.parametrize("word", [8, 11, 14])
async def test_killed_while_connected(stage: Stage, word: int) -> None:
    """With words on their way in both directions, and at the end of a sentence, when its record is being written."""
    port = free_port()
    async with serving(TWO, port) as server:
        first = await stage.daemon(url(port), EARLIER, FAST)
        await until(lambda: server.received_samples > 0, "audio")
        to = EARLIER.words[word].end
        await played(first, to)
        first.signal(signal.SIGKILL)
        assert await first.ends() == -signal.SIGKILL
    second = await again(stage, first, port)
    check(first, [Heard(first, to), Heard(second)])


async def test_killed_again_and_again(stage: Stage) -> None:
    """Three runs, none of which gets to its end; the fourth has the words of all."""
    port = free_port()
    parts = [part(TWO, 6 * n, 6 * n + 6) for n in range(3)]
    runs: list[Run] = []
    for each in parts:
        run = await stage.daemon(url(port), each, {**(shared(runs[0]) if runs else {}), **FAST})
        await played(run, each.words[-1].end + each.rate)
        run.signal(signal.SIGKILL)
        await run.ends()
        runs.append(run)
    last = await again(stage, runs[0], port)
    check(runs[0], [*(Heard(run, run.script.words[-1].end + run.script.rate) for run in runs), Heard(last)])


# Spools that can't be used


async def test_a_spool_that_another_process_has(stage: Stage) -> None:
    """One line that names the process, status 78; the other goes on."""
    script = speech(lead_s=120)  # it is stopped long before
    server = await stage.recogniser(script)
    first = await stage.daemon(server.url, script)
    second = await stage.daemon(server.url, script, shared(first), begun="no such line")
    assert await second.ends() == 78, first.log + second.log
    (line,) = [line for line in second.log.splitlines() if line.startswith("edged: ")]
    assert f"is in use by another edged (process {first.process.pid})" in line
    assert first.process.returncode is None
    first.signal(signal.SIGTERM)
    assert await first.ends() == 0


async def test_a_spool_whose_directory_can_t_be_made(stage: Stage) -> None:
    """One line that says what to do, status 78."""
    script = speech(lead_s=20)
    file = stage.directory / "file"
    file.write_text("")
    for option in ("directory", "runtime_directory"):
        settings = {f"spool.{option}": str(file / "below")}
        run = await stage.daemon(url(free_port()), script, settings, begun="no such line")
        assert await run.ends() == 78
        (line,) = [line for line in run.log.splitlines() if line.startswith("edged: ")]
        assert line.startswith(f"edged: spool.{option}: {file}/below: Not a directory: ")
        assert line.endswith("set spool.enabled = false")


async def test_a_spool_that_was_damaged_between_two_runs(stage: Stage) -> None:
    """The damaged spool is set aside and reported; the next run's audio is transcribed all the same."""
    port = free_port()
    first = await stage.daemon(url(port), EARLIER, {"daemon.stop_s": 0.5})
    await played(first, EARLIER.words[5].end)
    first.signal(signal.SIGTERM)
    assert await first.ends() == 75
    database = first.directory / "spool" / "spool.db"
    database.write_bytes(b"no database" * 1000)
    second = await again(stage, first, port)
    assert first.words == list(LATER.texts)
    (line,) = [line for line in second.log.splitlines() if "was damaged" in line]
    assert "the spool (disk) was damaged" in line
    assert Path(line.rpartition("it is kept as ")[2]) in first.directory.rglob("spool.db.*")


async def test_a_disk_that_is_read_only(stage: Stage) -> None:
    """The daemon reports the disk once and goes on, with the backlog in memory."""
    script = speech()
    with small_disk(stage.directory / "disk", 4096) as disk:
        remount(disk, "ro")
        server = await stage.recogniser(script)
        server.inject(Fault(FaultKind.RESET, in_word=7))
        run = await stage.daemon(server.url, script, {"spool.directory": str(disk / "spool")})
        assert await run.ends() == 0
        run.check_words()
        warnings = [line for line in run.log.splitlines() if "WARNING spool (disk)" in line]
        assert len(warnings) == 1
        assert "Read-only file system" in warnings[0]


async def test_memory_that_is_full(stage: Stage) -> None:
    """The runtime directory takes nothing more: an outage is waited out in the process's own memory."""
    script = speech(count=6, words_each=9, silence_s=1.5)
    port = free_port()
    with small_disk(stage.directory / "memory", 256) as memory:
        run = await stage.daemon(
            url(port), script, {"spool.runtime_directory": str(memory), "backfill.after_s": 3, **FAST}
        )
        await played(run, script.words[35].start)
        assert any("WARNING spool (runtime)" in line for line in run.log.splitlines()), run.last
        async with serving(script, port):
            assert await run.ends(within_s=PATIENCE_S) == 0
        run.check_words()
        run.check_times()
        assert run.summary["evicted_s"] == 0
