"""Logs what a server sends beside transcripts: each thing once."""

import logging
from typing import Final

from edged.service.log import Once
from edged.stream.session import Noted, Warned

log = logging.getLogger("edged")

MOST_WARNINGS: Final = 20
"""Different ones in a run: a server that words each anew must not fill the log. The others are for DEBUG."""


class Notices:
    """Of one run."""

    def __init__(self) -> None:
        self._noted = Once()
        self._warned = Once(MOST_WARNINGS)

    def tell(self, notice: Noted | Warned) -> None:
        """Log it, unless that was done before."""
        match notice:
            case Noted(kind) if self._noted(kind):
                log.info("the server sent %s; ignored (this is said once)", kind)
            case Warned(text):
                log.log(logging.WARNING if self._warned(text) else logging.DEBUG, "recogniser: %s", text)
