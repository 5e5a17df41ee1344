"""Log of what a server sends beside transcripts, each notice once."""

import logging
from typing import Final

from edged.service.log import OnceFilter
from edged.stream.session import ServerNotice, ServerWarning

log = logging.getLogger("edged")

MOST_WARNINGS: Final = 20
"""Limit of different warnings per run, as a server can word each anew; the others are logged at DEBUG."""


class ServerNoticeLog:
    """Log of the notices of one run."""

    def __init__(self) -> None:
        self._noted = OnceFilter()
        self._warned = OnceFilter(MOST_WARNINGS)

    def log(self, notice: ServerNotice | ServerWarning) -> None:
        """Log a notice, unless it was logged before."""
        match notice:
            case ServerNotice(kind) if self._noted(kind):
                log.info("the server sent %s; ignored (this is said once)", kind)
            case ServerWarning(text):
                log.log(logging.WARNING if self._warned(text) else logging.DEBUG, "recogniser: %s", text)
