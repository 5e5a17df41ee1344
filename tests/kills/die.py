"""`edged` that dies at a named point: `python -m tests.kills.die POINT NUMBER run ...`, by SIGKILL, the NUMBERth time.

Nothing of this is in the product: functions of it are wrapped here, before its own main is called. What is wrapped
must exist, so that a renamed function is an error and not a test that no longer tests.
"""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, NamedTuple

from edged.cli.main import main
from edged.daemon import ring_recovery
from edged.daemon.daemon import Daemon
from edged.daemon.persistence import Persistence
from edged.daemon.record_writer import RecordWriter
from edged.spool import consolidation, database_health, ring_file, spool
from edged.spool.commands import CommitRecord
from edged.spool.database import Database
from edged.spool.maintenance import Maintenance
from edged.spool.ring import Ring
from edged.spool.spool import Spool
from edged.spool.tiered_store import TieredStore
from edged.spool.worker import SpoolWorker
from edged.transcripts.sinks import journal
from edged.transcripts.sinks.file import FileSink
from edged.transcripts.sinks.journal import JournalSink

AFTERWARDS_S = 0.4
"""Time after which other threads have done their work."""

STALL_S = 3.0
"""A card's, when it tidies up: some do for seconds."""

OVERDUE_S = spool.OVERDUE_S + 3
"""A stall in which records go to the sinks without being stored."""

MICROPHONE = Path("virtual.control")
"""The control file for faults of the microphone, in the instance's directory, which is the present one."""

When = Literal["live", "backlog", "start", "stop", "sinks"]
"""What must be going on for a point to be reached: anything; speech on disk; a start after a kill; SIGTERM; two
sinks."""

COPIED = "after speech is copied to disk"
COMMITTED = "after a record is committed on disk"


class Point(NamedTuple):
    """A point at which the process dies."""

    when: When
    prepare: Callable[[], None]
    first: str = COPIED
    """The point at which the process before a start died."""


POINTS: dict[str, Point] = {}
_left = 1
_inside: set[str] = set()


def _die() -> None:
    """Kill the process at the NUMBERth call."""
    global _left
    _left -= 1
    if _left <= 0:
        os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(60)  # a thread goes on for a moment until the signal is there


def _wrap(owner: Any, name: str, before: Callable[..., Any] | None, after: Callable[..., Any] | None = None) -> None:
    original = getattr(owner, name)

    def wrapped(*args: Any, **options: Any) -> Any:
        if before:
            before(*args)
        result = original(*args, **options)
        if after:
            after(*args)
        return result

    setattr(owner, name, wrapped)


def _within(owner: Any, name: str, mark: str, condition: Callable[..., bool] = lambda *_: True) -> None:
    """Keep `mark` in `_inside` while a method runs."""
    _wrap(
        owner,
        name,
        lambda *args: _inside.add(mark) if condition(*args) else None,
        lambda *_: _inside.discard(mark),
    )


def point(name: str, when: When = "live", first: str = COPIED) -> Callable[[Callable[[], None]], Callable[[], None]]:
    """Register a function that prepares this point."""

    def enter(prepare: Callable[[], None]) -> Callable[[], None]:
        POINTS[name] = Point(when, prepare, first)
        return prepare

    return enter


def _at_commit(where: str, *, within: str, after: bool, do: Callable[[], None] = _die) -> None:
    """Call `do` at a database's COMMIT, while `within` goes on."""

    def look(database: Database, statement: str, *_: object) -> None:
        if statement == "COMMIT" and database.tier == where and within in _inside:
            do()

    _wrap(Database, "execute", None if after else look, look if after else None)


def _records(_: SpoolWorker, writes: list[object], *__: object) -> bool:
    return any(isinstance(order, CommitRecord) for order in writes)


def _commit(where: str, *, after: bool) -> Callable[[], None]:
    def prepare() -> None:
        _within(SpoolWorker, "_write", "record", _records)
        _at_commit(where, within="record", after=after)

    return prepare


def _move(where: str, *, after: bool, within: str = "move", do: Callable[[], None] = _die) -> Callable[[], None]:
    def prepare() -> None:
        _within(TieredStore, "move_to_disk", "move")
        _within(Maintenance, "move_all", "stop")
        _at_commit(where, within=within, after=after, do=do)

    return prepare


def _stalling(seconds: float, *, hole: bool = False) -> Callable[[], None]:
    """The card stands still before we die; the spool's thread waits for it, and all others go on."""

    def stall() -> None:
        if _left <= 1:
            time.sleep(seconds / 2)
            if hole:
                MICROPHONE.write_text("overrun")
            time.sleep(seconds / 2)
        _die()

    return stall


