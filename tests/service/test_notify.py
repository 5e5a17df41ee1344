"""Notifications to systemd, on real datagram sockets; sending one never waits."""

import logging
import os
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from edged.service.notify import Notifier, watchdog_s


class Manager:
    """The other side: PID 1."""

    def __init__(self, address: str) -> None:
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(self._address)
        self._socket.setblocking(False)
        self.notifier = Notifier({"NOTIFY_SOCKET": address})

    def heard(self) -> list[str]:
        messages = []
        while True:
            try:
                messages.append(self._socket.recv(4096).decode())
            except BlockingIOError:
                return messages

    def fill(self) -> None:
        """Takes nothing more, as while it is stopped or busy."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
            other.setblocking(False)
            other.connect(self._address)
            with suppress(BlockingIOError):
                while True:
                    other.send(b"noise")

    def close(self) -> None:
        self.notifier.close()
        self._socket.close()


@pytest.fixture(params=["file", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Manager]:
    address = (
        str(tmp_path / "notify") if request.param == "file" else f"@edged-test-{os.getpid()}-{time.monotonic_ns()}"
    )
    manager = Manager(address)
    yield manager
    manager.close()


def test_what_is_told_when(manager: Manager) -> None:
    notifier = manager.notifier
    assert notifier.listening
    notifier.ready()
    notifier.status("capturing hw:0")
    notifier.alive()
    notifier.stopping(10.0)
    assert manager.heard() == [
        "READY=1",
        "STATUS=capturing hw:0",
        "WATCHDOG=1",
        "STOPPING=1\nEXTEND_TIMEOUT_USEC=15000000",
    ]


def test_reloading_names_the_time_that_notify_reload_asks_for(manager: Manager) -> None:
    before_us = time.monotonic_ns() // 1000
    manager.notifier.reloading()
    (text,) = manager.heard()
    first, second = text.split("\n")
    assert first == "RELOADING=1"
    assert before_us <= int(second.removeprefix("MONOTONIC_USEC=")) <= time.monotonic_ns() // 1000


def test_the_same_status_is_not_sent_again(manager: Manager) -> None:
    for text in ("a", "a", "b", "a"):
        manager.notifier.status(text)
    assert manager.heard() == ["STATUS=a", "STATUS=b", "STATUS=a"]


def test_a_status_stays_one_line_of_sane_length(manager: Manager) -> None:
    """A server's own words may be in it: they must not become an order to systemd."""
    manager.notifier.status("busy\nSTOPPING=1 " + "x" * 1000)
    (text,) = manager.heard()
    assert text.startswith(r"STATUS=busy\nSTOPPING=1 ")
    assert "\n" not in text
    assert len(text) < 600


def test_what_could_not_be_sent_comes_with_the_next_message_but_no_old_sign_of_life(manager: Manager) -> None:
    manager.fill()
    manager.notifier.ready()
    manager.notifier.status("old")
    manager.notifier.alive()
    manager.notifier.status("new")
    assert set(manager.heard()) == {"noise"}
    manager.notifier.alive()
    assert manager.heard() == ["READY=1\nSTATUS=new\nWATCHDOG=1"]
    manager.notifier.alive()
    assert manager.heard() == ["WATCHDOG=1"]


def test_of_two_unsent_messages_that_contradict_each_other_the_newer_counts(manager: Manager) -> None:
    manager.fill()
    manager.notifier.reloading()
    manager.notifier.ready()
    manager.heard()
    manager.notifier.status("x")
    (text,) = manager.heard()
    assert "READY=1" in text
    assert "RELOADING" not in text


def test_without_a_socket_nothing_happens() -> None:
    for environ in ({}, {"NOTIFY_SOCKET": ""}, {"NOTIFY_SOCKET": "vsock:2:9999"}):
        notifier = Notifier(environ)
        notifier.ready()
        assert not notifier.listening


def test_a_socket_that_is_gone_is_complained_of_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    notifier = Notifier({"NOTIFY_SOCKET": str(tmp_path / "gone")})
    with caplog.at_level(logging.DEBUG):
        notifier.ready()
        notifier.alive()
    assert [record.getMessage() for record in caplog.records] == [
        "can't report the state of the service to systemd: No such file or directory"
    ]
    manager = Manager(str(tmp_path / "gone"))  # and when it is back, it hears what it has missed
    notifier.alive()
    assert manager.heard() == ["READY=1\nWATCHDOG=1"]
    manager.close()
    notifier.close()


@pytest.mark.parametrize(
    ("environ", "timeout_s"),
    [
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "7"}, 30.0),
        ({"WATCHDOG_USEC": "500000"}, 0.5),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "8"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({}, None),
    ],
)
def test_the_watchdog_is_for_the_process_it_names(environ: dict[str, str], timeout_s: float | None) -> None:
    assert watchdog_s(environ, 7) == timeout_s
