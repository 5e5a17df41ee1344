"""The service on a real systemd, in its sandbox: what it does at boot, in trouble, and when it is told something.

The order of these tests counts for the first one only: it looks at what the boot brought.
"""

import json
import re
import time
from functools import partial
from pathlib import Path

import pytest

from edged.model.message_ids import MessageId
from edged.model.record import Record
from edged.service.clock import boot_id
from edged.testkit.script import Script
from edged.testkit.virtual_microphone import VirtualMicrophone
from edged.transcripts.journal_entry import MESSAGE_ID
from tests.patience import PATIENCE_S
from tests.systemd.conftest import ABSENT, KEY, MICROPHONE_DROP_IN, Recogniser, listening, put_key, words_of
from tests.systemd.machine import Machine, Service
from tests.systemd.root import REPOSITORY

pytestmark = pytest.mark.slow

TRANSCRIPTS = f"MESSAGE_ID={MESSAGE_ID}"

PROBE = """
import ctypes, os, sys
from edged.service.clock import Synchronization, boot_id
def can(path, flags=os.O_RDONLY):
    try:
        os.close(os.open(path, flags)); return True
    except OSError:
        return False
callback = ctypes.CFUNCTYPE(ctypes.c_int)(lambda: 7)
print("boot", boot_id())
print("clock", Synchronization()())
print("uptime", can("/proc/uptime"), "asound", os.path.exists("/proc/asound") == (sys.argv[1] == "True"))
print("callback", callback())
print("audio", can("/srv/for-audio"), "secret", can("/srv/for-root"), "homes", can("/home"), can("/root"))
places = "/etc", "/etc/edged", "/usr", "/srv", "/var/lib", "/var/log", "/run", "/dev/shm/.."
print("write", [place for place in places if os.access(place, os.W_OK)])
for place in ("/var/lib/edged", "/run/edged", "/var/log/edged"):
    open(place + "/probe", "w").close()
print("done")
"""
"""Run in the sandbox in place of edged."""


def main_pid(service: Service) -> int:
    return int(service["MainPID"])


def words_in_file(machine: Machine, directory: str) -> list[str]:
    """The words of the transcripts in a directory's file."""
    lines = machine.try_("cat", f"{directory}/transcripts.jsonl").splitlines()
    return [word["word"] for line in lines for word in json.loads(line)["words"]]


def test_it_starts_at_boot_without_microphone_network_and_key(machine: Machine) -> None:
    """The boot does not wait, the unit is up, and the journal and the status say what is missing."""
    service = Service(machine)
    assert machine.run("systemctl", "is-active", "edged") == "active"
    assert service["NRestarts"] == "0"
    assert machine.run("systemctl", "list-jobs", "--no-legend") == ""
    service.says("microphone")
    service.says("nothing listens at")
    service.shows("microphone absent for")
    service.shows("nothing listens at")


def test_without_a_key_it_starts_and_says_what_to_do(machine: Machine, service: Service) -> None:
    service.configure(capture__device="plughw:CARD=Device")
    service.start()
    assert service["ActiveState"] == "active"
    service.says("no API key: put it into")


def test_the_journal_explains_what_is_wrong_and_what_to_do(machine: Machine, service: Service) -> None:
    """The ids of the log lines lead to the explanations in the installed catalogue."""
    service.configure(capture__device="plughw:CARD=Device")
    service.start()
    for message_id in (MessageId.KEY_ABSENT, MessageId.MICROPHONE_ABSENT):
        machine.until(partial(service.entries, f"MESSAGE_ID={message_id}"), message_id.name)
    explained = machine.run("journalctl", "--catalog", "--no-pager", "-u", "edged")
    assert "Subject: There is no API key" in explained
    assert "sudo systemctl restart edged" in explained
    assert "Subject: There is no microphone" in explained


def test_a_journal_of_its_own_takes_all_that_the_service_says(machine: Machine, service: Service) -> None:
    """The namespace is set up as in systemd/journal-namespace.conf; explained lines go there too."""
    service.drop_in((REPOSITORY / "systemd/journal-namespace.conf").read_text())
    service.configure(**ABSENT)
    service.start()
    own = ("journalctl", "--namespace=edged", "--no-pager", "-u", "edged")
    machine.until(lambda: "starts" in machine.try_(*own), "the first line")
    machine.until(lambda: machine.try_(*own, "-q", f"MESSAGE_ID={MessageId.MICROPHONE_ABSENT}"), "an explained line")
    assert not service.entries("SYSLOG_IDENTIFIER=edged")


def test_it_reads_the_journal_back_only_with_its_drop_in(machine: Machine, service: Service) -> None:
    """With systemd/journal-read.conf, in its sandbox; without it, it says what that costs."""
    told = "which this user can't read back"
    service.configure(**ABSENT)
    service.start()
    service.says(" starts")
    assert told in service.log
    drop_in = (REPOSITORY / "systemd/journal-read.conf").read_text()
    service.drop_in(drop_in.replace("#SupplementaryGroups", "SupplementaryGroups"))
    service.start()
    service.says(" starts")
    assert told not in service.log


