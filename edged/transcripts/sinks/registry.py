"""Which sinks the settings mean. Only those that are asked for are imported."""

from edged.config.settings import TranscriptsSettings
from edged.transcripts.delivery import Sink


def open_sinks(settings: TranscriptsSettings) -> dict[str, Sink]:
    """By name, in the order of the settings; each opens what it writes to in its own thread."""
    return {name: _open(name, settings) for name in settings.sinks}


def _open(name: str, settings: TranscriptsSettings) -> Sink:
    match name:
        case "journal":
            from edged.transcripts.sinks.journal import JournalSink

            return JournalSink()
        case "file":
            from edged.transcripts.sinks.file import FileSink

            return FileSink(settings.file)
        case _:
            from edged.transcripts.sinks.console import ConsoleSink

            return ConsoleSink()
