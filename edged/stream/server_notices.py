"""Logs what a server sends beside transcripts: each thing once."""

import logging
from typing import Final

from edged.service.log import OnceFilter
from edged.stream.session import ServerNotice, ServerWarning

log = logging.getLogger("edged")

MOST_WARNINGS: Final = 20
"""Different ones in a run: a server that words each anew must not fill the log. The others are for DEBUG."""


class ServerNoticeLog:
    """Of one run."""

    def __init__(self) -> None:
        self._noted = OnceFilter()
        self._warned = OnceFilter(MOST_WARNINGS)

    def log(self, notice: ServerNotice | ServerWarning) -> None:
        """Log it, unless that was done before."""
        match notice:
            case ServerNotice(kind) if self._noted(kind):
                log.info("the server sent %s; ignored (this is said once)", kind)
            case ServerWarning(text):
                log.log(logging.WARNING if self._warned(text) else logging.DEBUG, "recogniser: %s", text)