def test_the_sandbox_scores_what_was_asked_for_by_the_systemd_that_runs_it(machine: Machine, service: Service) -> None:
    """1.2 at most, with the microphone's device class allowed (`--threshold` is in tenths)."""
    machine.run("rm", "-r", "/etc/systemd/system/edged.service.d")
    machine.run("systemctl", "daemon-reload")
    score = machine.run("systemd-analyze", "security", "--no-pager", "--threshold=12", "edged.service")
    assert "Overall exposure level for edged.service" in score


def test_a_wrong_key_is_named_and_does_not_end_it(
    machine: Machine, service: Service, microphone: VirtualMicrophone, recogniser: Recogniser
) -> None:
    put_key(machine, "0" * 40)
    service.configure(**listening(recogniser), daemon__stop_s=1)
    service.start()
    service.says("HTTP 401: the key from systemd credential deepgram-api-key is wrong")
    service.shows(" min; backlog")  # of the next try: 5 min with a tenth of jitter, and less as time goes by
    service.shows("capturing virtual; refused by the server: HTTP 401")
    assert (service["ActiveState"], service["NRestarts"]) == ("active", "0")
    assert "0" * 40 not in service.log


def test_transcripts_come_with_all_fields_to_the_journal_and_the_file(
    machine: Machine, service: Service, microphone: VirtualMicrophone, recogniser: Recogniser, speech: Script
) -> None:
    put_key(machine)
    service.configure(**listening(recogniser, ["journal", "file"]))
    service.start()
    service.shows("capturing virtual; ")
    machine.until(lambda: len(words_of(service.entries(TRANSCRIPTS))) >= len(speech.texts), "all words")
    entries = service.entries(TRANSCRIPTS)
    assert words_of(entries) == list(speech.texts)
    for entry in entries:
        assert entry["_SYSTEMD_UNIT"] == "edged.service"
        assert entry["SYSLOG_IDENTIFIER"] == "edged-transcripts"
        optional = {"speaker", "channel", "language"}
        fields = {
            f"EDGED_{name.strip('_').upper()}" for name in Record.__struct_fields__ if name not in {"text", *optional}
        }
        assert fields <= entry.keys()
        assert entry["EDGED_DEVICE"] == "virtual"
        assert json.loads(entry["EDGED_WORDS"])[0]["word"] in speech.texts
    texts = {str(entry["MESSAGE"]) for entry in entries}
    own = ("journalctl", "--no-pager", "-q", "-o", "cat", "-u", "edged")
    assert texts <= {*machine.run(*own).splitlines()}, "as a service's journal has all that it says"
    assert not texts & {*machine.run(*own, "-t", "edged").splitlines()}, "as the documentation tells them apart"
    assert texts <= {*machine.run(*own[:-2], "-t", "edged-transcripts").splitlines()}
    file = "/var/log/edged/transcripts.jsonl"
    assert machine.run("stat", "-c", "%U %G %a", file) == "edged adm 640"
    assert len(machine.run("cat", file).splitlines()) == len(entries)
    assert machine.run("cat", f"/proc/{main_pid(service)}/cgroup").endswith("/edged.service")
    assert KEY not in machine.run("journalctl", "--all", "-ojson")


def test_a_key_that_systemd_creds_has_encrypted_is_used(
    machine: Machine, service: Service, microphone: VirtualMicrophone, recogniser: Recogniser, speech: Script
) -> None:
    """The documented commands encrypt the key, which takes the place of a wrong one in plain text."""
    put_key(machine, "0" * 40)
    service.configure(**listening(recogniser))
    service.mark()
    chapter = (
        (REPOSITORY / "docs/configuration.md")
        .read_text()
        .partition("\n### Encrypt the key on disk\n")[2]
        .partition("\n## ")[0]
    )
    try:
        for command in chapter.partition("```sh\n")[2].partition("```")[0].splitlines():
            machine.run("sh", "-c", command.replace("sudo ", ""), text=KEY + "\n")
        machine.until(lambda: words_of(service.entries(TRANSCRIPTS)) == list(speech.texts), "all words")
        assert KEY not in machine.run("cat", "/etc/credstore.encrypted/deepgram-api-key")
    finally:
        machine.run("rm", "-f", "/etc/systemd/system/edged.service.d/key.conf")


def all_is_said(machine: Machine, microphone: VirtualMicrophone, speech: Script) -> None:
    """Wait for the end of the speech: a restart loses what is said in it."""
    whole = len(speech.pcm) // 2
    machine.until(
        lambda: (played := microphone.playback_state) and played.delivered >= whole,
        "the end",
        whole / speech.rate + PATIENCE_S,
    )


def test_speech_from_before_the_key_came_is_transcribed_after_it_came(
    machine: Machine, service: Service, microphone: VirtualMicrophone, recogniser: Recogniser, speech: Script
) -> None:
    """The speech waits in the spool while the server refuses, and over a restart; the catalogue names both commands."""
    service.configure(**listening(recogniser), daemon__stop_s=1)
    service.start()
    service.says("refused by the server: HTTP 401")
    assert service.entries(f"MESSAGE_ID={MessageId.KEY_ABSENT}")
    all_is_said(machine, microphone, speech)
    assert not service.entries(TRANSCRIPTS)
    put_key(machine)
    machine.run("systemctl", "restart", "edged")
    machine.until(lambda: sorted(words_of(service.entries(TRANSCRIPTS))) == sorted(speech.texts), "all words")


