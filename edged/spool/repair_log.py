"""Log lines about repairs of the spool: files replaced or recreated, and rows corrected."""

import logging

from edged.model.message_ids import MessageId
from edged.spool.model import DatabaseReplaced, FilesRecreated, RowsRepaired

log = logging.getLogger("edged")


def log_repair(repair: DatabaseReplaced | FilesRecreated | RowsRepaired) -> None:
    """Log one repair."""
    match repair:
        case DatabaseReplaced(tier, path, text):
            log.error(
                "the spool (%s) was damaged: %s; it is kept as %s",
                *(tier, text, path),
                extra={"message_id": MessageId.SPOOL_DAMAGED},
            )
        case FilesRecreated(_, path):
            log.warning("%s was deleted: it is made again, with all that was in it", path)
        case RowsRepaired(tier, rows):
            log.warning("the spool (%s) held %d rows that can't be true: some speech may be undated", tier, rows)
