"""Logs what was done about a spool's files that were damaged, deleted or held what can't be true."""

import logging

from edged.model.message_ids import MessageId
from edged.spool.model import DatabaseReplaced, FilesRecreated, RowsRepaired

log = logging.getLogger("edged")


def log_repair(repair: DatabaseReplaced | FilesRecreated | RowsRepaired) -> None:
    """A line for each."""
    match repair:
        case DatabaseReplaced(where, path, text):
            log.error(
                "the spool (%s) was damaged: %s; it is kept as %s",
                *(where, text, path),
                extra={"message_id": MessageId.SPOOL_DAMAGED},
            )
        case FilesRecreated(_, path):
            log.warning("%s was deleted: it is made again, with all that was in it", path)
        case RowsRepaired(where, rows):
            log.warning("the spool (%s) held %d rows that can't be true: some speech may be undated", where, rows)
