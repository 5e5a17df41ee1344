"""Errors of libasound as one line for people: the cause, what happens next, and what they can do."""

import errno
import grp
import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

from edged.capture import cards
from edged.model.errors import SourceAwayError, SourceError
from edged.model.message_ids import MessageId

NUMBERS: Final = {os.strerror(number): number for number in errno.errorcode}
"""alsaaudio gives the text of an errno, not its number."""
ABSENT: Final = (errno.ENODEV, errno.ENOENT, errno.ENXIO)
FORBIDDEN: Final = (errno.EACCES, errno.EPERM)
NO_CARD: Final = ("Cannot get card index", "cannot find card")
"""How libasound's messages begin that mean a card which is not there."""


class AlsaCure(NamedTuple):
    """What people can do about an errno, said after its cause."""

    text: str
    message_id: MessageId = MessageId.MICROPHONE_ABSENT


DEFINITION: Final = AlsaCure("correct its definition in ALSA's configuration, or install what it needs", MessageId.ALSA)
"""For what libasound itself says that it misses: a plug-in, a converter, a slave, a field."""

_NO_SERVER: Final = AlsaCure(
    "no sound server runs for this user: name the card itself in capture.device (`edged devices`)"
)
_USB: Final = AlsaCure("if it is a USB device: another cable or port, or a stronger power supply")

CURES: Final[dict[int, AlsaCure]] = {
    errno.EINVAL: AlsaCure("a card that is not ready yet works a little later; else its ALSA definition is wrong"),
    errno.ENOSPC: AlsaCure(
        "the USB bus has no bandwidth left for it: move it, or a camera or card beside it, to another bus"
    ),
    errno.EHOSTDOWN: _NO_SERVER,
    errno.ECONNREFUSED: _NO_SERVER,
    errno.ECONNRESET: _NO_SERVER,
    errno.ENOTCONN: _NO_SERVER,
    errno.ETIMEDOUT: AlsaCure(
        "the device or its sound server does not answer: plug it in again, or restart the server"
    ),
    errno.ENOMEM: AlsaCure("the kernel has no memory for it: lower capture.buffer_ms, or free some memory"),
    **dict.fromkeys((errno.EIO, errno.EPROTO, errno.EILSEQ, errno.ECOMM, errno.EOVERFLOW, errno.ENOSR), _USB),
}
"""For each other errno with a cure. Busy, absent and forbidden devices are told apart by `explained`."""


def explain(error: Exception, device: str, messages: Sequence[str] = ()) -> SourceError:
    """An error of alsaaudio's (`<text of the errno> [<name>]`), with what libasound said on the way to it.

    It reads well after `microphone: `, and alone.
    """
    text = str(error).split(" [", 1)[0]
    number = NUMBERS.get(text)
    if number == errno.EBUSY:
        held = cards.holder(device) or "another process"
        busy = SourceAwayError(f"{device} is held by {held}; it is used as soon as it is free")
        return busy.with_message_id(MessageId.MICROPHONE_BUSY)
    if number in FORBIDDEN:
        return _forbidden(device)
    if number in ABSENT and _is_away(number, device, messages):
        return _absent(device, messages)
    cause = messages[0] if messages else text
    misses = number in ABSENT or (number == errno.EINVAL and messages)
    cure = DEFINITION if misses else CURES.get(number or 0)
    if cure is None:
        return SourceError(f"{device} fails: {cause}")
    return SourceError(f"{device} fails: {cause}; {cure.text}").with_message_id(cure.message_id)


def _is_away(number: int, device: str, messages: Sequence[str]) -> bool:
    """The card is gone; nothing that the device's definition needs is missing."""
    if messages:
        return messages[0].startswith(NO_CARD)
    return number != errno.ENOENT or cards.address(device) is not None


def _absent(device: str, messages: Sequence[str]) -> SourceError:
    """For a card that libasound does not find, or may not look at: it says the same then."""
    card = cards.find(device)
    if card is None and cards.address(device) is None:  # `default` and the like mean whatever there is
        card = next(iter(cards.capture_cards()), None)
    if card is not None:
        try:
            os.close(os.open(card.control, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC))
        except FileNotFoundError:
            text = f"{device} can't be opened: the kernel has it, but {card.control} is not here; a container takes"
            return SourceError(f"{text} `--device {cards.NODES}`").with_message_id(MessageId.MICROPHONE_FORBIDDEN)
        except PermissionError:
            return _forbidden(device, card.control)
        except OSError:  # on its way out
            pass
    said = f" ({messages[0]})" if messages and cards.address(device) is None else ""  # else the name tells as much
    nodes = "" if card else cards.without_nodes()
    return SourceAwayError(
        f"{device} is not there{said}{nodes}; it is used as soon as it is (`edged devices` lists all)"
    )


def _forbidden(device: str, node: Path | None = None) -> SourceError:
    card = cards.find(device)
    node = node or (card.control if card else None)
    return SourceError(f"{device} may not be opened by this user: {_permission(node)}").with_message_id(
        MessageId.MICROPHONE_FORBIDDEN
    )


def _permission(node: Path | None) -> str:
    """What opening a node takes."""
    try:
        status = node.stat() if node else None
    except OSError:
        status = None
    if node is None or status is None:
        return "add it to the group `audio`"
    if os.access(node, os.R_OK | os.W_OK):
        takes = f"a container takes `--device {cards.NODES}`, a unit `DeviceAllow=char-alsa`"
        return f"{node} is barred by a rule for devices; {takes}"
    if not status.st_mode & stat.S_IWGRP:
        return f"{node} is for its owner alone; udev's rules give it to the group `audio`"
    try:
        return f"add it to the group `{grp.getgrgid(status.st_gid).gr_name}`"
    except KeyError:
        return f"add it to the group {status.st_gid} (a container takes `--group-add {status.st_gid}`)"
