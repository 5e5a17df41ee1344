"""The sound cards that capture, and the processes that hold them: read from /sys, /proc and /dev/snd.

Nothing here opens a microphone. /sys/class/sound tells which cards are present, because a service with `ProcSubset=pid`
has no /proc/asound; that one only tells the holder, and without it the holder is unknown.
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
"""Longest id that the kernel gives a card, in characters."""

_CAPTURE = re.compile(r"pcmC(\d+)D(\d+)c")
_CARD = re.compile(r"card(\d+)")
_CONTROL = re.compile(r"controlC(\d+)")
_NUMBERED = re.compile(r"(.*)_[0-9A-F]{1,3}")
"""Pattern of an id with a number, which the kernel adds if another card has the id already."""


class Card(NamedTuple):
    """A sound card that captures."""

    number: int
    """The kernel's index, which changes from boot to boot: never shown, never stored."""
    id: str
    devices: tuple[int, ...]
    """PCM devices of the card that capture, ascending."""
    ambiguous: bool = False
    """The id depends on the order in which cards are found: another card's id differs only by the kernel's number."""

    @property
    def name(self) -> str:
        """Value for `capture.device`; unless `ambiguous`, the same wherever the card is plugged in."""
        return self._named(self.id)

    @property
    def control(self) -> Path:
        """Path of the control node. A user who may not open it may not open the other nodes either."""
        return NODES / f"controlC{self.number}"

    @property
    def name_by_port(self) -> str | None:
        """Name by the port that the card is plugged into, whatever is found first; None without udev's links."""
        links = [link for link in _list_names(NODES / "by-path") if _number_at(NODES / "by-path" / link) == self.number]
        return self._named(str(NODES / "by-path" / min(links, key=len))) if links else None

    def _named(self, card: str) -> str:
        return f"plughw:CARD={card}" + (f",DEV={self.devices[0]}" if self.devices[0] else "")


class Address(NamedTuple):
    """The card and PCM device that a device name means."""

    card: str
    """Card id, card number, or path of the control node."""
    device: int
    subdevice: int | None
    exclusive: bool
    """Opening takes a substream exclusively, as hw and plughw do, and dsnoop does not."""


class CardHolder(NamedTuple):
    """A process that has a card open."""

    pid: int
    name: str

    def __str__(self) -> str:
        """Return the name and process id, for people."""
        return f"{self.name} (pid {self.pid})"


def capture_cards() -> list[Card]:
    """Return the cards that capture, by index."""
    devices: dict[int, list[int]] = {}
    ids: dict[int, str] = {}
    for entry in _list_names(SYSFS):
        if match := _CAPTURE.fullmatch(entry):
            devices.setdefault(int(match[1]), []).append(int(match[2]))
        elif (match := _CARD.fullmatch(entry)) and (id_ := _read_text(SYSFS / entry / "id")) is not None:
            ids[int(match[1])] = id_  # None: unplugged meanwhile
    return [
        Card(number, ids[number], tuple(sorted(devices[number])), _is_ambiguous(ids[number], ids.values()))
        for number in sorted(devices.keys() & ids.keys())
    ]


def _is_ambiguous(id_: str, all_ids: Collection[str]) -> bool:
    """Return whether the kernel added a number to tell this id from another; it shortens an id to make room for one."""

    def stem(numbered: str) -> str:
        match = _NUMBERED.fullmatch(numbered)
        return match[1] if match else numbered

    def clash(one: str, other: str) -> bool:
        return stem(one) == stem(other) or (
            len(other) == MAX_ID and stem(other) != other and one.startswith(stem(other))
        )

    return any(clash(id_, other) or clash(other, id_) for other in all_ids if other != id_)


def parse_address(name: str) -> Address | None:
    """Parse a device name such as `plughw:CARD=Device,DEV=1` or `hw:Device,1`; None if it names no card."""
    kind, _, rest = name.partition(":")
    exclusive = kind in ("hw", "plughw")
    arguments = dict[str, str]()
    for key, argument in zip(("CARD", "DEV", "SUBDEV"), rest.split(","), strict=False):
        named = re.fullmatch(r"([A-Z]+)=(.*)", argument)
        if named or exclusive:
            arguments[named[1] if named else key] = named[2] if named else argument
    device, subdevice = arguments.get("DEV", "0"), arguments.get("SUBDEV", "-1")
    if not arguments.get("CARD") or not device.isdecimal():
        return None
    return Address(arguments["CARD"], int(device), int(subdevice) if subdevice.isdecimal() else None, exclusive)


