"""A list of the capture cards for people, and a check of ALSA's rate conversion."""

import os
from pathlib import Path
from typing import NamedTuple

from edged.capture import cards, libasound
from edged.capture.opening import capabilities, card_title
from edged.model.errors import SourceError

GOOD_CONVERTERS = ("speexrate", "samplerate", "lavrate")
"""Rate converters better than ALSA's linear one, which folds a 12 kHz tone into the speech band at full level."""


class CaptureDevice(NamedTuple):
    """A capture card, as `edged devices` describes it."""

    name: str
    """Value to use for `capture.device`."""
    title: str
    """Name that the maker gave the card."""
    capabilities: str
    """Rates and channels of the card itself, or the reason why they are unknown."""
    holder: str | None
    """Process that has the card open."""
    warning: str | None
    """Reason why the name may change, and the name to use instead."""


def list_devices() -> list[CaptureDevice]:
    """Describe all capture cards. Those that no process holds are opened for a moment."""
    return [_describe(card) for card in cards.capture_cards()]


def _describe(card: cards.Card) -> CaptureDevice:
    holder = cards.find_holder(card.name)
    try:
        possible = "in use" if holder else capabilities(card.name.removeprefix("plug"))
    except SourceError as error:
        possible = str(error)
    title, warning = card_title(card.number) or card.id, cards.ambiguity_warning(card.name)
    return CaptureDevice(card.name, title, possible, str(holder) if holder else None, warning)


def converter_warning() -> str | None:
    """Return a warning if ALSA has only its linear rate converter; None if it has a better one."""
    directory = plugin_directory()
    if any((directory / f"libasound_module_rate_{name}.so").exists() for name in GOOD_CONVERTERS):
        return None
    return (
        "ALSA's rate conversion is poor here: high tones of a 44.1 or 48 kHz microphone turn into noise in the speech"
        " band. Install libasound2-plugins"
    )


def plugin_directory() -> Path:
    """Return the directory of libasound's plug-ins: $ALSA_PLUGIN_DIR, or the one beside the library."""
    if directory := os.environ.get("ALSA_PLUGIN_DIR"):
        return Path(directory)
    return (libasound.path() or Path("/usr/lib/libasound.so.2")).parent / "alsa-lib"
