"""The life of the service on a real systemd: wrong settings, crashes, reloads, stops, hangs, two instances, removal.

These tests come after those of `test_service`; the last one removes the service.
"""

import re
import time

import pytest

from edged.testkit.script import Script
from edged.testkit.virtual_microphone import VirtualMicrophone
from tests.systemd.conftest import ABSENT, MICROPHONE_DROP_IN, Recogniser, listening, put_key, words_of
from tests.systemd.machine import Machine, Service
from tests.systemd.test_service import TRANSCRIPTS, main_pid, words_in_file

pytestmark = pytest.mark.slow


def test_wrong_settings_end_it_with_78_and_one_line_for_good(machine: Machine, service: Service) -> None:
    service.configure(capture__rat=16000)
    service.start()
    assert (service["ActiveState"], service["ExecMainStatus"], service["NRestarts"]) == ("failed", "78", "0")
    ours = [entry["MESSAGE"] for entry in service.entries("SYSLOG_IDENTIFIER=edged")]
    assert len(ours) == 1
    assert "[capture] rat is no option" in str(ours[0])


def test_the_spool_outlives_a_crash_and_wrong_settings_after_it(machine: Machine, service: Service) -> None:
    """RuntimeDirectoryPreserve=yes; with `restart` the directory would be gone."""
    service.configure(**ABSENT)
    service.start()
    machine.run("touch", "/run/edged/speech")
    service.configure(capture__rat=16000)
    machine.run("systemctl", "kill", "--signal=KILL", "--kill-whom=main", "edged")
    machine.until(lambda: service["ActiveState"] == "failed", "the end")
    machine.run("test", "-e", "/run/edged/speech")


def test_a_crash_is_followed_by_a_new_start(machine: Machine, service: Service) -> None:
    service.configure(**ABSENT)
    service.start()
    first = main_pid(service)
    machine.run("systemctl", "kill", "--signal=KILL", "--kill-whom=main", "edged")
    service.restarted(first)
    assert service["NRestarts"] == "1"


def test_a_reload_opens_the_transcripts_again_and_goes_on(
    machine: Machine, service: Service, microphone: VirtualMicrophone, recogniser: Recogniser
) -> None:
    """The real logrotate reloads the service, with the file that is installed for it."""
    put_key(machine)
    service.configure(**listening(recogniser, ["file"]))
    service.start()
    pid, file = main_pid(service), "/var/log/edged/transcripts.jsonl"
    machine.until(lambda: machine.try_("cat", file), "the first transcript")
    machine.run("logrotate", "--force", "/etc/logrotate.d/edged")
    service.says("reopening files")
    machine.until(lambda: machine.try_("cat", file), "a transcript in the new file")
    assert machine.run("cat", f"{file}.1")
    assert machine.run("stat", "-c", "%U %G %a", file) == "edged adm 640"
    assert (service["ActiveState"], main_pid(service)) == ("active", pid)


def test_a_stop_in_mid_speech_loses_nothing(
    machine: Machine, service: Service, microphone: VirtualMicrophone, recogniser: Recogniser, speech: Script
) -> None:
    """Every word that had sounded when the order came is in the journal after the end; and it ends well."""
    put_key(machine)
    service.configure(**listening(recogniser))
    service.start()
    middle = speech.words[2 * 6 + 3].start  # the third sentence's fourth word
    machine.until(lambda: (played := microphone.playback_state) and played.delivered >= middle, "the third sentence")
    machine.run("systemctl", "stop", "edged")
    assert service["Result"] == "success"
    captured = float(re.findall(r"captured ([\d.]+) s", service.log)[-1]) * speech.rate
    heard = [word.text for word in speech.words if word.end < captured - 0.1 * speech.rate]
    assert len(heard) >= 2 * 6 + 2
    assert words_of(service.entries(TRANSCRIPTS))[: len(heard)] == heard


def test_a_deaf_daemon_is_killed_says_where_it_hung_and_is_started_again(
    machine: Machine, service: Service, microphone: VirtualMicrophone, recogniser: Recogniser
) -> None:
    """A capture that is open and gives nothing: the loop turns, but nothing passes."""
    put_key(machine)
    service.drop_in(MICROPHONE_DROP_IN + "WatchdogSec=4\n")
    service.configure(**listening(recogniser))
    service.start()
    service.shows("capturing virtual")
    first = main_pid(service)
    microphone.stall()
    service.shows("is open but has delivered nothing")
    service.says("Watchdog timeout")
    microphone.resume()
    service.restarted(first)
    service.shows("capturing virtual")
    assert "edged/capture/alsa.py" in service.log


def test_a_daemon_that_stands_still_and_takes_no_signal_is_killed_all_the_same(
    machine: Machine, service: Service
) -> None:
    """A stopped process, as a loop that is blocked: SIGABRT does not reach it, SIGKILL does."""
    service.drop_in(MICROPHONE_DROP_IN + "WatchdogSec=5\nTimeoutAbortSec=1\n")
    service.configure(**ABSENT)
    service.start()
    first = main_pid(service)
    machine.run("systemctl", "kill", "--signal=STOP", "--kill-whom=main", "edged")
    service.restarted(first)
    service.says("Watchdog timeout")


