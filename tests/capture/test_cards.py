"""Cards and their holders, found in /sys and /proc."""

import errno
import logging
import time
from pathlib import Path

import pytest

from edged.capture import alsa, cards, opening
from edged.capture.alsa import AlsaSource
from edged.capture.alsa_errors import explain
from edged.capture.cards import (
    Address,
    Card,
    CardHolder,
    capture_cards,
    choose_device,
    find_card,
    find_holder,
    parse_address,
)
from edged.config.settings import CaptureSettings
from edged.model.audio import Block, SourceLost, SourceOpened
from edged.model.errors import SourceAwayError, SourceError, SourceMismatchError
from tests.capture.conftest import EventLog, Microphone, Running, settings, speech_like


class Machine:
    """The files of /sys and /proc about sound cards."""

    def __init__(self, root: Path) -> None:
        self.sys, self.proc, self.nodes = root / "sys", root / "proc", root / "snd"
        self.sys.mkdir()
        self.proc.mkdir()
        self.nodes.mkdir()

    def plug(self, number: int, id_: str, *nodes: str) -> None:
        (self.sys / f"card{number}").mkdir()
        (self.nodes / f"controlC{number}").touch()
        (self.sys / f"card{number}" / "id").write_text(f"{id_}\n")
        for node in nodes:
            (self.sys / f"pcmC{number}{node}").mkdir()

    def link(self, ports: dict[str, int]) -> list[Path]:
        """Make a link of udev."""
        directory = self.nodes / "by-path"
        directory.mkdir()
        for port, number in ports.items():
            (directory / port).symlink_to(f"../controlC{number}")
        return [directory / port for port in ports]

    def hold(self, number: int, text: str, *, device: int = 0, subdevice: int = 0) -> None:
        streams = self.proc / "asound" / f"card{number}" / f"pcm{device}c"
        status = streams / f"sub{subdevice}" / "status"
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
    monkeypatch.setattr(cards, "NODES", made.nodes)
    return made


def test_only_capture_cards_count(machine: Machine) -> None:
    machine.plug(0, "vc4hdmi0", "D0p")
    machine.plug(2, "Device", "D0p", "D0c")
    machine.plug(10, "seeed", "D1c", "D2c")
    assert capture_cards() == [Card(2, "Device", (0,)), Card(10, "seeed", (1, 2))]
    assert [card.name for card in capture_cards()] == ["plughw:CARD=Device", "plughw:CARD=seeed,DEV=1"]


def test_a_machine_without_sound_has_no_cards(machine: Machine) -> None:
    assert capture_cards() == []
    machine.sys.rmdir()
    assert capture_cards() == []


@pytest.mark.parametrize(
    ("device", "address"),
    [
        ("plughw:CARD=Device", Address("Device", 0, None, True)),
        ("plughw:CARD=Device,DEV=1", Address("Device", 1, None, True)),
        ("hw:DEV=1,CARD=Device,SUBDEV=2", Address("Device", 1, 2, True)),
        ("hw:Device,0", Address("Device", 0, None, True)),
        ("hw:Device,1,3", Address("Device", 1, 3, True)),
        ("plughw:2", Address("2", 0, None, True)),
        ("plughw:CARD=/dev/snd/by-path/usb-0:1.2:1.0", Address("/dev/snd/by-path/usb-0:1.2:1.0", 0, None, True)),
        ("dsnoop:CARD=Device", Address("Device", 0, None, False)),
        ("hw:Device,first", None),
        ("default", None),
        ("array:1", None),
    ],
)
def test_a_device_name_is_parsed_into_card_and_device(device: str, address: Address | None) -> None:
    assert parse_address(device) == address


def test_a_card_is_found_by_id_or_number(machine: Machine) -> None:
    machine.plug(2, "Device", "D0c")
    assert find_card("plughw:CARD=Device") == find_card("hw:2") == Card(2, "Device", (0,))
    assert find_card("plughw:CARD=Other") is None
    assert find_card("default") is None


def test_auto_means_the_one_capture_card(machine: Machine) -> None:
    with pytest.raises(SourceError, match="no card that captures is there") as absent:
        choose_device()
    assert not isinstance(absent.value, SourceMismatchError)
    machine.plug(1, "Device", "D0c")
    assert choose_device() == "plughw:CARD=Device"
    machine.plug(2, "Webcam", "D0c")
    with pytest.raises(SourceMismatchError) as several:
        choose_device()
    assert 'device = "plughw:CARD=Device" or device = "plughw:CARD=Webcam"' in str(several.value)


