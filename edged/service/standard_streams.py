"""Standard streams of a command: closed ones, readers that go away and, for the daemon, readers that take nothing."""

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
"""Bound of the queue for a reader that takes nothing: some 2,000 lines."""

DRAIN_S = 1.0
"""Time that the exit waits for queued lines: enough for a busy reader, short for one that takes nothing."""


def set_up(*, background: bool = False) -> "BackgroundWriter | None":
    """Replace `sys.stdout` and `sys.stderr`, once, at the start of a command.

    A failing write raises OutputError on standard output. On standard error it is ignored: nobody is left to report
    to. With `background`, standard error never waits for its reader; returns its writer.
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
    """Occupy the numbers of closed standard streams, so that no other file gets their output.

    /dev/null is opened for reading, so a write fails with the same error (EBADF) as on a closed stream.
    """
    for fd in range(3):
        try:
            os.fstat(fd)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDONLY), True)  # the lowest free number: this one


class _Output(io.FileIO):
    """Standard output, whose faults raise an error of their own."""

    def write(self, data: "ReadableBuffer", /) -> int:
        data = bytes(data)
        try:
            write_all(self.fileno(), data)
        except OSError as error:
            if error.errno != errno.EBADF:  # closed from the start: nobody wants the output
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
    """Stream whose `write` never waits: a thread of its own writes what is queued.

    What the queue can't hold is dropped; a line in the log says how much as soon as the reader takes data again. So a
    stopped terminal (Ctrl-S), a full pipe and a journal that stands still delay nothing.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._changed = threading.Condition()
        self._queue = bytearray()
        self._dropping = False
        """Whether writes are dropped: from one that did not fit until the queue is taken, so the loss is one gap."""
        self._dropped = 0
        """Number of dropped lines."""
        self._busy = False
        threading.Thread(target=self._run, name="stderr", daemon=True).start()
        atexit.register(self.drain, DRAIN_S)

    def writable(self) -> bool:
        """Return True."""
        return True

    def fileno(self) -> int:
        """Return the descriptor, for faulthandler, which writes to it directly."""
        return self._fd

    def isatty(self) -> bool:
        """Return whether the stream is a terminal."""
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
        """Wait up to `timeout_s` until everything is written; return whether it is."""
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
        """Wait for data; return all of it, and how many lines were dropped after it."""
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
        except BlockingIOError:  # another process has made the shared stream non-blocking
            select.select([], [fd], [])


def reader_is_gone(fd: int) -> bool:
    """Return whether nobody can read what is written: a pipe without a reader, a closed terminal or descriptor."""
    poll = select.poll()
    poll.register(fd, 0)  # poll reports errors and hang-ups unasked
    return bool(poll.poll(0)) or fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY


def watch_reader(loop: "AbstractEventLoop", fd: int, on_gone: Callable[[], None]) -> None:
    """Call `on_gone` in the event loop, once, when the reader of a pipe or terminal goes away.

    An epoll within the loop's own reports only the hang-up. The loop itself could report only readable or writable,
    which a terminal mostly is.
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
