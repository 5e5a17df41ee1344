"""The proxy that the environment names for the recogniser, by the usual variables. Pure."""

from collections.abc import Mapping
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from edged.addresses import is_host, is_this_machine
from edged.errors import Refused
from edged.troubles import Trouble

VARIABLES: Final = {
    "wss": ("wss_proxy", "https_proxy", "all_proxy", "socks_proxy"),
    "ws": ("ws_proxy", "https_proxy", "http_proxy", "all_proxy", "socks_proxy"),
}
"""For each scheme, what counts most first: RFC 6455 prefers HTTPS' proxy even for ws://, and the last two may be meant
for programs that speak SOCKS."""

FOR_PLAIN: Final = 80
FOR_TLS: Final = 443


class Proxy(NamedTuple):
    """An HTTP proxy. Its address may hold a password: it is for connecting only."""

    variable: str
    """Which one names it."""
    address: str


def proxy_for(url: str, environ: Mapping[str, str]) -> Proxy | None:
    """What to connect through; never for a server on this machine: over http the key would leave it in plain text.

    Raises Refused for one that can't be used.
    """
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or (FOR_TLS if parts.scheme == "wss" else FOR_PLAIN)
    if is_this_machine(url) or _exempt(host, port, _value(environ, "no_proxy")):
        return None
    for variable in VARIABLES.get(parts.scheme, ()):
        if address := _value(environ, variable):
            return Proxy(variable, _checked(address, variable))
    return None


def _value(environ: Mapping[str, str], variable: str) -> str:
    """Lower case counts more than upper case, empty too."""
    return environ.get(variable, environ.get(variable.upper(), "")).strip()


def _exempt(host: str, port: int, no_proxy: str) -> bool:
    """Whether `no_proxy` names this host, a domain that it is in, or everything."""
    names = [name.strip().lower().removeprefix(".") for name in no_proxy.split(",")]
    return any(name == "*" or name in (host, f"{host}:{port}") or host.endswith(f".{name}") for name in names if name)


def _checked(address: str, variable: str) -> str:
    """The address with a scheme. Raises Refused."""
    address = address if "://" in address else f"http://{address}"
    try:
        parts = urlsplit(address)
        whole = parts.port != 0 and is_host(parts.hostname or "")
        whole = whole and (parts.username is None) == (parts.password is None)
    except ValueError:
        raise _unusable(variable) from None
    if parts.scheme.startswith("socks") or variable == "socks_proxy":
        raise Refused(
            f"{variable} in the environment names a SOCKS proxy, which edged does not speak: "
            "name an HTTP proxy in https_proxy, or unset it"
        ).known_as(Trouble.NETWORK)
    if not whole or parts.scheme not in ("http", "https") or parts.path.strip("/") or parts.query or parts.fragment:
        raise _unusable(variable)
    return address


def _unusable(variable: str) -> Refused:
    """The address itself is not said: it may have a password."""
    return Refused(
        f"{variable} in the environment names no proxy that can be used: it must look like http://proxy.example:3128"
    ).known_as(Trouble.NETWORK)