HOLD = """
import fcntl, os, signal, sys, time
signal.signal(signal.SIGIO, signal.SIG_IGN)
fcntl.fcntl(os.open(sys.argv[1], os.O_RDWR), fcntl.F_SETLEASE, fcntl.F_WRLCK)
open("/srv/held", "w").close()
while not os.path.exists("/srv/let-go"):
    time.sleep(0.05)
"""
"""Holds a lease on a file, so that each process that opens it waits: for up to 45 s, the kernel's limit."""


def test_a_disk_that_hangs_at_the_start_is_no_reason_to_be_killed(machine: Machine, service: Service) -> None:
    """SQLite's open(2) of a killed process's log does not come back for longer than a start may take."""
    limit_s = 10.0
    service.configure(**ABSENT)
    service.start()
    log = "/run/edged/spool.db-wal"
    machine.until(lambda: machine.try_("sh", "-c", f"test -s {log} && echo written"), "the spool's log")
    machine.run("systemctl", "kill", "--signal=KILL", "--kill-whom=main", "edged")
    service.stop()
    machine.write("/srv/hold.py", HOLD)
    machine.run("rm", "-f", "/srv/held", "/srv/let-go")
    machine.run("sh", "-c", f"{machine.python} /srv/hold.py {log} >/dev/null 2>&1 &")
    machine.until(lambda: machine.call("test", "-e", "/srv/held").returncode == 0, "the lease")
    service.drop_in(f"{MICROPHONE_DROP_IN}TimeoutStartSec={limit_s}\n")
    service.mark()
    machine.run("systemctl", "start", "--no-block", "edged")
    service.shows("opening the spool")
    first = main_pid(service)
    time.sleep(limit_s)
    assert service["ActiveState"] == "activating"
    machine.run("touch", "/srv/let-go")
    machine.until(lambda: service["ActiveState"] == "active", "the start")
    assert (service["NRestarts"], main_pid(service)) == ("0", first)


def test_absence_and_a_mute_are_no_reason_to_be_killed(
    machine: Machine, service: Service, microphone: VirtualMicrophone, recogniser: Recogniser
) -> None:
    """Each lasts longer than the watchdog waits."""
    put_key(machine)
    service.drop_in(MICROPHONE_DROP_IN + "WatchdogSec=5\n")
    service.configure(**listening(recogniser))
    service.start()
    service.shows("capturing virtual")
    first, limit_s = main_pid(service), 7.0
    microphone.unplug()
    service.shows("microphone absent for")
    time.sleep(limit_s)
    microphone.mute()
    service.shows("capturing virtual")
    time.sleep(limit_s)
    assert (service["ActiveState"], main_pid(service)) == ("active", first)


def test_two_instances_run_side_by_side(
    machine: Machine, service: Service, microphone: VirtualMicrophone, recogniser: Recogniser, speech: Script
) -> None:
    """Each with its own configuration, state and transcripts: one hears, the other waits for its card."""
    put_key(machine)
    hall, kitchen = (Service(machine, f"edged@{name}.service") for name in ("hall", "kitchen"))
    hall.configure(**ABSENT)
    kitchen.drop_in(MICROPHONE_DROP_IN)
    kitchen.configure(**listening(recogniser, ["file"]))
    try:
        for instance in (hall, kitchen):
            instance.start()
        machine.until(lambda: words_in_file(machine, "/var/log/edged-kitchen") == list(speech.texts), "all words")
        assert [instance["ActiveState"] for instance in (hall, kitchen)] == ["active", "active"]
        for place in ("/var/lib", "/run", "/var/log"):
            machine.run("test", "-d", f"{place}/edged-hall", "-a", "-d", f"{place}/edged-kitchen")
        assert words_in_file(machine, "/var/log/edged-hall") == []
        hall.shows("microphone absent for")
    finally:
        for instance in (hall, kitchen):
            instance.stop()
        machine.run("rm", "-r", "/etc/systemd/system/edged@kitchen.service.d")


@pytest.mark.parametrize("machine", ["wheel"], indirect=True)
def test_uninstalling_leaves_only_what_is_the_users(machine: Machine, service: Service) -> None:
    service.configure(**ABSENT)
    service.start()
    machine.run(machine.program, "service", "uninstall")
    assert machine.try_("systemctl", "is-active", "edged") == "inactive"
    left = machine.run("sh", "-c", "find /etc /usr/local -name '*edged*' -not -path '*.service.d*'").split()
    assert sorted(left) == ["/etc/edged", "/etc/edged/edged.toml"]
    assert machine.call("systemctl", "cat", "edged@x.service").returncode != 0
    machine.run(machine.program, "service", "install")
