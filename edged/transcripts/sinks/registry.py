"""All sinks by name, and what the chosen ones have in common. To add a sink:

1. Write `sinks/<name>.py` with a subclass of `Sink`: it declares its properties, delivers, opens and closes.
   Override `check`, `readback` and `show_interim` only where the sink has something to say.
2. Add its row to `SINKS` below.
3. In `config/settings.py`, add the name to `TranscriptsSettings.sinks`. If the sink has options, add a `Section` for
   them as the field `<name>` of `TranscriptsSettings`; a key called `path` is checked as a path without further code.
   Then write the sample again: `edged check --sample > config/edged.toml`.

No other file knows a sink by its name. `tests/transcripts/sinks/test_registry.py` checks every row.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from edged.config.settings import TranscriptsSettings
from edged.transcripts.sinks.base import Readback, Sink, SinkFindings
from edged.transcripts.sinks.console import ConsoleSink
from edged.transcripts.sinks.file import FileSink
from edged.transcripts.sinks.journal import JournalSink

SINKS: Final[dict[str, type[Sink]]] = {
    "journal": JournalSink,
    "file": FileSink,
    "console": ConsoleSink,
}
"""Every sink, by its name in `transcripts.sinks`."""


def make_sinks(settings: TranscriptsSettings) -> dict[str, Sink]:
    """Make the configured sinks, by name in the order of the settings. Each opens in its own thread."""
    return {name: SINKS[name].from_settings(settings) for name in settings.sinks}


def readbacks(settings: TranscriptsSettings) -> dict[str, Readback]:
    """Return the look-ups in the configured sinks, by name, for those sinks that can be read."""
    found = {name: SINKS[name].readback(settings) for name in settings.sinks}
    return {name: readback for name, readback in found.items() if readback}


def required_sinks(names: Sequence[str]) -> list[str]:
    """Return those of the named sinks that a record is kept for until they have it."""
    return [name for name in names if SINKS[name].PROPERTIES.required]


def sinks_that_accept_before_storing(names: Sequence[str]) -> list[str]:
    """Return those of the named sinks that can lose records which they have accepted."""
    return [name for name in names if SINKS[name].PROPERTIES.accepts_before_storing]


def sinks_on_stdout(names: Sequence[str]) -> list[str]:
    """Return those of the named sinks that write to standard output."""
    return [name for name in names if SINKS[name].PROPERTIES.writes_to_stdout]


def shows_interims(names: Sequence[str]) -> bool:
    """Return whether any of the named sinks displays words that are still being spoken."""
    return any(SINKS[name].PROPERTIES.shows_interims for name in names)


def check_sinks(settings: TranscriptsSettings, environ: Mapping[str, str]) -> SinkFindings:
    """Return what `edged check` reports about the configured sinks."""
    found = [SINKS[name].check(settings, environ) for name in dict.fromkeys(settings.sinks)]
    return SinkFindings(
        [line for each in found for line in each.problems], [w for each in found for w in each.warnings]
    )


def storage_warnings(settings: TranscriptsSettings, environ: Mapping[str, str]) -> list[str]:
    """Return warnings for a start where every required sink accepts records before it stores them.

    One required sink that stores what it accepts is enough to lose nothing.
    """
    required = required_sinks(settings.sinks)
    if set(required) != set(sinks_that_accept_before_storing(required)):
        return []
    return [warning for name in dict.fromkeys(required) for warning in SINKS[name].check(settings, environ).warnings]
