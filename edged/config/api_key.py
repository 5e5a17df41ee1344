"""The API key: where it is looked for, what can be one, and a wrapper that never shows it."""

import os
import stat
from collections.abc import Mapping
from pathlib import Path

from edged.config.settings import Settings
from edged.model.cures import with_cure
from edged.model.errors import ConfigurationError
from edged.model.files import open_regular_file


class ApiKey:
    """An API key. Only `reveal()` gives it away; printing, logging or formatting it doesn't."""

    __slots__ = ("_text", "origin", "warning")

    def __init__(self, text: str, origin: str, warning: str | None = None) -> None:
        self._text = text
        self.origin = origin
        """Where it came from, for people."""
        self.warning = warning
        """One line, if its file is open to others."""

    def __repr__(self) -> str:
        return f"<key from {self.origin}>"

    def reveal(self) -> str:
        """The key itself: printable ASCII, fit for a header."""
        return self._text


CREDENTIAL = "deepgram-api-key"
NO_CREDENTIAL = "none"
"""What the unit file gives in place of an absent credential: systemd knows no empty one."""

NO_KEY = (
    "no API key: put it into a file and name that in deepgram.api_key_file, or set DEEPGRAM_API_KEY; for the service, "
    f"put it into /etc/credstore/{CREDENTIAL}"
)
"""For a Deepgram server; one on this machine needs none."""

MOST_KEY_BYTES = 8192
"""Short-lived tokens have some 1,500; servers refuse headers beyond 8 kB."""


def read_key(settings: Settings, environ: Mapping[str, str]) -> ApiKey | None:
    """The key: systemd's credential, else `deepgram.api_key_file`, else DEEPGRAM_API_KEY; `None` if there is none.

    Raises ConfigurationError for one that can't be read or can't be a key, naming where it is and never what it is.
    """
    if directory := environ.get("CREDENTIALS_DIRECTORY"):
        file = Path(directory, CREDENTIAL)
        if file.exists():
            key = _key_from(file, f"systemd credential {CREDENTIAL}")
            if key.reveal() != NO_CREDENTIAL:
                return key
    if name := settings.deepgram.api_key_file:
        return _key_from(Path(name), f"file {name}" if may_be_named(name) else "deepgram.api_key_file")
    if (text := environ.get("DEEPGRAM_API_KEY")) is not None:
        return ApiKey(_checked(text, "environment variable DEEPGRAM_API_KEY"), "environment variable DEEPGRAM_API_KEY")
    return None


def may_be_named(key_file: str) -> bool:
    """False where a file's name looks as if somebody had written the key itself there."""
    return "/" in key_file or "." in key_file


def _key_from(file: Path, origin: str) -> ApiKey:
    try:
        with open_regular_file(file) as stream:
            data = stream.read(MOST_KEY_BYTES + 1)
            mode = os.fstat(stream.fileno()).st_mode
    except (OSError, ValueError) as error:
        why = with_cure(error) if isinstance(error, OSError) else "not a file name"
        hint = "" if may_be_named(str(file)) else " (it must name the file that holds the key, not be the key)"
        raise ConfigurationError(f"the key can't be read from {origin}: {why}{hint}") from None
    open_to_all = bool(mode & stat.S_IROTH)
    warning = f"{file} can be read by every user of this machine: chmod 0640 {file}" if open_to_all else None
    return ApiKey(_checked(data.decode("latin-1"), origin), origin, warning)


def _checked(text: str, origin: str) -> str:
    """The key without the newline that editors put behind it."""
    key = text.rstrip("\r\n")
    wrong = ""
    if not key:
        wrong = "is empty"
    elif len(key) > MOST_KEY_BYTES:
        wrong = "is too long to be one"
    elif key.startswith("DEEPGRAM_API_KEY="):
        wrong = "has DEEPGRAM_API_KEY= in front: only the key itself belongs there"
    elif "\n" in key or "\r" in key:
        wrong = "has more than one line (what systemd-creds encrypts takes LoadCredentialEncrypted=)"
    elif any(not "!" <= c <= "~" for c in key):
        wrong = "has a space, a control character or a character beyond ASCII"
    if wrong:
        raise ConfigurationError(f"the key from {origin} {wrong}")
    return key
