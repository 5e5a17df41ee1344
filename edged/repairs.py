"""Logs what was done about a spool's files that were damaged, deleted or held what can't be true."""

import logging

from edged.spool.items import Mended, Remade, SetAside
from edged.troubles import Trouble

log = logging.getLogger("edged")


def tell(repair: SetAside | Remade | Mended) -> None:
    """A line for each."""
    match repair:
        case SetAside(where, path, text):
            log.error(
                "the spool (%s) was damaged: %s; it is kept as %s",
                *(where, text, path),
                extra={"trouble": Trouble.SPOOL_DAMAGED},
            )
        case Remade(_, path):
            log.warning("%s was deleted: it is made again, with all that was in it", path)
        case Mended(where, rows):
            log.warning("the spool (%s) held %d rows that can't be true: some speech may be undated", where, rows)
