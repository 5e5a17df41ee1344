"""Errors, sorted by what the caller does next, and the exit statuses that people and systemd see. Pure.

EdgedError                     one clear line for the user, never a traceback
├── UsageError                 the command line is wrong: exit 64
├── ConfigurationError         the settings are wrong: exit 78, and systemd does not try again
├── OutputError                standard output can't be written: end, quietly if nobody reads it
├── SourceError                no audio is available now: look again once a second, capture nothing meanwhile
│   ├── SourceAwayError        the source is absent or busy, and may be back at any moment
│   └── SourceMismatchError    the source can't do what the settings ask: only other settings help
├── UnreachableError           the recogniser can't be reached or was lost: try again soon, with jitter
├── RefusedError               the recogniser refuses, and will again: try again slowly, and log it loudly
└── SinkError                  a sink can't take records now: keep them, try again with growing waits
    └── SinkGoneError          the sink never will again: go on without it

Any other exception is a bug in edged: a traceback, and exit 70.
"""

import errno
from enum import IntEnum
from typing import Self

from edged.model.cures import with_cure
from edged.model.message_ids import MessageId


class ExitStatus(IntEnum):
    """Exit statuses, with the numbers of sysexits.h; docs/operations.md explains them."""

    OK = 0
    USAGE = 64
    OUR_FAULT = 70
    SPEECH_LEFT = 75
    """Stopped while captured speech was not yet transcribed (EX_TEMPFAIL: run it again)."""
    CONFIGURATION = 78
    INTERRUPTED = 130


class EdgedError(Exception):
    """An error whose text is one line for the person who runs the machine."""

    exit_status = ExitStatus.OUR_FAULT
    message_id: MessageId | None = None
    """Id of the error in the journal, if the catalog explains it."""
    status: int | None = None
    """HTTP status of the server's response, if the error is about one."""

    def with_message_id(self, message_id: MessageId) -> Self:
        """The same, of a kind that has an explanation of its own."""
        self.message_id = message_id
        return self


class UsageError(EdgedError):
    """The command line can't be followed."""

    exit_status = ExitStatus.USAGE


class ConfigurationError(EdgedError):
    """The settings can't be used: `problems` holds one line for each fault."""

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
        """Whether the output has no reader any more, as in `edged devices | head -1` or on a closed terminal."""


class SourceError(EdgedError):
    """No audio is available at the moment: the source is absent, unplugged or busy."""

    message_id = MessageId.MICROPHONE_ABSENT


class SourceAwayError(SourceError):
    """The source is absent or in use by another program, and may be available at any moment."""


class SourceMismatchError(SourceError):
    """The source is available, but can't do what the settings ask for."""

    exit_status = ExitStatus.CONFIGURATION
    message_id = MessageId.CONFIGURATION


class UnreachableError(EdgedError):
    """The server can't be reached, or the connection was lost. `retry_after_s`: the wait that the server asked for."""

    message_id = MessageId.NETWORK

    def __init__(self, text: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(text)
        self.retry_after_s = retry_after_s


class RefusedError(EdgedError):
    """The server refuses, and will refuse again until somebody changes something."""

    message_id = MessageId.REFUSED


class SinkError(EdgedError):
    """A sink could not take all records of one call: the first `delivered` are written for good, the others are not."""

    message_id = MessageId.SINK

    def __init__(self, text: str, *, delivered: int = 0) -> None:
        super().__init__(text)
        self.delivered = delivered


class SinkGoneError(SinkError):
    """The destination of a sink is gone for good, such as a closed terminal."""
