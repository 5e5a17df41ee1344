"""Messages to systemd while a start takes long, on a real socket."""

import asyncio
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from edged.model.audio import SignalChange
from edged.model.message_ids import MessageId
from edged.service import manager
from edged.service.manager import ServiceManager
from edged.service.status import ServiceStatus
from tests.patience import PATIENCE_S

EVERY_S = 0.05


@pytest.fixture
def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    monkeypatch.setattr(manager, "EXTEND_START_EVERY_S", EVERY_S)
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        listening.setblocking(False)
        yield listening


def heard(systemd: socket.socket) -> list[str]:
    messages = []
    while True:
        try:
            messages.append(systemd.recv(4096).decode())
        except BlockingIOError:
            return messages


def test_a_start_that_takes_long_asks_for_more_time_and_says_why(systemd: socket.socket) -> None:
    async def start() -> None:
        made = ServiceManager()
        async with made.starting("opening the spool"):
            async with asyncio.timeout(PATIENCE_S):
                while len(messages) < 3:
                    await asyncio.sleep(EVERY_S)
                    messages.extend(heard(systemd))
        made.ready()
        messages.extend(heard(systemd))
        await asyncio.sleep(2 * EVERY_S)
        assert heard(systemd) == []
        made._notifier.close()

    messages: list[str] = []
    asyncio.run(start())
    more = "EXTEND_TIMEOUT_USEC=30000000"
    assert messages[:3] == ["STATUS=opening the spool", more, more]
    assert messages[-1] == "READY=1"


def test_a_fault_that_is_over_does_not_hide_another() -> None:
    """A stall in a mute; both end with the device."""
    mute = SignalChange("delivers digital silence", True, MessageId.MICROPHONE_SILENT)
    stall = SignalChange("has delivered nothing", True, MessageId.MICROPHONE_STUCK)
    made = ServiceManager()
    made.microphone_opened("hw:1")
    made.signal_changed(mute)
    made.signal_changed(stall)
    assert made.fault == "delivers digital silence; has delivered nothing"
    made.signal_changed(SignalChange("delivers again", False, MessageId.MICROPHONE_STUCK))
    assert made.fault == "delivers digital silence"
    made.microphone_lost(None)
    assert made.fault is None


def test_the_status_says_why_nothing_is_captured(systemd: socket.socket) -> None:
    made = ServiceManager()
    made.show(ServiceStatus())
    made.microphone_lost(MessageId.MICROPHONE_BUSY)
    made.show(ServiceStatus())
    made.microphone_lost(MessageId.MICROPHONE_ABSENT)
    made.show(ServiceStatus())
    made._notifier.close()
    assert [text.partition(";")[0] for text in heard(systemd)] == [
        "STATUS=opening the microphone",
        "STATUS=microphone held by another program for 0 s",
        "STATUS=microphone absent for 0 s",
    ]


def test_a_quick_start_says_nothing_of_it_and_a_failed_one_raises(systemd: socket.socket) -> None:
    async def start() -> None:
        made = ServiceManager()
        async with made.starting("opening the spool"):
            pass
        with pytest.raises(OSError, match="broken"):
            async with made.starting("opening the spool"):
                raise OSError("broken")
        made._notifier.close()

    asyncio.run(start())
    assert heard(systemd) == []
