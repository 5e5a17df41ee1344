"""Looks up in the journal, at the start after a crash, which records are stored there already."""

import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any, Final

from edged.model.record import UNREADABLE
from edged.transcripts.journal_entry import MESSAGE_ID, record_from_entry
from edged.transcripts.reconciliation import ReadbackQuery, SinkContents

MAX_ENTRIES_PER_RUN: Final = 1500
"""Entries of one run that are read for ranges: some four hours of speech without a pause."""

JOURNAL_DIRECTORIES: Final = ("/var/log/journal", "/run/log/journal")
"""Directories of journald's files: on disk, and in memory."""


def find_in_journal(query: ReadbackQuery) -> SinkContents | None:
    """Return the records of the query that the journal holds, or None if this process can't read the journal.

    One index look-up for each id and each run: fast whatever the size of the journal. Blocks.
    """
    if not may_read_journal(os.environ.get("LOG_NAMESPACE")):
        return None
    from systemd.journal import Reader  # imported here because only a start after a crash needs it

    with Reader() as reader:
        ids = {id_ for id_ in query.ids if next(_entries_backwards(reader, EDGED_ID=id_), None)}
        records = []
        for run, ranges in query.ranges.items():
            for entry in islice(_entries_backwards(reader, EDGED_RUN=run), MAX_ENTRIES_PER_RUN):
                with suppress(KeyError, *UNREADABLE):  # another version's record can't be delivered elsewhere
                    record = record_from_entry(entry)
                    if ranges.overlaps(record.from_, record.to):
                        records.append(record)
    return SinkContents(frozenset(ids), tuple(reversed(records)))


def _entries_backwards(reader: Any, **match: str) -> Iterator[Mapping[str, Any]]:
    """Yield the transcripts that have this field, newest first."""
    reader.flush_matches()
    reader.add_match(MESSAGE_ID=MESSAGE_ID, **match)
    reader.seek_tail()
    return iter(reader.get_previous, {})


def may_read_journal(namespace: str | None = None) -> bool:
    """Return whether this process may read the entries of every service, its own transcripts included.

    The check asks the files, not the groups: in a sandbox with users of its own (PrivateUsers=) the journal's group has
    no number. Entries in a `namespace` (LogNamespace=) are elsewhere, where systemd's `Reader` does not look.
    """
    if namespace:
        return False
    files = (file for directory in JOURNAL_DIRECTORIES for file in Path(directory).glob("*/system.journal"))
    return os.geteuid() == 0 or any(os.access(file, os.R_OK) for file in files)
