"""TLS contexts: the certificates that edged trusts."""

import ssl
from pathlib import Path

from edged.config.settings import DeepgramSettings
from edged.model.cures import with_cure
from edged.model.errors import ConfigurationError
from edged.model.files import open_regular_file


def tls_context(settings: DeepgramSettings) -> ssl.SSLContext | None:
    """Return the TLS context for the server, which always verifies; None for ws://.

    Raises ConfigurationError if `ca_file` can't be used.
    """
    return verifying_context(settings.ca_file) if settings.url.lower().startswith("wss:") else None


def verifying_context(ca_file: str | None) -> ssl.SSLContext:
    """Return a context that trusts the certificates in a file, or those of the system. Raises ConfigurationError."""
    try:
        if ca_file:
            open_regular_file(Path(ca_file)).close()  # OpenSSL would wait for a pipe
        return ssl.create_default_context(cafile=ca_file)
    except ssl.SSLError:
        raise ConfigurationError(f'[deepgram] ca_file = "{ca_file}" holds no certificate in PEM form') from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise ConfigurationError(f'[deepgram] ca_file = "{ca_file}" can\'t be read: {with_cure(error)}') from None
