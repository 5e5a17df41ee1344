"""Monitor of the senders: what they report beside transcripts is counted for the summary, and logged."""

import logging

from edged.model.message_ids import MessageId
from edged.service.log import Outage
from edged.stream.server_notices import ServerNoticeLog
from edged.stream.session import ServerNotice, ServerWarning

log = logging.getLogger("edged")


class SenderMonitor:
    """Counters and log lines of the live sender and of backfill: lost speech, quarantined audio, odd messages."""

    def __init__(self, buffer: str) -> None:
        """`buffer` names the place where speech waits: a loss of speech is an outage of that place in the log."""
        self._loss = Outage(log, buffer, message_id=MessageId.EVICTION)
        self._notices = ServerNoticeLog()
        self.lost_s = 0.0
        """Speech that will never be transcribed."""
        self.ignored_messages = 0

    def evicted(self, seconds: float, limit: str) -> None:
        """Note speech that went at a limit, named as its setting."""
        self._lost(seconds, f"more speech waits than {limit} allows: the oldest goes")

    def missing(self, seconds: float) -> None:
        """Note speech that should be in the spool and is not."""
        self._lost(seconds, "speech that waited is not in the spool any more")

    def _lost(self, seconds: float, reason: str) -> None:
        self.lost_s += seconds
        self._loss.failed(reason)

    def transcribed(self) -> None:
        """Note that there are transcripts, so a loss of speech is over."""
        self._loss.over()

    def quarantined(self, seconds: float) -> None:
        """Note audio that ends connections, and is retried later."""
        log.warning("%.1f s of audio ended three connections in a row; it is set aside and tried again later", seconds)

    def notice(self, notice: ServerNotice | ServerWarning) -> None:
        """Note what the server sends beside transcripts."""
        self.ignored_messages += isinstance(notice, ServerNotice)
        self._notices.log(notice)