def find_card(name: str) -> Card | None:
    """Return the present card that a device name means: by id, by number, or by the path of its control node."""
    wanted = parse_address(name)
    if wanted is None:
        return None
    number = _number_at(Path(wanted.card)) if wanted.card.startswith("/") else None
    return next(
        (card for card in capture_cards() if number == card.number or wanted.card in (card.id, str(card.number))), None
    )


def find_holder(name: str) -> CardHolder | None:
    """Return the process that keeps a device busy; None if a substream is free, or the process is unknown."""
    wanted, card = parse_address(name), find_card(name)
    if wanted is None or card is None:
        return None
    owners = _owner_threads(card, wanted.device, wanted.subdevice)
    return _process(owners[0]) if owners and all(owners) else None


def is_held(name: str) -> bool:
    """Return whether another process keeps a device busy; False for a name that shares its card."""
    wanted = parse_address(name)
    return wanted is not None and wanted.exclusive and find_holder(name) is not None


def fingerprint() -> frozenset[object]:
    """Return all that may decide whether a device opens: the cards, their holders, the permissions of their nodes.

    The value is only compared with another one.
    """
    traits: set[object] = {NODES.exists()}
    for card in capture_cards():
        traits.add(card)
        traits.update((card.number, device, *_owner_threads(card, device)) for device in card.devices)
        for node in (f"controlC{card.number}", *(f"pcmC{card.number}D{device}c" for device in card.devices)):
            traits.add((node, *_permissions(NODES / node)))
    return frozenset(traits)


def _owner_threads(card: Card, device: int, subdevice: int | None = None) -> list[int]:
    """Return the id of the thread that has each substream open; 0 for a free one."""
    streams = PROC / "asound" / f"card{card.number}" / f"pcm{device}c"
    threads = []
    for status in sorted(streams.glob("sub*/status" if subdevice is None else f"sub{subdevice}/status")):
        match = re.search(r"owner_pid\s*:\s*(\d+)", _read_text(status) or "")
        threads.append(int(match[1]) if match else 0)
    return threads


def choose_device() -> str:
    """Return the device that `auto` means: the one card that captures.

    Raises SourceAwayError if there is none, SourceMismatchError if there are several.
    """
    present = capture_cards()
    if not present:
        raise SourceAwayError(
            f"no card that captures is there{missing_nodes_hint()}; edged uses it as soon as it appears"
        )
    if len(present) > 1:
        names = [card.name_by_port if card.ambiguous else None for card in present]
        lines = " or ".join(f'device = "{port or card.name}"' for card, port in zip(present, names, strict=True))
        raise SourceMismatchError(f"several cards capture; choose one under [capture]: {lines}")
    return present[0].name


def ambiguity_warning(name: str) -> str | None:
    """Return a warning if a name may mean another card after the next boot; None if it stays the same."""
    card, wanted = find_card(name), parse_address(name)
    if card is None or wanted is None or not card.ambiguous or wanted.card.startswith("/"):
        return None
    by_port = card.name_by_port
    cure = (
        f"name it by its port: {by_port}"
        if by_port
        else f"udev could name it by its port, but does not create {NODES}/by-path"
    )
    return (
        f"{name} may be another card after the next start, as cards of one kind are numbered as they are found; {cure}"
    )


def missing_nodes_hint() -> str:
    """Return words for a message about an absent card if /dev/snd is missing too; otherwise an empty string."""
    if NODES.exists():
        return ""
    return f", nor is {NODES}: no sound driver is loaded, or this is a container without `--device {NODES}`"


def _process(thread: int) -> CardHolder:
    """Return the process of a thread. The kernel notes the thread that opened a device, whose own name says little."""
    group = re.search(r"^Tgid:\s*(\d+)", _read_text(PROC / str(thread) / "status") or "", re.MULTILINE)
    pid = int(group[1]) if group else thread
    return CardHolder(pid, _read_text(PROC / str(pid) / "comm") or "another process")


def _number_at(node: Path) -> int | None:
    """Return the number of the card whose control node this is or links to; None for another file."""
    match = _CONTROL.fullmatch(Path(os.path.realpath(node)).name)
    return int(match[1]) if match else None


def _permissions(node: Path) -> tuple[int, ...]:
    """Return mode, owner and group of a node; empty if the node is absent."""
    try:
        status = node.stat()
    except OSError:
        return ()
    return status.st_mode, status.st_uid, status.st_gid


def _list_names(directory: Path) -> list[str]:
    """Return the names in a directory; none if it is absent."""
    try:
        return os.listdir(directory)
    except OSError:
        return []


def _read_text(path: Path) -> str | None:
    """Return the text of a file of the kernel; None if it is gone, as a card may be at any moment."""
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return None