def test_the_holder_is_a_process_not_its_thread(machine: Machine) -> None:
    machine.plug(1, "Device", "D0c")
    card = "plughw:CARD=Device"
    assert find_holder(card) is None, "no /proc/asound: unknown"
    machine.hold(1, "closed\n")
    assert find_holder(card) is None
    machine.process(812, 800, "pipewire")
    machine.hold(1, "state: RUNNING\nowner_pid   : 812\ntrigger_time: 3\n")
    assert find_holder(card) == CardHolder(800, "pipewire")
    busy = explain(Exception("Device or resource busy [plughw:CARD=Device]"), "plughw:CARD=Device")
    assert "is held by pipewire (pid 800)" in str(busy)


def test_a_holder_without_a_name_is_another_process(machine: Machine) -> None:
    machine.plug(1, "Device", "D0c")
    machine.hold(1, "owner_pid   : 812\n")
    assert find_holder("hw:1") == CardHolder(812, "another process")


@pytest.mark.parametrize(
    ("error", "kind", "text"),
    [
        ("No such device [hw:1]", SourceAwayError, "is not there"),
        ("No such file or directory [hw:1]", SourceAwayError, "is not there"),
        ("Permission denied [hw:1]", SourceError, "group `audio`"),
        (
            "Input/output error [hw:1]",
            SourceError,
            "fails: Input/output error; if it is a USB device, try another cable",
        ),
        ("No space left on device [hw:1]", SourceError, "No space left on device; the USB bus has no bandwidth left"),
        (
            "Host is down [default]",
            SourceError,
            "Host is down; no sound server runs for this user: name the card",
        ),
        ("Connection refused [default]", SourceError, "Connection refused; no sound server runs for this user"),
        ("Connection timed out [hw:1]", SourceError, "does not answer: plug it in again"),
        ("Protocol error [hw:1]", SourceError, "another cable or port"),
        ("Invalid argument [hw:1]", SourceError, "Invalid argument; a card that is not ready yet"),
    ],
)
def test_each_error_is_one_line_with_a_cure(error: str, kind: type[SourceError], text: str) -> None:
    made = explain(Exception(error), "hw:1")
    assert type(made) is kind
    assert text in str(made)


