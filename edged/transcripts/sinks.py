"""Which sinks the settings mean. Only those that are asked for are imported."""

from edged.settings import Transcripts
from edged.transcripts.delivery import Sink


def open_sinks(settings: Transcripts) -> dict[str, Sink]:
    """By name, in the order of the settings; each opens what it writes to in its own thread."""
    return {name: _open(name, settings) for name in settings.sinks}


def _open(name: str, settings: Transcripts) -> Sink:
    match name:
        case "journal":
            from edged.transcripts.journal import Journal

            return Journal()
        case "file":
            from edged.transcripts.jsonl import JsonLines

            return JsonLines(settings.file)
        case _:
            from edged.transcripts.console import Console

            return Console()
