"""The sound cards that capture, and who holds them: read from /sys and /proc, without opening any.

/sys/class/sound is read for presence because a service with `ProcSubset=pid` has no /proc/asound; that one is needed
for the holder only, and its absence means "unknown".
"""

import errno
import os
import re
from pathlib import Path
from typing import NamedTuple

from edged.errors import SourceError, SourceMismatch
from edged.troubles import Trouble

SYSFS = Path("/sys/class/sound")
PROC = Path("/proc")

_CAPTURE = re.compile(r"pcmC(\d+)D(\d+)c")
_CARD = re.compile(r"(?:.*\bCARD=|(?:plug)?hw:)([^,=]+)(?:,.*)?")


class Card(NamedTuple):
    """A card that captures."""

    number: int
    """Changes from boot to boot: never shown, never stored."""
    id: str
    devices: tuple[int, ...]
    """Its PCM devices that capture, ascending."""

    @property
    def name(self) -> str:
        """What to write for `capture.device`; stays the same wherever the card is plugged in."""
        return f"plughw:CARD={self.id}" + (f",DEV={self.devices[0]}" if self.devices[0] else "")


class Holder(NamedTuple):
    """A process that has a card open."""

    pid: int
    name: str

    def __str__(self) -> str:
        """For people."""
        return f"{self.name} (pid {self.pid})"


def capture_cards() -> list[Card]:
    """The cards that capture, by index."""
    devices: dict[int, list[int]] = {}
    for entry in SYSFS.iterdir() if SYSFS.is_dir() else ():
        if match := _CAPTURE.fullmatch(entry.name):
            devices.setdefault(int(match[1]), []).append(int(match[2]))
    cards = []
    for index, numbers in sorted(devices.items()):
        id_ = _text(SYSFS / f"card{index}" / "id")
        if id_ is not None:  # None: unplugged while we looked
            cards.append(Card(index, id_, tuple(sorted(numbers))))
    return cards


def card_of(device: str) -> str | None:
    """Which card a device name means: `Device` for `plughw:CARD=Device,DEV=0` or `hw:Device`; None if it names none."""
    match = _CARD.fullmatch(device)
    return match[1] if match else None


def find(device: str) -> Card | None:
    """The present card that a device name means (by id, or by number for those who insist)."""
    wanted = card_of(device)
    return next((card for card in capture_cards() if wanted in (card.id, str(card.number))), None)


def holder(card: Card) -> Holder | None:
    """Who captures from the card; None if nobody does, or it can't be known."""
    for device in card.devices:
        for status in (PROC / "asound" / f"card{card.number}" / f"pcm{device}c").glob("sub*/status"):
            if match := re.search(r"owner_pid\s*:\s*(\d+)", _text(status) or ""):
                return _process(int(match[1]))
    return None


def choose() -> str:
    """What `auto` means: the one card that captures. Raises SourceError if there is none, SourceMismatch if several."""
    present = capture_cards()
    if not present:
        raise SourceError("no card that captures is there; it is used as soon as it is plugged in")
    if len(present) > 1:
        lines = " or ".join(f'device = "{card.name}"' for card in present)
        raise SourceMismatch(f"several cards capture; choose one under [capture]: {lines}")
    return present[0].name


def explained(error: Exception, device: str) -> SourceError:
    """An error of alsaaudio's (`<text of the errno> [<name>]`) as one line: what happens next, or what to do.

    It reads well after `microphone: `, and alone.
    """
    text = str(error).split(" [", 1)[0]
    if text == os.strerror(errno.EBUSY):
        card = find(device)
        held = card and holder(card)
        busy = SourceError(f"{device} is held by {held or 'another process'}; it is used as soon as it is free")
        return busy.known_as(Trouble.MICROPHONE_BUSY)
    if text in (os.strerror(errno.ENODEV), os.strerror(errno.ENOENT), os.strerror(errno.ENXIO)):
        return SourceError(f"{device} is not there; it is used as soon as it is (`edged devices` lists all)")
    if text in (os.strerror(errno.EACCES), os.strerror(errno.EPERM)):
        forbidden = SourceError(f"{device} may not be opened by this user: add it to the group `audio`")
        return forbidden.known_as(Trouble.MICROPHONE_FORBIDDEN)
    if text == os.strerror(errno.EINVAL):
        return SourceMismatch(f"{device} can't do what is asked for, or its ALSA definition is wrong")
    return SourceError(f"{device} fails: {text}")


def _process(thread: int) -> Holder:
    """The process of a thread: the kernel notes the thread that opened, whose own name says little."""
    group = re.search(r"^Tgid:\s*(\d+)", _text(PROC / str(thread) / "status") or "", re.MULTILINE)
    pid = int(group[1]) if group else thread
    return Holder(pid, _text(PROC / str(pid) / "comm") or "another process")


def _text(path: Path) -> str | None:
    """A small file of the kernel's; None if it is gone, as everything here may be at any moment."""
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return None
