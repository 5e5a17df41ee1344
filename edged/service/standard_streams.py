"""Standard streams: closed ones, readers that go away and, for the daemon, readers that take nothing."""

import atexit
import errno
import fcntl
import io
import logging
import os
import select
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from edged.model.errors import OutputError

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

    from _typeshed import ReadableBuffer

log = logging.getLogger(__name__)

STDOUT = 1

QUEUE_BYTES = 262_144
"""Bound of the lines that wait for their reader: some 2,000."""

DRAIN_S = 1.0
"""Time at the end for what is queued: enough for a busy reader; one that takes nothing may not delay the exit."""


def set_up(*, background: bool = False) -> "BackgroundWriter | None":
    """Replace `sys.stdout` and `sys.stderr`, once, at the start of a command.

    A failing write raises OutputError on standard output, and is passed over on standard error: nobody is left to
    tell. `background`: standard error never waits for its reader; returns what writes it.
    """
    open_closed()
    encoding = getattr(sys.stdout or sys.stderr, "encoding", "utf-8")
    background_writer = BackgroundWriter(2) if background else None
    output = io.BufferedWriter(_Output(1, "w", closefd=False))
    errors = background_writer or _Errors(2, "w", closefd=False)
    # file names need not be text in this locale: `backslashreplace` shows them somehow
    sys.stdout = io.TextIOWrapper(output, encoding, "backslashreplace", line_buffering=os.isatty(1))
    sys.stderr = io.TextIOWrapper(errors, encoding, "backslashreplace", write_through=True)
    return background_writer


def open_closed() -> None:
    """Occupy the numbers of closed standard streams, or the next file that is opened would get what is said.

    With /dev/null for reading: who writes to it gets the same error (EBADF) as from a closed one.
    """
    for fd in range(3):
        try:
            os.fstat(fd)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDONLY), True)  # the lowest free number: this one


class _Output(io.FileIO):
    """Standard output, whose faults are told from all others."""

    def write(self, data: "ReadableBuffer", /) -> int:
        data = bytes(data)
        try:
            write_all(self.fileno(), data)
        except OSError as error:
            if error.errno != errno.EBADF:  # closed from the start: nobody wants to see it
                raise OutputError(error) from error
        return len(data)


class _Errors(io.FileIO):
    """Standard error of a command that may wait for its reader."""

    def write(self, data: "ReadableBuffer", /) -> int:
        data = bytes(data)
        with suppress(OSError):
            write_all(self.fileno(), data)
        return len(data)


class BackgroundWriter(io.BufferedIOBase):
    """A stream whose `write` never waits: a thread of its own passes on what is queued.

    What the queue can't hold is dropped, and a line in the log says how much as soon as the reader takes data again.
    So a stopped terminal (Ctrl-S), a full pipe and a journal that stands still delay nobody.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._changed = threading.Condition()
        self._queue = bytearray()
        self._dropping = False
        """From the first write that did not fit until the queue is taken, so that what is lost is in one place."""
        self._dropped = 0
        """Lines."""
        self._busy = False
        threading.Thread(target=self._run, name="stderr", daemon=True).start()
        atexit.register(self.drain, DRAIN_S)

    def writable(self) -> bool:
        """It is."""
        return True

    def fileno(self) -> int:
        """For faulthandler, which writes to it directly."""
        return self._fd

    def isatty(self) -> bool:
        """Whether people read it."""
        return os.isatty(self._fd)

    def write(self, data: "ReadableBuffer", /) -> int:
        """Queue the data, or drop and count it."""
        data = bytes(data)
        with self._changed:
            self._dropping |= len(self._queue) + len(data) > QUEUE_BYTES
            if self._dropping:
                self._dropped += data.count(b"\n")
            else:
                self._queue += data
                self._changed.notify_all()
        return len(data)

    def drain(self, timeout_s: float) -> bool:
        """Wait until all is written, `timeout_s` at most. Returns whether it is."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._queue and not self._busy, timeout_s)

    def _run(self) -> None:
        lost = 0
        while True:
            data, dropped = self._take()
            lost += dropped
            try:
                write_all(self._fd, data)
            except OSError:
                lost += data.count(b"\n")
                continue
            if lost:
                log.warning("%d line%s of the log lost: standard error took nothing", lost, "s"[: lost != 1])
                lost = 0

    def _take(self) -> tuple[bytes, int]:
        """Wait for something to write; all of it, and how many lines were dropped after it."""
        with self._changed:
            self._busy = False
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._queue)
            data, dropped = bytes(self._queue), self._dropped
            self._queue.clear()
            self._dropping, self._dropped, self._busy = False, 0, True
        return data, dropped


def write_all(fd: int, data: bytes) -> None:
    """Write to a terminal or pipe, for as long as that takes. Raises OSError."""
    while data:
        try:
            data = data[os.write(fd, data) :]
        except BlockingIOError:  # somebody who shares it has made it non-blocking
            select.select([], [fd], [])


def reader_is_gone(fd: int) -> bool:
    """Whether nobody can read what is written: a pipe without a reader, a closed terminal or descriptor."""
    poll = select.poll()
    poll.register(fd, 0)  # poll reports errors and hang-ups unasked
    return bool(poll.poll(0)) or fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY


def watch_reader(loop: "AbstractEventLoop", fd: int, on_gone: Callable[[], None]) -> None:
    """Call `on_gone` in the event loop, once, when the reader of a pipe or terminal goes away.

    An epoll in the loop's own: the loop could only be asked for readable or writable, which a terminal mostly is.
    """
    epoll = select.epoll()
    try:
        epoll.register(fd, 0)
    except OSError:  # a file: it has no reader to lose
        epoll.close()
        return

    def gone() -> None:
        loop.remove_reader(epoll)
        epoll.close()
        on_gone()

    loop.add_reader(epoll, gone)
