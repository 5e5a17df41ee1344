"""The one line of `systemctl status`."""

import pytest

from edged.service.status import ServiceStatus, span, status_line


@pytest.mark.parametrize(
    ("condition", "text"),
    [
        (
            ServiceStatus(device="plughw:CARD=Device", connection="streaming"),
            "capturing plughw:CARD=Device; streaming; backlog 0.0 s",
        ),
        (
            ServiceStatus(absent_s=42.3, connection="connected", backlog_s=0.04),
            "microphone absent for 42 s; connected; backlog 0.0 s",
        ),
        (
            ServiceStatus(absence="held by another program", absent_s=42.3, connection="connected"),
            "microphone held by another program for 42 s; connected; backlog 0.0 s",
        ),
        (ServiceStatus(absence="", connection="connected"), "opening the microphone; connected; backlog 0.0 s"),
        (
            ServiceStatus(device="hw:1", connection="refused by the server: HTTP 401", retry_s=300.0, backlog_s=180.0),
            "capturing hw:1; refused by the server: HTTP 401, trying again in 5 min; backlog 3 min",
        ),
        (
            ServiceStatus(
                device="hw:1", fault="microphone delivers digital silence", connection="not connected: nobody speaks"
            ),
            "capturing hw:1; microphone delivers digital silence; not connected: nobody speaks; backlog 0.0 s",
        ),
        (
            ServiceStatus(device="hw:1", connection="streaming", undelivered=1),
            "capturing hw:1; streaming; backlog 0.0 s; 1 record not yet written",
        ),
        (
            ServiceStatus(device="hw:1", connection="streaming", undelivered=20),
            "capturing hw:1; streaming; backlog 0.0 s; 20 records not yet written",
        ),
        (
            ServiceStatus(
                device="hw:1", fault="microphone is open", connection="connected", backlog_s=1.25, ending_s=10.0
            ),
            "stopping, waiting up to 10 s for final results; connected; backlog 1.2 s",
        ),
        (
            ServiceStatus(
                device="mic", connection="streaming", undelivered=3, sink_fault="sink file: the disk is full"
            ),
            "capturing mic; streaming; backlog 0.0 s; 3 records not yet written; sink file: the disk is full",
        ),
    ],
)
def test_it_says_what_is(condition: ServiceStatus, text: str) -> None:
    assert status_line(condition) == text


@pytest.mark.parametrize(
    ("seconds", "text", "fine"),
    [
        (0.0, "0 s", "0.0 s"),
        (9.94, "10 s", "9.9 s"),
        (9.96, "10 s", "10 s"),
        (89.4, "89 s", "89 s"),
        (90.0, "2 min", "2 min"),
        (300.0, "5 min", "5 min"),
        (5400.0, "2 h", "2 h"),
        (86_400.0, "24 h", "24 h"),
        (200_000.0, "2 d", "2 d"),
    ],
)
def test_a_length_of_time_is_in_its_largest_unit(seconds: float, text: str, fine: str) -> None:
    assert (span(seconds), span(seconds, tenths=True)) == (text, fine)
