"""Rows that can't be true in a database whose structure is sound: a flipped bit, or another program.

One value may not cost the rest of the file. What only dates or describes speech is put right or forgotten, so that the
speech is transcribed, with a time that is not known; a row of audio that contradicts itself goes.
"""

import sqlite3
from typing import Final

from edged.spool.model import MAX_POSITION

MAX_ROW_SAMPLES: Final = 48_000
"""Samples in a row of audio: 1 s at the highest rate, so that an index finds what overlaps a range."""

FAR_S: Final = 10_000_000_000
"""No time or offset is further away: 300 years."""

MEND: Final = (
    "DELETE FROM anchors WHERE (position >= 0 AND at_s BETWEEN -{far} AND {far}) IS NOT TRUE",
    "DELETE FROM boots WHERE (wall_offset_s BETWEEN -{far} AND {far} AND synchronized IN (0, 1)) IS NOT TRUE",
    "UPDATE runs SET started_s = 0 WHERE (started_s BETWEEN -{far} AND {far}) IS NOT TRUE",
    "UPDATE runs SET rate = 16000 WHERE rate NOT IN (8000, 16000, 32000, 48000)",
    'DELETE FROM segments WHERE (start >= 0 AND ("end" IS NULL OR "end" BETWEEN start AND {ever})) IS NOT TRUE',
    "UPDATE outbox SET committed_s = 0 WHERE (committed_s BETWEEN -{far} AND {far}) IS NOT TRUE",
    # a record says itself who it is and what it answers: what disagrees would release speech that it does not answer
    "UPDATE OR IGNORE outbox SET id = record ->> 'id' WHERE json_valid(record) AND typeof(record ->> 'id') = 'text'"
    " AND id IS NOT record ->> 'id'",
    'UPDATE outbox SET "from" = 0, "to" = 0 WHERE NOT ("from" = 0 AND "to" = 0) AND NOT (json_valid(record)'
    ' AND "from" IS record ->> \'from\' AND "to" IS record ->> \'to\' AND "from" BETWEEN 0 AND "to" AND "to" < {ever})',
)

MEND_AUDIO: Final = (
    'DELETE FROM audio WHERE (position BETWEEN 0 AND {ever} AND "end" - position BETWEEN 1 AND {longest}'
    ' AND length(pcm) = 2 * ("end" - position) AND length(voiced) % 8 = 0) IS NOT TRUE',
    "UPDATE audio SET stored_s = 0 WHERE (stored_s BETWEEN -{far} AND {far}) IS NOT TRUE",
)
"""These read the whole file."""

ADOPT: Final = (
    "INSERT INTO runs (run, boot_id, rate, channel, device, started_s)"
    " SELECT DISTINCT run, '', 16000, 0, '', 0 FROM audio WHERE run NOT IN (SELECT run FROM runs)"
)
"""Audio of a run that is not known would wait for ever: it gets one of another boot, with the usual rate."""


def repair(connection: sqlite3.Connection, *, audio: bool) -> int:
    """Put right or forget what can't be true, all of it or nothing; returns how many rows that concerned.

    `audio`: look at each row of it, too. Raises sqlite3.Error.
    """
    before = connection.total_changes
    connection.execute("BEGIN IMMEDIATE")
    try:
        for statement in MEND + (MEND_AUDIO if audio else ()):
            connection.execute(statement.format(far=FAR_S, ever=MAX_POSITION, longest=MAX_ROW_SAMPLES))
        connection.execute(ADOPT)
        changed = connection.total_changes - before
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    return changed


def shape(connection: sqlite3.Connection) -> set[tuple[str, ...]]:
    """Names of tables with their columns, and of indexes, whatever the spelling of the statements that made them."""
    columns = (
        "SELECT m.name, p.name, p.type, p.pk FROM sqlite_master m, pragma_table_info(m.name) p WHERE m.type = 'table'"
    )
    indexes = "SELECT name FROM sqlite_master WHERE type = 'index'"
    return {*connection.execute(columns), *connection.execute(indexes)}
