"""Repair of rows with impossible values in a database whose structure is sound.

A flipped bit or another program may cause them. One value may not cost the rest of the file. A value that only dates or
describes speech is corrected or deleted, so that the speech is transcribed with an unknown time. A row of audio that
contradicts itself is deleted.
"""

import sqlite3
from typing import Final

from edged.spool.model import MAX_POSITION

MAX_ROW_SAMPLES: Final = 48_000
"""Maximum length of a row of audio: 1 s at the highest rate. An index finds overlapping rows because of it."""

MAX_TIME_S: Final = 10_000_000_000
"""Largest absolute value of a time or an offset: 300 years."""

REPAIRS: Final = (
    "DELETE FROM anchors WHERE (position >= 0 AND at_s BETWEEN -{far} AND {far}) IS NOT TRUE",
    "DELETE FROM boots WHERE (wall_offset_s BETWEEN -{far} AND {far} AND synchronized IN (0, 1)) IS NOT TRUE",
    "UPDATE runs SET started_s = 0 WHERE (started_s BETWEEN -{far} AND {far}) IS NOT TRUE",
    "UPDATE runs SET rate = 16000 WHERE rate NOT IN (8000, 16000, 32000, 48000)",
    'DELETE FROM segments WHERE (start >= 0 AND ("end" IS NULL OR "end" BETWEEN start AND {ever})) IS NOT TRUE',
    "UPDATE outbox SET committed_s = 0 WHERE (committed_s BETWEEN -{far} AND {far}) IS NOT TRUE",
    # the JSON of a record has its id and range; a row that disagrees would delete audio that has no transcript
    "UPDATE OR IGNORE outbox SET id = record ->> 'id' WHERE json_valid(record) AND typeof(record ->> 'id') = 'text'"
    " AND id IS NOT record ->> 'id'",
    'UPDATE outbox SET "from" = 0, "to" = 0 WHERE NOT ("from" = 0 AND "to" = 0) AND NOT (json_valid(record)'
    ' AND "from" IS record ->> \'from\' AND "to" IS record ->> \'to\' AND "from" BETWEEN 0 AND "to" AND "to" < {ever})',
)

AUDIO_REPAIRS: Final = (
    'DELETE FROM audio WHERE (position BETWEEN 0 AND {ever} AND "end" - position BETWEEN 1 AND {longest}'
    ' AND length(pcm) = 2 * ("end" - position) AND length(voiced) % 8 = 0) IS NOT TRUE',
    "UPDATE audio SET stored_s = 0 WHERE (stored_s BETWEEN -{far} AND {far}) IS NOT TRUE",
)
"""Repairs of audio, which read the whole file."""

ADD_UNKNOWN_RUNS: Final = (
    "INSERT INTO runs (run, boot_id, rate, channel, device, started_s)"
    " SELECT DISTINCT run, '', 16000, 0, '', 0 FROM audio WHERE run NOT IN (SELECT run FROM runs)"
)
"""Audio of an unknown run would never be transcribed. It gets a run of another boot, with the usual rate."""


def repair(connection: sqlite3.Connection, *, audio: bool) -> int:
    """Correct or delete impossible values in one transaction, and return the number of rows changed.

    `audio` includes the rows of audio. Raises sqlite3.Error.
    """
    before = connection.total_changes
    connection.execute("BEGIN IMMEDIATE")
    try:
        for statement in REPAIRS + (AUDIO_REPAIRS if audio else ()):
            connection.execute(statement.format(far=MAX_TIME_S, ever=MAX_POSITION, longest=MAX_ROW_SAMPLES))
        connection.execute(ADD_UNKNOWN_RUNS)
        changed = connection.total_changes - before
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    return changed


def shape(connection: sqlite3.Connection) -> set[tuple[str, ...]]:
    """Return the tables with their columns and the indexes, independent of how their statements are spelled."""
    columns = (
        "SELECT m.name, p.name, p.type, p.pk FROM sqlite_master m, pragma_table_info(m.name) p WHERE m.type = 'table'"
    )
    indexes = "SELECT name FROM sqlite_master WHERE type = 'index'"
    return {*connection.execute(columns), *connection.execute(indexes)}
