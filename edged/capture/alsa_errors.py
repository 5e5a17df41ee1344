"""Errors of libasound in one line for people: the cause, what happens next, and what they can do."""

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
"""Numbers by text: alsaaudio reports the text of an errno, not its number."""
ABSENT: Final = (errno.ENODEV, errno.ENOENT, errno.ENXIO)
FORBIDDEN: Final = (errno.EACCES, errno.EPERM)
NO_CARD: Final = ("Cannot get card index", "cannot find card")
"""Beginnings of libasound's messages about an absent card."""


class AlsaCure(NamedTuple):
    """Advice about an errno, which follows its cause in the message."""

    text: str
    message_id: MessageId = MessageId.MICROPHONE_ABSENT


DEFINITION: Final = AlsaCure("correct its definition in ALSA's configuration, or install what it needs", MessageId.ALSA)
"""Advice about something that a definition lacks, by libasound's own message: a plug-in, a converter, a slave."""

_NO_SERVER: Final = AlsaCure(
    "no sound server runs for this user: name the card itself in capture.device (`edged devices`)"
)
_USB: Final = AlsaCure("if it is a USB device, try another cable or port, or a stronger power supply")

CURES: Final[dict[int, AlsaCure]] = {
    errno.EINVAL: AlsaCure("a card that is not ready yet works a little later; otherwise correct its ALSA definition"),
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
"""Advice about errnos, except those of busy, absent and forbidden devices, which `explain` handles."""


def explain(error: Exception, device: str, messages: Sequence[str] = ()) -> SourceError:
    """Translate an error of alsaaudio (`<text of the errno> [<name>]`) and the messages that libasound gave with it.

    The text reads well alone, and after `microphone: `.
    """
    text = str(error).split(" [", 1)[0]
    number = NUMBERS.get(text)
    if number == errno.EBUSY:
        holder = cards.find_holder(device) or "another process"
        busy = SourceAwayError(f"{device} is held by {holder}; edged uses it as soon as it is free")
        return busy.with_message_id(MessageId.MICROPHONE_BUSY)
    if number in FORBIDDEN:
        return _forbidden(device)
    if number in ABSENT and _is_card_absent(number, device, messages):
        return _absent(device, messages)
    cause = messages[0] if messages else text
    incomplete = number in ABSENT or (number == errno.EINVAL and messages)
    cure = DEFINITION if incomplete else CURES.get(number or 0)
    if cure is None:
        return SourceError(f"{device} fails: {cause}")
    return SourceError(f"{device} fails: {cause}; {cure.text}").with_message_id(cure.message_id)


def _is_card_absent(number: int, device: str, messages: Sequence[str]) -> bool:
    """Return whether the card is gone, rather than something that the definition of the device needs."""
    if messages:
        return messages[0].startswith(NO_CARD)
    return number != errno.ENOENT or cards.parse_address(device) is not None


def _absent(device: str, messages: Sequence[str]) -> SourceError:
    """Return the error for a card that libasound does not find; it says the same of one that it may not access."""
    card = cards.find_card(device)
    if card is None and cards.parse_address(device) is None:  # `default` and the like mean whatever there is
        card = next(iter(cards.capture_cards()), None)
    if card is not None:
        try:
            os.close(os.open(card.control, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC))
        except FileNotFoundError:
            text = f"{device} can't be opened: the kernel has it, but {card.control} is missing here; a container needs"
            return SourceError(f"{text} `--device {cards.NODES}`").with_message_id(MessageId.MICROPHONE_FORBIDDEN)
        except PermissionError:
            return _forbidden(device, card.control)
        except OSError:  # the card is just being removed
            pass
    # A device name that holds an address tells as much as the message.
    detail = f" ({messages[0]})" if messages and cards.parse_address(device) is None else ""
    nodes = "" if card else cards.missing_nodes_hint()
    return SourceAwayError(
        f"{device} is not there{detail}{nodes}; edged uses it as soon as it appears (`edged devices` lists all)"
    )


def _forbidden(device: str, node: Path | None = None) -> SourceError:
    card = cards.find_card(device)
    node = node or (card.control if card else None)
    return SourceError(f"{device} may not be opened by this user: {_permission(node)}").with_message_id(
        MessageId.MICROPHONE_FORBIDDEN
    )


def _permission(node: Path | None) -> str:
    """Return what a user or container lacks to open a node."""
    try:
        status = node.stat() if node else None
    except OSError:
        status = None
    if node is None or status is None:
        return "add it to the group `audio`"
    if os.access(node, os.R_OK | os.W_OK):
        grant = f"a container needs `--device {cards.NODES}`, a unit `DeviceAllow=char-alsa`"
        return f"a device rule denies access to {node}; {grant}"
    if not status.st_mode & stat.S_IWGRP:
        return f"{node} allows only its owner; udev's rules give it to the group `audio`"
    try:
        return f"add it to the group `{grp.getgrgid(status.st_gid).gr_name}`"
    except KeyError:
        return f"add it to the group {status.st_gid} (a container needs `--group-add {status.st_gid}`)"