for _when, _word in ((False, "before"), (True, "after")):
    point(f"{_word} a record is committed in memory")(_commit("runtime", after=_when))
    point(f"{_word} a record is committed on disk", "backlog")(_commit("disk", after=_when))
    point(f"{_word} speech is copied to disk", "backlog")(_move("disk", after=_when))
    point(f"{_word} copied speech is deleted in memory", "backlog")(_move("runtime", after=_when))
    point(f"{_word} the copy at a stop", "stop")(_move("disk", after=_when, within="stop"))
    point(f"{_word} the deletion at a stop", "stop")(_move("runtime", after=_when, within="stop"))

point("while a card stalls for seconds", "backlog")(_move("disk", after=False, do=_stalling(STALL_S)))
point("while a card stalls, after a hole", "backlog")(_move("disk", after=False, do=_stalling(STALL_S, hole=True)))
point("while a card stalls for longer than a record waits")(_move("disk", after=False, do=_stalling(OVERDUE_S)))


def _around(owner: Any, name: str, *, after: bool) -> Callable[[], None]:
    return lambda: _wrap(owner, name, None if after else lambda *_: _die(), (lambda *_: _die()) if after else None)


point("before a line is written")(_around(FileSink, "deliver", after=False))
point("after a line is written and synced")(_around(FileSink, "deliver", after=True))
point("after a line is written, before it is synced")(_around(FileSink, "_append", after=True))
point("before a record is marked as delivered")(_around(Spool, "mark_delivered", after=False))
point("before committed words are told")(_around(RecordWriter, "write", after=False))
point("between a block and the ring")(_around(Ring, "write", after=False))
point("between audio and header of the ring")(_around(Ring, "_write_header", after=False))
point("between what the gate lets through and the spool")(_around(Spool, "put_audio", after=False))


@point("in the middle of a line")
def _torn() -> None:
    def half(sink: FileSink, line: bytes) -> None:
        if _left <= 1:
            os.write(sink._fd, line[: len(line) // 2])
        _die()

    _wrap(FileSink, "_append", half)


for _first in (COPIED, COMMITTED):
    _so = f"at a start {_first}: "
    point(_so + "before open segments are ended", "start", _first)(
        _around(consolidation, "_close_segments", after=False)
    )
    point(_so + "when open segments are ended", "start", _first)(_around(consolidation, "_close_segments", after=True))
    point(_so + "when what is answered is deleted", "start", _first)(
        _around(consolidation, "_delete_recorded_audio", after=True)
    )
    point(_so + "when doubles are deleted", "start", _first)(_around(consolidation, "_delete_duplicates", after=True))
point("at a start, when the spool is open", "start")(_around(database_health.DatabaseHealth, "start", after=True))
point("at a start, before the ring is judged", "start")(_around(ring_recovery, "judge_ring", after=False))
point("at a start, when the ring is judged", "start")(_around(Persistence, "_store_recovery", after=True))
point("at a start, before there is a new ring", "start")(_around(ring_file, "Ring", after=False))
point("at a start, when there is a new ring", "start")(_around(ring_file, "Ring", after=True))
point("at a start, before records are delivered again", "start")(_around(Daemon, "_on_recovery", after=False))


@point("the file has it, the journal does not", "sinks")
def _file_first() -> None:
    written = threading.Event()
    _wrap(FileSink, "deliver", None, lambda *_: written.set())

    def wait(*_: object) -> None:
        written.wait()
        time.sleep(AFTERWARDS_S)
        _die()

    _wrap(JournalSink, "deliver", wait)


@point("the journal has it, the file does not", "sinks")
def _journal_first() -> None:
    sent = threading.Event()
    _wrap(JournalSink, "deliver", None, lambda *_: sent.set())

    def wait(*_: object) -> None:
        sent.wait()
        time.sleep(AFTERWARDS_S)
        _die()

    _wrap(FileSink, "deliver", wait)


point("one of two sinks has it, and it is not marked", "sinks")(_around(Spool, "mark_delivered", after=False))
point("never", "sinks")(lambda: None)  # the same program, to go on with


def use_journal(socket: str, directory: str) -> None:
    """A journal of one's own."""
    from systemd.journal import Reader

    original = Reader.__init__
    Reader.__init__ = lambda reader: original(reader, path=directory)
    JournalSink.__init__.__defaults__ = (socket, journal.TIMEOUT_S)


def run() -> int:
    """Returns the daemon's exit status, if it comes to that."""
    global _left
    _, name, number, *rest = sys.argv
    _left = int(number)
    if rest[0] == "--journal":
        use_journal(rest[1], rest[2])
        rest = rest[3:]
    POINTS[name].prepare()
    return main(rest)


if __name__ == "__main__":
    sys.exit(run())
