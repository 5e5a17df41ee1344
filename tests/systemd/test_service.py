"""The service on a real systemd, in its sandbox: what it does at boot, in trouble, and when it is told something.

The order of these tests counts for the first one only: it looks at what the boot brought.
"""

import json
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


def test_the_service_starts_at_boot_without_microphone_network_and_key(machine: Machine) -> None:
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


def test_the_service_reads_the_journal_back_only_with_its_drop_in(machine: Machine, service: Service) -> None:
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
