"""URLs: which machine they lead to, and what of them is safe to show. Pure."""

import re
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit


def is_local_host(url: str) -> bool:
    """Return whether a URL leads to this machine, so that nobody on the way can read it and no key is needed."""
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:  # unbalanced brackets
        return False
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:  # a name, which any resolver may send anywhere
        return False


def is_host(name: str) -> bool:
    """Return whether a text is a valid host name or address."""
    try:
        return bool(name.encode("idna"))
    except UnicodeError:  # a part of it is empty, longer than 63 characters, or has what no name can have
        return False


def without_secrets(url: str) -> str:
    """Return the URL without user, password, query and fragment, which may be secret."""
    shown = re.sub(r"[?#].*", "?...", url, flags=re.DOTALL)
    return re.sub(r"^([^/]*//)?[^/]*@", r"\1...@", shown)


_SECRET: Final = re.compile(
    r"key([-_. ]?(id|value))?$|(api|access|secret)[-_. ]?key|token(?!s|i)|secret|pass(w|phrase)|credential"
    r"|authori[sz]ation|(^|[-_. ])(auth|bearer|jwt|pass|pwd)($|[-_. ])",
    re.IGNORECASE,
)
"""Names of secrets. `keyterm`, `keywords` and `max_tokens` do not match."""


def may_be_secret(name: str) -> bool:
    """Return whether an option or parameter of this name is likely to be a key or a password."""
    return bool(_SECRET.search(name))


_KEY: Final = re.compile(r"(?=[\w-]*\d)(?=[\w-]*[^\W\d])[\w-]{24,}", re.ASCII)
"""Text that looks like a key: some 40 letters and digits. Words are shorter, and numbers have no letters."""


def may_hold_secret(value: str) -> bool:
    """Return whether a value holds something that looks like a key, under any name."""
    return bool(_KEY.search(value))
