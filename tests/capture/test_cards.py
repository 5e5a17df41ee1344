"""Finding cards, and who holds them, in /sys and /proc."""

from collections.abc import Callable
from pathlib import Path

import pytest

from edged.audio import Block, Lost, Opened
from edged.capture import alsa, cards
from edged.capture.alsa import AlsaSource
from edged.capture.cards import Card, Holder, capture_cards, card_of, choose, explained, find, holder
from edged.capture.source import Source
from edged.errors import SourceError, SourceMismatch
from edged.settings import Capture
from tests.capture.conftest import Microphone, Tape, settings, speech_like


class Machine:
    """The parts of /sys and /proc that sound cards show in."""

    def __init__(self, root: Path) -> None:
        self.sys, self.proc = root / "sys", root / "proc"
        self.sys.mkdir()
        self.proc.mkdir()

    def plug(self, number: int, id_: str, *nodes: str) -> None:
        (self.sys / f"card{number}").mkdir()
        (self.sys / f"card{number}" / "id").write_text(f"{id_}\n")
        for node in nodes:
            (self.sys / f"pcmC{number}{node}").mkdir()

    def hold(self, number: int, text: str) -> None:
        status = self.proc / "asound" / f"card{number}" / "pcm0c" / "sub0" / "status"
        status.parent.mkdir(parents=True, exist_ok=True)
        status.write_text(text)

    def process(self, thread: int, pid: int, name: str) -> None:
        for directory, own in ((self.proc / str(thread), "alsa-source-USB"), (self.proc / str(pid), name)):
            directory.mkdir(exist_ok=True)
            (directory / "comm").write_text(f"{own}\n")
            (directory / "status").write_text(f"Name:\t{own}\nTgid:\t{pid}\nPid:\t{thread}\n")


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    made = Machine(tmp_path)
    monkeypatch.setattr(cards, "SYSFS", made.sys)
    monkeypatch.setattr(cards, "PROC", made.proc)
    return made


def test_only_cards_that_capture_count(machine: Machine) -> None:
    machine.plug(0, "vc4hdmi0", "D0p")
    machine.plug(2, "Device", "D0p", "D0c")
    machine.plug(10, "seeed", "D1c", "D2c")
    assert capture_cards() == [Card(2, "Device", (0,)), Card(10, "seeed", (1, 2))]
    assert [card.name for card in capture_cards()] == ["plughw:CARD=Device", "plughw:CARD=seeed,DEV=1"]


def test_a_machine_without_sound_has_none(machine: Machine) -> None:
    assert capture_cards() == []
    machine.sys.rmdir()
    assert capture_cards() == []


@pytest.mark.parametrize(
    ("device", "card"),
    [
        ("plughw:CARD=Device", "Device"),
        ("plughw:CARD=Device,DEV=1", "Device"),
        ("hw:Device,0", "Device"),
        ("plughw:2", "2"),
        ("dsnoop:CARD=Device", "Device"),
        ("default", None),
        ("array:1", None),
    ],
)
def test_a_device_name_says_which_card_it_means(device: str, card: str | None) -> None:
    assert card_of(device) == card


def test_a_card_is_found_by_id_or_number(machine: Machine) -> None:
    machine.plug(2, "Device", "D0c")
    assert find("plughw:CARD=Device") == find("hw:2") == Card(2, "Device", (0,))
    assert find("plughw:CARD=Other") is None
    assert find("default") is None


def test_auto_is_the_one_card_that_captures(machine: Machine) -> None:
    with pytest.raises(SourceError, match="no card that captures is there") as absent:
        choose()
    assert not isinstance(absent.value, SourceMismatch)
    machine.plug(1, "Device", "D0c")
    assert choose() == "plughw:CARD=Device"
    machine.plug(2, "Webcam", "D0c")
    with pytest.raises(SourceMismatch) as several:
        choose()
    assert 'device = "plughw:CARD=Device" or device = "plughw:CARD=Webcam"' in str(several.value)


def test_the_process_that_holds_a_card_is_named_not_its_thread(machine: Machine) -> None:
    machine.plug(1, "Device", "D0c")
    (card,) = capture_cards()
    assert holder(card) is None, "no /proc/asound: unknown"
    machine.hold(1, "closed\n")
    assert holder(card) is None
    machine.process(812, 800, "pipewire")
    machine.hold(1, "state: RUNNING\nowner_pid   : 812\ntrigger_time: 3\n")
    assert holder(card) == Holder(800, "pipewire")
    busy = explained(Exception("Device or resource busy [plughw:CARD=Device]"), "plughw:CARD=Device")
    assert "is held by pipewire (pid 800)" in str(busy)


def test_a_holder_that_can_not_be_looked_at_is_another_process(machine: Machine) -> None:
    machine.plug(1, "Device", "D0c")
    machine.hold(1, "owner_pid   : 812\n")
    assert holder(capture_cards()[0]) == Holder(812, "another process")


@pytest.mark.parametrize(
    ("error", "kind", "text"),
    [
        ("No such device [hw:1]", SourceError, "is not there"),
        ("No such file or directory [hw:1]", SourceError, "is not there"),
        ("Permission denied [hw:1]", SourceError, "group `audio`"),
        ("Input/output error [hw:1]", SourceError, "fails: Input/output error"),
        ("Invalid argument [hw:1]", SourceMismatch, "can't do what is asked for"),
    ],
)
def test_each_error_becomes_one_line_that_says_what_to_do(error: str, kind: type[SourceError], text: str) -> None:
    made = explained(Exception(error), "hw:1")
    assert type(made) is kind
    assert text in str(made)


def test_auto_waits_for_the_first_card_without_opening_anything_and_takes_it(
    machine: Machine,
    microphone: Microphone,
    tape: Tape,
    running: Callable[[Source], Source],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(alsa, "RETRY_S", 0.05)
    microphone(speech_like(1), card=True)
    running(AlsaSource(settings("auto"), tape.put))
    assert "plugged in" in tape.wait(Lost).reason
    machine.plug(1, "Device", "D0c")
    tape.wait(Block)
    assert tape.all(Opened)[0].device == "plughw:CARD=Device"


def test_a_held_card_is_not_opened_until_it_is_free(
    machine: Machine,
    microphone: Microphone,
    tape: Tape,
    running: Callable[[Source], Source],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(alsa, "RETRY_S", 0.02)
    opened: list[str] = []
    really = alsa.open_pcm

    def open_pcm(device: str, wanted: Capture) -> tuple[object, str]:
        opened.append(device)
        return really(device, wanted)

    monkeypatch.setattr(alsa, "open_pcm", open_pcm)
    virtual = microphone(speech_like(1), card=True)
    machine.plug(1, "Device", "D0c")
    machine.process(812, 800, "pipewire")
    machine.hold(1, "owner_pid   : 812\n")
    virtual.busy()
    running(AlsaSource(settings("auto"), tape.put))
    assert "pipewire" in tape.wait(Lost).reason
    virtual.resume()  # it could be opened now, but /proc says that it is held
    assert opened == ["plughw:CARD=Device"]
    machine.hold(1, "closed\n")
    tape.wait(Block)
    assert opened == ["plughw:CARD=Device"] * 2
