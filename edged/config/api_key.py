"""The API key: where edged looks for it, what a valid key is, and a wrapper that never shows it."""

import os
import stat
from collections.abc import Mapping
from pathlib import Path

from edged.config.settings import Settings
from edged.model.cures import with_cure
from edged.model.errors import ConfigurationError
from edged.model.files import open_regular_file


class ApiKey:
    """An API key that is shown only by `reveal()`: printing, logging or formatting the object gives its origin."""

    __slots__ = ("_text", "origin", "warning")

    def __init__(self, text: str, origin: str, warning: str | None = None) -> None:
        self._text = text
        self.origin = origin
        """The place that the key was read from, for people."""
        self.warning = warning
        """A line for people if other users can read the key's file; else None."""

    def __repr__(self) -> str:
        return f"<key from {self.origin}>"

    def reveal(self) -> str:
        """Return the key itself: printable ASCII, valid in an HTTP header."""
        return self._text


CREDENTIAL = "deepgram-api-key"
NO_CREDENTIAL = "none"
"""Contents of the credential when there is no key: systemd can't pass an empty credential."""

NO_KEY = (
    "no API key: put it into a file and name that in deepgram.api_key_file, or set DEEPGRAM_API_KEY; for the service, "
    f"put it into /etc/credstore/{CREDENTIAL}"
)
"""Warning where there is no key and the server is on another machine: a server on this machine needs none."""

MAX_KEY_BYTES = 8192
"""Longest key: short-lived tokens have some 1,500 bytes, and servers refuse headers beyond 8 kB."""


def read_key(settings: Settings, environ: Mapping[str, str]) -> ApiKey | None:
    """Read the key: systemd's credential, else `deepgram.api_key_file`, else DEEPGRAM_API_KEY; `None` if there is none.

    Raises ConfigurationError for a key that can't be read or is not valid. The error names the place, never the key.
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
    """Return whether the name of a key file may be shown: a name without `/` or `.` may be the key itself."""
    return "/" in key_file or "." in key_file


def _key_from(file: Path, origin: str) -> ApiKey:
    try:
        with open_regular_file(file) as stream:
            data = stream.read(MAX_KEY_BYTES + 1)
            mode = os.fstat(stream.fileno()).st_mode
    except (OSError, ValueError) as error:
        reason = with_cure(error) if isinstance(error, OSError) else "not a file name"
        advice = "" if may_be_named(str(file)) else " (it must name the file that holds the key, not be the key)"
        raise ConfigurationError(f"the key can't be read from {origin}: {reason}{advice}") from None
    open_to_all = bool(mode & stat.S_IROTH)
    warning = f"{file} can be read by every user of this machine: chmod 0640 {file}" if open_to_all else None
    return ApiKey(_checked(data.decode("latin-1"), origin), origin, warning)


def _checked(text: str, origin: str) -> str:
    """Return the key without a final newline. Raises ConfigurationError for text that can't be a key."""
    key = text.rstrip("\r\n")
    fault = ""
    if not key:
        fault = "is empty"
    elif len(key) > MAX_KEY_BYTES:
        fault = "is too long to be one"
    elif key.startswith("DEEPGRAM_API_KEY="):
        fault = "begins with DEEPGRAM_API_KEY=: put only the key itself there"
    elif "\n" in key or "\r" in key:
        fault = "has more than one line (what systemd-creds encrypts takes LoadCredentialEncrypted=)"
    elif any(not "!" <= c <= "~" for c in key):
        fault = "has a space, a control character or a character beyond ASCII"
    if fault:
        raise ConfigurationError(f"the key from {origin} {fault}")
    return key