def test_a_place_of_ones_own_takes_a_drop_in(
    machine: Machine, service: Service, microphone: VirtualMicrophone, recogniser: Recogniser, speech: Script
) -> None:
    """Without it the log names what is missing, and nothing is lost; as the documentation says, with it."""
    put_key(machine)
    machine.run("install", "-d", "-o", "edged", "-m", "0700", "/srv/edged")
    service.configure(
        **listening(recogniser, ["file"]),
        transcripts__file__path="/srv/edged/transcripts.jsonl",
        spool__directory="/srv/edged",
    )
    service.start()
    service.says("ReadWritePaths=")
    all_is_said(machine, microphone, speech)
    service.drop_in(MICROPHONE_DROP_IN + "ReadWritePaths=-/srv/edged\n")
    service.mark()
    machine.run("systemctl", "restart", "edged")
    machine.until(lambda: sorted(words_in_file(machine, "/srv/edged")) == sorted(speech.texts), "all words")
    machine.run("test", "-e", "/srv/edged/spool.db")
    assert "ReadWritePaths=" not in service.log
    machine.run("rm", "-r", "/srv/edged")


def test_what_the_sandbox_lets_through_and_what_not(machine: Machine, service: Service) -> None:
    """Everything that edged needs to know can be read; it can write where it must, and nowhere else."""
    machine.write("/srv/probe.py", PROBE)
    for name, group in (("for-audio", "audio"), ("for-root", "root")):
        machine.write(f"/srv/{name}", "", 0o640)
        machine.run("chgrp", group, f"/srv/{name}")
    asound = Path("/proc/asound").exists()
    service.drop_in(
        "[Service]\nType=oneshot\nRestart=no\nWatchdogSec=0\nExecStart=\n"
        f"ExecStart={machine.python} /srv/probe.py {asound}\n"
    )
    service.start()
    service.says("done")
    found = dict(line.split(" ", 1) for line in service.log.splitlines() if " " in line)
    # whether it is the host's or the one that nspawn made depends on systemd's version
    assert found["boot"] in (boot_id(), machine.run("cat", "/proc/sys/kernel/random/boot_id").replace("-", ""))
    assert found["clock"] in ("synchronized", "unsynchronized", "unknown")
    assert found["uptime"] == "True asound True"
    assert found["callback"] == "7"
    assert found["audio"] == "True secret False homes False False"
    assert found["write"] == "[]"
    assert machine.run("stat", "-c", "%U %a", "/var/lib/edged") == "edged 700"
    assert machine.run("stat", "-c", "%U %a", "/run/edged") == "edged 700"
    assert machine.run("stat", "-c", "%U %G %a", "/var/log/edged") == "edged adm 2750"


@pytest.mark.parametrize("mode", ["0755", "0750"])
def test_settings_and_transcripts_of_a_terminal_are_used_without_a_word(
    machine: Machine, service: Service, microphone: VirtualMicrophone, recogniser: Recogniser, mode: str
) -> None:
    """The user who tried an instance first made its file; the mode of /etc/edged is the user's choice."""
    put_key(machine)
    kitchen, file = Service(machine, "edged@kitchen.service"), "/var/log/edged-kitchen/transcripts.jsonl"
    kitchen.drop_in(MICROPHONE_DROP_IN)
    kitchen.configure(**listening(recogniser, ["file"]))
    machine.run("chgrp", "edged", "/etc/edged", "/etc/edged/kitchen.toml")
    machine.run("chmod", mode, "/etc/edged")
    machine.run("install", "-d", "-m", "0750", "/var/log/edged-kitchen")
    machine.run("install", "-m", "0640", "/dev/null", file)
    machine.run("install", "-m", "0600", "/dev/null", "/var/log/edged-kitchen/other")
    try:
        kitchen.start()
        machine.until(lambda: machine.try_("cat", file), "a transcript")
        assert machine.run("stat", "-c", "%U %G %a", file) == "edged adm 640"
        assert machine.run("stat", "-c", "%U", "/var/log/edged-kitchen/other") == "root"
        assert "the mode is different" not in kitchen.log
    finally:
        kitchen.stop()
        machine.run("chmod", "0755", "/etc/edged")
        machine.run("rm", "-r", "/etc/systemd/system/edged@kitchen.service.d")


def test_a_transcript_file_that_can_not_be_written_is_named_by_the_status(
    machine: Machine, service: Service, microphone: VirtualMicrophone, recogniser: Recogniser
) -> None:
    put_key(machine)
    service.configure(**listening(recogniser, ["file"]), transcripts__file__path="/srv/elsewhere.jsonl")
    service.start()
    service.shows("not yet written; sink file: /srv/elsewhere.jsonl: ")


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
"""Holds a lease on a file, so that whoever opens it waits: for up to 45 s, the kernel's limit."""


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
