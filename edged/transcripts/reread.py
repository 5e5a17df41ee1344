"""Which records the sinks already hold: asked at the start, after a crash, so that nothing is written twice."""

import grp
import os
from collections.abc import Callable
from typing import Final

from edged.settings import Transcripts
from edged.transcripts.journal import MESSAGE_ID
from edged.transcripts.jsonl import ids_at_end

JOURNAL_GROUPS: Final = ("systemd-journal", "adm")
"""Who is in one of these reads all of the journal."""

Held = Callable[[set[str]], set[str] | None]
"""Which of these ids a sink holds; None if it can't be read. Blocks."""


def rereaders(settings: Transcripts) -> dict[str, Held]:
    """By sink; none for the console, which keeps nothing."""
    found: dict[str, Held] = {}
    if "file" in settings.sinks:
        found["file"] = lambda wanted: ids_at_end(settings.file.path, wanted)
    if "journal" in settings.sinks:
        found["journal"] = in_journal
    return found


def in_journal(wanted: set[str]) -> set[str] | None:
    """See `Held`. An index look-up for each id: fast whatever the size of the journal."""
    if not may_read_journal():
        return None
    from systemd.journal import Reader  # here, not above: only a start after a crash needs it

    held: set[str] = set()
    with Reader() as reader:
        for id_ in wanted:
            reader.flush_matches()
            reader.add_match(MESSAGE_ID=MESSAGE_ID)
            reader.add_match(EDGED_ID=id_)
            reader.seek_head()
            if reader.get_next():
                held.add(id_)
    return held


def may_read_journal() -> bool:
    """Whether this process may read what any service wrote, its own records included."""
    if os.geteuid() == 0:
        return True
    mine = {os.getegid(), *os.getgroups()}
    for name in JOURNAL_GROUPS:
        try:
            if grp.getgrnam(name).gr_gid in mine:
                return True
        except KeyError:
            continue  # no such group here
    return False
