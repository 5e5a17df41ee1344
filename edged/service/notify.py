"""Messages to systemd on the state of the service: sd_notify(3), over its datagram socket.

systemd-python's `notify` blocks while PID 1 takes nothing, and holds the interpreter's lock meanwhile. (Measured with a
full queue, which is 11 messages: all threads stood still while the other side slept, the capture thread among them.)
Here nothing waits. What can't be sent now is sent with the next message; only the newest of each kind is kept. A
sign of life for the watchdog is never kept, because it would be untrue later.
"""

import logging
import socket
import time
from collections.abc import Mapping

from edged.model.cures import with_cure
from edged.service.log import one_line

log = logging.getLogger(__name__)

MARGIN_S = 5.0
"""Time beyond the deadline of a stop before systemd kills: for the interpreter's end, and a loaded machine."""

MAX_STATUS_LENGTH = 500
"""Characters of the status: one line for people, in which a server's words may stand."""

OPPOSITES = {"READY": "RELOADING", "RELOADING": "READY", "STOPPING": "READY"}
"""For each message, the unsent one that it makes untrue."""


class Notifier:
    """Sender of messages to systemd, which does nothing where `NOTIFY_SOCKET` is absent.

    No call raises or waits. Use it from one thread.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._address = _address(environ.get("NOTIFY_SOCKET", ""))
        self._unsent: dict[str, str] = {}
        self._status = ""
        self._failure_logged = False
        self._socket: socket.socket | None = None
        if self._address is not None:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
            self._socket.setblocking(False)

    @property
    def listening(self) -> bool:
        """Whether a service manager listens."""
        return self._socket is not None

    def ready(self) -> None:
        """Report that the service has started, or has finished reloading."""
        self._send(READY="1")

    def starting(self, within_s: float) -> None:
        """Ask for `within_s` more for the start, beyond TimeoutStartSec; to be repeated before that is over."""
        self._send(EXTEND_TIMEOUT_USEC=str(round(within_s * 1e6)))

    def status(self, text: str) -> None:
        """Set the line that `systemctl status` shows; an unchanged one is not sent again."""
        if text != self._status:
            self._status = text
            self._send(STATUS=one_line(text)[:MAX_STATUS_LENGTH])

    def reloading(self) -> None:
        """Report that a reload has begun; `ready` ends it. `Type=notify-reload` asks for the time in the message."""
        self._send(RELOADING="1", MONOTONIC_USEC=str(time.monotonic_ns() // 1000))

    def stopping(self, within_s: float) -> None:
        """Report that the service stops, which takes `within_s` at most.

        systemd stops its watchdog here and kills after TimeoutStopSec, or after `within_s` if that is more.
        """
        self._send(STOPPING="1", EXTEND_TIMEOUT_USEC=str(round((within_s + MARGIN_S) * 1e6)))

    def alive(self) -> None:
        """Give the watchdog a sign of life; `Watchdog.due` says when."""
        self._send(WATCHDOG="1")

    def close(self) -> None:
        """Close the socket; later messages are not sent."""
        if self._socket:
            self._socket.close()
            self._socket = None

    def _send(self, **fields: str) -> None:
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
            if not self._failure_logged:
                self._failure_logged = True
                log.warning("can't report the state of the service to systemd: %s", with_cure(error))
            self._unsent.pop("WATCHDOG", None)
            return
        self._unsent.clear()


def watchdog_s(environ: Mapping[str, str], pid: int) -> float | None:
    """Return the watchdog's timeout for this process (`pid`); None if nobody watches it."""
    if environ.get("WATCHDOG_PID", str(pid)) != str(pid):
        return None  # meant for the process that started us
    try:
        timeout_s = int(environ.get("WATCHDOG_USEC", "")) / 1e6
    except ValueError:
        return None
    return timeout_s if timeout_s > 0 else None


def _address(text: str) -> str | None:
    """Return the socket's address: a path, or an abstract name, which begins with a zero byte on Linux.

    Virtual machines have other kinds; those give None.
    """
    if text.startswith("@"):
        return "\0" + text[1:]
    return text if text.startswith("/") else None
