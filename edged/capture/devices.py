"""The capture cards as people want to see them, and whether rates are converted well."""

import os
from pathlib import Path
from typing import NamedTuple

from edged.capture import cards, libasound
from edged.capture.opening import capabilities, title
from edged.model.errors import SourceError

GOOD_CONVERTERS = ("speexrate", "samplerate", "lavrate")
"""Rate converters beside ALSA's own linear one, which folds a 12 kHz tone into the speech band at full level."""


class Device(NamedTuple):
    """A card that captures."""

    name: str
    """For `capture.device`."""
    title: str
    """What its maker calls it."""
    can: str
    """Rates and channels of the card itself, or why they can't be told."""
    holder: str | None
    """The process that has it open."""
    caution: str | None
    """Why its name may not last, and what to write instead."""


def devices() -> list[Device]:
    """All of them. Opens those that nobody holds, for a moment."""
    return [_device(card) for card in cards.capture_cards()]


def _device(card: cards.Card) -> Device:
    held = cards.holder(card.name)
    try:
        can = "in use" if held else capabilities(card.name.removeprefix("plug"))
    except SourceError as error:
        can = str(error)
    text = str(held) if held else None
    return Device(card.name, title(card.number) or card.id, can, text, cards.ambiguity(card.name))


def converter_warning() -> str | None:
    """A line for people if ALSA has none but its linear rate converter; None if all is well."""
    directory = plugin_directory()
    if any((directory / f"libasound_module_rate_{name}.so").exists() for name in GOOD_CONVERTERS):
        return None
    return (
        "ALSA's rate conversion is poor here: high tones of a 44.1 or 48 kHz microphone turn into noise in the speech"
        " band. Install libasound2-plugins"
    )


def plugin_directory() -> Path:
    """Where libasound looks for plug-ins: as it is told, or beside itself."""
    if told := os.environ.get("ALSA_PLUGIN_DIR"):
        return Path(told)
    return (libasound.path() or Path("/usr/lib/libasound.so.2")).parent / "alsa-lib"
