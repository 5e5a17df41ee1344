"""Tells systemd how the service is: sd_notify(3), over its datagram socket.

Not by systemd-python: its `notify` blocks while PID 1 takes nothing, and holds the interpreter's lock meanwhile
(measured with a full queue, which is 11 messages: all threads stood still for as long as the other side slept, the
capture thread among them). Here nothing waits. What can't be sent now is sent with the next message; only the newest
of each kind is kept, except for the watchdog's: an old sign of life is a lie.
"""

import logging
import socket
import time
from collections.abc import Mapping

from edged.model.cures import with_cure
from edged.service.log import one_line

log = logging.getLogger(__name__)

MARGIN_S = 5.0
"""What a drain is allowed beyond its own deadline before systemd kills it: the interpreter's end, a loaded machine."""

STATUS_MOST = 500
"""Characters: it is one line for people, and a server's words may be in it."""

OPPOSITES = {"READY": "RELOADING", "RELOADING": "READY", "STOPPING": "READY"}
"""Which unsent message the newer one makes untrue."""


class Notifier:
    """Does nothing where `NOTIFY_SOCKET` is absent. Never raises and never waits; use it from one thread."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._address = _address(environ.get("NOTIFY_SOCKET", ""))
        self._unsent: dict[str, str] = {}
        self._status = ""
        self._complained = False
        self._socket: socket.socket | None = None
        if self._address is not None:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
            self._socket.setblocking(False)

    @property
    def listening(self) -> bool:
        """Whether somebody wants to know."""
        return self._socket is not None

    def ready(self) -> None:
        """The service has started, or has finished reloading."""
        self._tell(READY="1")

    def starting(self, within_s: float) -> None:
        """The start takes `within_s` more; to be repeated before that. systemd allows it beyond TimeoutStartSec."""
        self._tell(EXTEND_TIMEOUT_USEC=str(round(within_s * 1e6)))

    def status(self, text: str) -> None:
        """One line for `systemctl status`; the same one again is not sent again."""
        if text != self._status:
            self._status = text
            self._tell(STATUS=one_line(text)[:STATUS_MOST])

    def reloading(self) -> None:
        """SIGHUP is being followed; `ready` says when that is done. The time is what `Type=notify-reload` asks for."""
        self._tell(RELOADING="1", MONOTONIC_USEC=str(time.monotonic_ns() // 1000))

    def stopping(self, within_s: float) -> None:
        """The service ends, by itself or because it was told to, and takes `within_s` at most.

        systemd stops its watchdog here and kills after TimeoutStopSec; where `within_s` is more, it allows that.
        """
        self._tell(STOPPING="1", EXTEND_TIMEOUT_USEC=str(round((within_s + MARGIN_S) * 1e6)))

    def alive(self) -> None:
        """The watchdog's food; `Watchdog.due` says when it may be given."""
        self._tell(WATCHDOG="1")

    def close(self) -> None:
        """Nothing is told any more."""
        if self._socket:
            self._socket.close()
            self._socket = None

    def _tell(self, **fields: str) -> None:
        if self._socket is None:
            return
        for name, value in fields.items():
            self._unsent.pop(OPPOSITES.get(name, ""), None)
            self._unsent[name] = value
        text = "\n".join(f"{name}={value}" for name, value in self._unsent.items())
        try:
            self._socket.sendto(text.encode(), self._address or "")
        except BlockingIOError:
            self._unsent.pop("WATCHDOG", None)  # PID 1 is busy; the rest comes with the next message
            return
        except OSError as error:
            if not self._complained:
                self._complained = True
                log.warning("systemd can't be told how the service is: %s", with_cure(error))
            self._unsent.pop("WATCHDOG", None)
            return
        self._unsent.clear()


def watchdog_s(environ: Mapping[str, str], pid: int) -> float | None:
    """After how long without a sign of life this process (`pid`) is killed; None if nobody watches it."""
    if environ.get("WATCHDOG_PID", str(pid)) != str(pid):
        return None  # meant for the process that started us
    try:
        timeout_s = int(environ.get("WATCHDOG_USEC", "")) / 1e6
    except ValueError:
        return None
    return timeout_s if timeout_s > 0 else None


def _address(text: str) -> str | None:
    """A path, or an abstract name, which Linux wants with a zero byte in front. Virtual machines have other kinds."""
    if text.startswith("@"):
        return "\0" + text[1:]
    return text if text.startswith("/") else None
