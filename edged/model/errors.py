"""Errors, sorted by what the caller does next, and the exit statuses that people and systemd see. Pure.

EdgedError               one clear line for the user, never a traceback
├── UsageError           the command line is wrong: exit 64
├── ConfigurationError   the settings are wrong: exit 78, and systemd does not try again
├── OutputError          standard output can't be written: end, quietly if nobody reads it
├── SourceError          audio can't be had now: look again once a second, capture nothing meanwhile
│   ├── SourceAwayError  it is absent or busy, and may be back at any moment
│   └── SourceMismatch   the source can't do what was asked: only other settings help
├── Unreachable          the recogniser can't be reached or was lost: try again soon, with jitter
├── Refused              it says no, and will again: try again slowly, and say so loudly
└── SinkError            a sink can't take records now: keep them, try again with growing waits
    └── SinkGoneError    it never will again: go on without it

Anything else that is raised is our own fault: a traceback, and exit 70.
"""

import errno
from enum import IntEnum
from typing import Self

from edged.model.cures import with_cure
from edged.model.message_ids import MessageId


class ExitStatus(IntEnum):
    """Exit statuses, after sysexits.h; documented in docs/operations.md."""

    OK = 0
    USAGE = 64
    OUR_FAULT = 70
    SPEECH_LEFT = 75
    """Stopped while captured speech was not yet transcribed (EX_TEMPFAIL: run it again)."""
    CONFIGURATION = 78
    INTERRUPTED = 130


class EdgedError(Exception):
    """Its text is one line, made for the person who runs the machine."""

    exit_status = ExitStatus.OUR_FAULT
    message_id: MessageId | None = None
    """What the journal knows it by."""
    status: int | None = None
    """Of the server's HTTP answer, if that is what it is about."""

    def with_message_id(self, message_id: MessageId) -> Self:
        """The same, of a kind that has an explanation of its own."""
        self.message_id = message_id
        return self


class UsageError(EdgedError):
    """The command line can't be followed."""

    exit_status = ExitStatus.USAGE


class ConfigurationError(EdgedError):
    """The settings can't be used: `problems` lists all of them, a line each."""

    exit_status = ExitStatus.CONFIGURATION
    message_id = MessageId.CONFIGURATION

    def __init__(self, *problems: str) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


class OutputError(EdgedError):
    """Standard output can't be written."""

    def __init__(self, cause: OSError) -> None:
        super().__init__(f"can't write to standard output: {with_cure(cause)}")
        self.unread = cause.errno in (errno.EPIPE, errno.EIO)
        """Nobody is there: its reader has seen enough, as in `edged devices | head -1`, or its terminal was closed."""


class SourceError(EdgedError):
    """Audio can't be had at the moment (absent, unplugged, busy)."""

    message_id = MessageId.MICROPHONE_ABSENT


class SourceAwayError(SourceError):
    """The source is absent or held by somebody else: it may be there at any moment."""


class SourceMismatchError(SourceError):
    """The source is there but can't give what the settings ask for."""

    exit_status = ExitStatus.CONFIGURATION
    message_id = MessageId.CONFIGURATION


class UnreachableError(EdgedError):
    """No connection, or a lost one; `retry_after_s` is what the server asked for, if it did."""

    message_id = MessageId.NETWORK

    def __init__(self, text: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(text)
        self.retry_after_s = retry_after_s


class RefusedError(EdgedError):
    """The server said no and will say it again until somebody changes something."""

    message_id = MessageId.REFUSED


class SinkError(EdgedError):
    """A sink could not take all records of one call; the first `delivered` of them it has for good, the others not."""

    message_id = MessageId.SINK

    def __init__(self, text: str, *, delivered: int = 0) -> None:
        super().__init__(text)
        self.delivered = delivered


class SinkGoneError(SinkError):
    """What the sink wrote to is gone for good, such as a closed terminal."""
