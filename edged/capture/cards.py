"""The sound cards that capture, and who holds them: read from /sys, /proc and /dev/snd, without opening a microphone.

/sys/class/sound is read for presence because a service with `ProcSubset=pid` has no /proc/asound; that one is needed
for the holder only, and its absence means "unknown".
"""

import os
import re
from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

from edged.model.errors import SourceAwayError, SourceMismatchError

SYSFS = Path("/sys/class/sound")
PROC = Path("/proc")
NODES = Path("/dev/snd")

MAX_ID = 15
"""Characters of a card's id, as the kernel has it."""

_CAPTURE = re.compile(r"pcmC(\d+)D(\d+)c")
_CARD = re.compile(r"card(\d+)")
_CONTROL = re.compile(r"controlC(\d+)")
_NUMBERED = re.compile(r"(.*)_[0-9A-F]{1,3}")
"""An id that another card had already when this one was found."""


class Card(NamedTuple):
    """A card that captures."""

    number: int
    """Changes from boot to boot: never shown, never stored."""
    id: str
    devices: tuple[int, ...]
    """Its PCM devices that capture, ascending."""
    ambiguous: bool = False
    """Its id depends on the order in which cards are found: another one's differs by the kernel's number only."""

    @property
    def name(self) -> str:
        """What to write for `capture.device`; unless `ambiguous`, the same wherever the card is plugged in."""
        return self._named(self.id)

    @property
    def control(self) -> Path:
        """Its control node: who may not open that may not open the rest."""
        return NODES / f"controlC{self.number}"

    @property
    def name_by_port(self) -> str | None:
        """Its name by the port it is plugged into, whatever is found first; None without udev's links."""
        links = [link for link in _entries(NODES / "by-path") if _number_at(NODES / "by-path" / link) == self.number]
        return self._named(str(NODES / "by-path" / min(links, key=len))) if links else None

    def _named(self, card: str) -> str:
        return f"plughw:CARD={card}" + (f",DEV={self.devices[0]}" if self.devices[0] else "")


class Address(NamedTuple):
    """Which card a device name means."""

    card: str
    """Id, number, or path of the control node."""
    device: int
    subdevice: int | None
    exclusive: bool
    """The name takes one substream for itself: hw and plughw, not dsnoop."""


class CardHolder(NamedTuple):
    """A process that has a card open."""

    pid: int
    name: str

    def __str__(self) -> str:
        """For people."""
        return f"{self.name} (pid {self.pid})"


def capture_cards() -> list[Card]:
    """The cards that capture, by index."""
    devices: dict[int, list[int]] = {}
    ids: dict[int, str] = {}
    for entry in _entries(SYSFS):
        if match := _CAPTURE.fullmatch(entry):
            devices.setdefault(int(match[1]), []).append(int(match[2]))
        elif (match := _CARD.fullmatch(entry)) and (id_ := _text(SYSFS / entry / "id")) is not None:
            ids[int(match[1])] = id_  # None: unplugged while we looked
    return [
        Card(number, ids[number], tuple(sorted(devices[number])), _is_ambiguous(ids[number], ids.values()))
        for number in sorted(devices.keys() & ids.keys())
    ]


def _is_ambiguous(id_: str, all_ids: Collection[str]) -> bool:
    """Whether the kernel has given numbers to tell this id from another; it cuts what would be too long with one."""

    def stem(numbered: str) -> str:
        match = _NUMBERED.fullmatch(numbered)
        return match[1] if match else numbered

    def clash(one: str, other: str) -> bool:
        return stem(one) == stem(other) or (
            len(other) == MAX_ID and stem(other) != other and one.startswith(stem(other))
        )

    return any(clash(id_, other) or clash(other, id_) for other in all_ids if other != id_)


def address(name: str) -> Address | None:
    """Which card a device name means, such as `plughw:CARD=Device,DEV=1` or `hw:Device,1`; None if it names none."""
    kind, _, rest = name.partition(":")
    exclusive = kind in ("hw", "plughw")
    given = dict[str, str]()
    for key, argument in zip(("CARD", "DEV", "SUBDEV"), rest.split(","), strict=False):
        named = re.fullmatch(r"([A-Z]+)=(.*)", argument)
        if named or exclusive:
            given[named[1] if named else key] = named[2] if named else argument
    device, subdevice = given.get("DEV", "0"), given.get("SUBDEV", "-1")
    if not given.get("CARD") or not device.isdecimal():
        return None
    return Address(given["CARD"], int(device), int(subdevice) if subdevice.isdecimal() else None, exclusive)