def test_auto_opens_nothing_until_the_first_card_appears(
    machine: Machine,
    microphone: Microphone,
    events: EventLog,
    running: Running,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(alsa, "POLL_S", 0.05)
    microphone(speech_like(1), card=True)
    running(AlsaSource(settings("auto"), events.put))
    assert "as soon as it appears" in events.wait(SourceLost).reason
    machine.plug(1, "Device", "D0c")
    events.wait(Block)
    assert events.all(SourceOpened)[0].device == "plughw:CARD=Device"


def test_a_held_card_is_not_opened_until_it_is_free(
    machine: Machine,
    microphone: Microphone,
    events: EventLog,
    running: Running,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(alsa, "POLL_S", 0.02)
    opened: list[str] = []
    original = opening.open_pcm

    def open_pcm(device: str, wanted: CaptureSettings) -> tuple[object, str]:
        opened.append(device)
        return original(device, wanted)

    monkeypatch.setattr(alsa, "open_pcm", open_pcm)
    virtual = microphone(speech_like(1), card=True)
    machine.plug(1, "Device", "D0c")
    machine.process(812, 800, "pipewire")
    machine.hold(1, "owner_pid   : 812\n")
    virtual.hold_open()
    running(AlsaSource(settings("auto"), events.put))
    assert "pipewire" in events.wait(SourceLost).reason
    virtual.resume()  # it could be opened now, but /proc says that it is held
    assert opened == ["plughw:CARD=Device"]
    machine.hold(1, "closed\n")
    events.wait(Block)
    assert opened == ["plughw:CARD=Device"] * 2


def test_a_card_is_held_only_if_the_wanted_device_has_no_free_substream(machine: Machine) -> None:
    machine.plug(1, "Device", "D0c", "D1c")
    machine.process(812, 800, "pipewire")
    machine.hold(1, "owner_pid   : 812\n", subdevice=0)
    machine.hold(1, "closed\n", subdevice=1)
    machine.hold(1, "owner_pid   : 812\n", device=1)
    names = ("plughw:CARD=Device", "hw:1,0,0", "hw:1,0,1", "plughw:CARD=Device,DEV=1")
    assert [find_holder(name) is not None for name in names] == [False, True, False, True]


def test_a_name_that_shares_its_card_never_counts_as_held(machine: Machine) -> None:
    machine.plug(1, "Device", "D0c")
    machine.process(812, 800, "arecord")
    machine.hold(1, "owner_pid   : 812\n")
    assert cards.is_held("plughw:CARD=Device")
    assert not cards.is_held("dsnoop:CARD=Device")
    assert not cards.is_held("mine")


@pytest.mark.parametrize("device", ["plughw:CARD=Device", "dsnoop:CARD=Device"])
def test_a_microphone_returns_while_another_program_holds_another_substream(
    machine: Machine,
    microphone: Microphone,
    events: EventLog,
    running: Running,
    monkeypatch: pytest.MonkeyPatch,
    device: str,
) -> None:
    monkeypatch.setattr(alsa, "POLL_S", 0.02)
    virtual = microphone(speech_like(1), card=True)
    machine.plug(1, "Device", "D0c", "D1c")
    machine.process(812, 800, "pipewire")
    machine.hold(1, "closed\n", subdevice=0)
    machine.hold(1, "owner_pid   : 812\n", subdevice=1)
    machine.hold(1, "owner_pid   : 812\n", device=1)
    if device.startswith("dsnoop"):
        virtual.config.write_text(virtual.config.read_text().replace("pcm.!plughw", "pcm.!dsnoop"))
        machine.hold(1, "owner_pid   : 812\n", subdevice=0)
    running(AlsaSource(settings(device), events.put))
    events.wait(Block)
    virtual.unplug()
    events.wait(SourceLost)
    virtual.replug()
    events.wait(SourceOpened, 2)


@pytest.mark.slow
def test_a_failing_card_is_opened_at_growing_intervals_and_at_once_after_a_change(
    machine: Machine, microphone: Microphone, events: EventLog, running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each failed opening leaks 90 bytes in alsaaudio."""
    monkeypatch.setattr(alsa, "POLL_S", 0.02)
    openings: list[float] = []
    original = opening.open_pcm

    def open_pcm(device: str, wanted: CaptureSettings) -> tuple[object, str]:
        openings.append(time.monotonic())
        return original(device, wanted)

    monkeypatch.setattr(alsa, "open_pcm", open_pcm)
    virtual = microphone(speech_like(1), card=True)
    machine.plug(1, "Device", "D0c")
    virtual.refuse_opening(errno.EIO)
    running(AlsaSource(settings("plughw:CARD=Device"), events.put))
    time.sleep(0.7)
    assert 2 <= len(openings) <= 7, "at 0, 0.02, 0.04, 0.08, 0.16, 0.32 and 0.64 s, if nobody is late"
    virtual.resume()
    (machine.nodes / "controlC1").chmod(0o660)  # as by udev
    events.wait(Block, timeout_s=0.5)


@pytest.mark.parametrize(
    ("ids", "ambiguous"),
    [
        (["Device", "Device_1"], {"Device", "Device_1"}),
        (["Device_1", "Device_2", "Webcam"], {"Device_1", "Device_2"}),
        (["USBMicrophoneXY", "USBMicrophone_1"], {"USBMicrophoneXY", "USBMicrophone_1"}),
        (["Device", "Webcam"], set()),
        (["Device", "Device2"], set()),
    ],
)
def test_ids_that_differ_only_by_the_kernels_number_are_ambiguous(
    machine: Machine, ids: list[str], ambiguous: set[str]
) -> None:
    for number, id_ in enumerate(ids):
        machine.plug(number, id_, "D0c")
    assert {card.id for card in capture_cards() if card.ambiguous} == ambiguous


def test_two_microphones_of_one_kind_are_named_by_port(machine: Machine) -> None:
    machine.plug(1, "Device", "D0c")
    machine.plug(2, "Device_1", "D1c")
    assert "does not create" in (cards.ambiguity_warning("plughw:CARD=Device") or ""), "there is no udev"
    ports = machine.link({"pci-0000:00:14.0-usb-0:1.2:1.0": 1, "pci-0000:00:14.0-usb-0:1.3:1.0": 2})
    by_port = f"plughw:CARD={ports[1]},DEV=1"
    assert (cards.ambiguity_warning("plughw:CARD=Device_1") or "").endswith(f"name it by its port: {by_port}")
    assert cards.ambiguity_warning(by_port) is None
    assert find_card(by_port) == capture_cards()[1]
    with pytest.raises(SourceMismatchError) as several:
        choose_device()
    assert f'device = "plughw:CARD={ports[0]}" or device = "{by_port}"' in str(several.value)


def test_a_name_that_may_mean_another_card_after_a_boot_is_a_warning_at_the_start(
    machine: Machine,
    microphone: Microphone,
    events: EventLog,
    running: Running,
    caplog: pytest.LogCaptureFixture,
) -> None:
    microphone(b"", card=True)
    machine.plug(1, "Device", "D0c")
    machine.plug(2, "Device_1", "D0c")
    running(AlsaSource(settings("plughw:CARD=Device_1"), events.put))
    events.wait(SourceOpened)
    (warning,) = (record.message for record in caplog.records if record.levelno >= logging.WARNING)
    assert warning.startswith("plughw:CARD=Device_1 may be another card after the next start")


def test_a_playback_card_with_the_same_name_makes_a_microphone_ambiguous(machine: Machine) -> None:
    machine.plug(1, "Device", "D0p")
    machine.plug(2, "Device_1", "D0c")
    (card,) = capture_cards()
    assert card.ambiguous
    assert choose_device() == "plughw:CARD=Device_1", "it is the only one"