def find(name: str) -> Card | None:
    """The present card that a device name means: by id, by number, or by the path of its control node."""
    meant = address(name)
    if meant is None:
        return None
    number = _number_at(Path(meant.card)) if meant.card.startswith("/") else None
    return next(
        (card for card in capture_cards() if number == card.number or meant.card in (card.id, str(card.number))), None
    )


def holder(name: str) -> CardHolder | None:
    """Who keeps a device from being opened; None if a substream of it is free, or it can't be known."""
    meant, card = address(name), find(name)
    if meant is None or card is None:
        return None
    owners = _owners(card, meant.device, meant.subdevice)
    return _process(owners[0]) if owners and all(owners) else None


def is_held(name: str) -> bool:
    """Whether opening it would fail as long as nothing changes: a name that shares its card is always worth a try."""
    meant = address(name)
    return meant is not None and meant.exclusive and holder(name) is not None


def traits() -> frozenset[object]:
    """What may matter for opening a device: cards, who holds them, and whose their nodes are. Compared, never read."""
    found: set[object] = {NODES.exists()}
    for card in capture_cards():
        found.add(card)
        found.update((card.number, device, *_owners(card, device)) for device in card.devices)
        for node in (f"controlC{card.number}", *(f"pcmC{card.number}D{device}c" for device in card.devices)):
            found.add((node, *_access(NODES / node)))
    return frozenset(found)


def _owners(card: Card, device: int, subdevice: int | None = None) -> list[int]:
    """The thread that has each substream open; 0 where there is none."""
    streams = PROC / "asound" / f"card{card.number}" / f"pcm{device}c"
    found = []
    for status in sorted(streams.glob("sub*/status" if subdevice is None else f"sub{subdevice}/status")):
        match = re.search(r"owner_pid\s*:\s*(\d+)", _text(status) or "")
        found.append(int(match[1]) if match else 0)
    return found


def choose() -> str:
    """What `auto` means: the one card that captures.

    Raises SourceAwayError if there is none, SourceMismatch if there are several.
    """
    present = capture_cards()
    if not present:
        raise SourceAwayError(
            f"no card that captures is there{without_nodes()}; it is used as soon as it is plugged in"
        )
    if len(present) > 1:
        names = [card.name_by_port if card.ambiguous else None for card in present]
        lines = " or ".join(f'device = "{port or card.name}"' for card, port in zip(present, names, strict=True))
        raise SourceMismatchError(f"several cards capture; choose one under [capture]: {lines}")
    return present[0].name


def ambiguity(name: str) -> str | None:
    """A line for people if a name may mean another card after the next boot; None if it stays."""
    card, meant = find(name), address(name)
    if card is None or meant is None or not card.ambiguous or meant.card.startswith("/"):
        return None
    by_port = card.name_by_port
    use = (
        f"name it by its port: {by_port}"
        if by_port
        else f"udev could name it by its port, but makes no {NODES}/by-path"
    )
    return (
        f"{name} may be another card after the next start, as cards of one kind are numbered as they are found; {use}"
    )


def without_nodes() -> str:
    """Words for a message about an absent card if there is no /dev/snd either; else none."""
    if NODES.exists():
        return ""
    return f", nor is {NODES}: no sound driver is loaded, or this is a container without `--device {NODES}`"


def _process(thread: int) -> CardHolder:
    """The process of a thread: the kernel notes the thread that opened, whose own name says little."""
    group = re.search(r"^Tgid:\s*(\d+)", _text(PROC / str(thread) / "status") or "", re.MULTILINE)
    pid = int(group[1]) if group else thread
    return CardHolder(pid, _text(PROC / str(pid) / "comm") or "another process")


def _number_at(node: Path) -> int | None:
    """Of the card whose control node this is, or links to."""
    match = _CONTROL.fullmatch(Path(os.path.realpath(node)).name)
    return int(match[1]) if match else None


def _access(node: Path) -> tuple[int, ...]:
    """What decides who may open a node: mode, owner and group; empty if it is absent."""
    try:
        status = node.stat()
    except OSError:
        return ()
    return status.st_mode, status.st_uid, status.st_gid


def _entries(directory: Path) -> list[str]:
    """The names in a directory; none if it is absent."""
    try:
        return os.listdir(directory)
    except OSError:
        return []


def _text(path: Path) -> str | None:
    """A small file of the kernel's; None if it is gone, as everything here may be at any moment."""
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return None
