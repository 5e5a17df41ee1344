"""The HTTP proxy that the environment names for the recogniser, and the request and refusal of its tunnel. Pure."""

from base64 import b64encode
from collections.abc import Mapping
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Final, NamedTuple
from urllib.parse import SplitResult, unquote_to_bytes, urlsplit

from edged.model.errors import RefusedError, UnreachableError
from edged.model.message_ids import MessageId
from edged.model.urls import is_host, is_local_host

VARIABLES: Final = {
    "wss": ("wss_proxy", "https_proxy", "all_proxy", "socks_proxy"),
    "ws": ("ws_proxy", "https_proxy", "http_proxy", "all_proxy", "socks_proxy"),
}
"""Variables by scheme, in order of precedence. RFC 6455 prefers the proxy of HTTPS even for ws://; the last two may be
meant for programs that speak SOCKS."""

HTTP_PORT: Final = 80
HTTPS_PORT: Final = 443

PROXY_AUTHENTICATION_REQUIRED: Final = 407


class Proxy(NamedTuple):
    """An HTTP proxy, and the environment variable that names it."""

    variable: str
    """Environment variable that names the proxy."""
    host: str
    port: int
    tls: bool = False
    """Whether the connection to the proxy itself uses TLS."""
    user_and_password: bytes | None = None
    """Credentials for connecting; never logged."""

    def connect_request(self, host: str, port: int, user_agent: str) -> bytes:
        """Return the CONNECT request for a tunnel to a host."""
        target = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        lines = [f"CONNECT {target} HTTP/1.1", f"Host: {target}", f"User-Agent: {user_agent}"]
        if self.user_and_password is not None:
            lines.append(f"Proxy-Authorization: Basic {b64encode(self.user_and_password).decode()}")
        return "".join(f"{line}\r\n" for line in [*lines, ""]).encode()

    def refusal_error(self, status: int, retry_after_s: float | None) -> UnreachableError:
        """Return the error for a tunnel that this proxy refused with a status."""
        if status != PROXY_AUTHENTICATION_REQUIRED:
            cure = (
                f"let the one that {self.variable} names allow CONNECT to this server, or name the server in no_proxy"
            )
        elif self.user_and_password is None:
            cure = f"it requires a password: set {self.variable}=http://USER:PASSWORD@..."
        else:
            cure = f"the user or password in {self.variable} is wrong"
        return UnreachableError(f"the proxy refuses: HTTP {status}: {cure}", retry_after_s=retry_after_s)


def find_proxy(url: str, environ: Mapping[str, str]) -> Proxy | None:
    """Return the proxy to connect through, if any.

    Returns None for a server on this machine: a proxy would take the key off it, over ws:// in plain text.
    Raises RefusedError for a proxy that can't be used.
    """
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or (HTTPS_PORT if parts.scheme == "wss" else HTTP_PORT)
    if is_local_host(url) or _is_exempt(host, port, _lookup(environ, "no_proxy")):
        return None
    for variable in VARIABLES.get(parts.scheme, ()):
        if address := _lookup(environ, variable):
            return _parse(address, variable)
    return None


def _lookup(environ: Mapping[str, str], variable: str) -> str:
    """Return the value of a variable. The lower-case name has precedence, even if it is empty."""
    return environ.get(variable, environ.get(variable.upper(), "")).strip()


def _is_exempt(host: str, port: int, no_proxy: str) -> bool:
    """Tell whether `no_proxy` names this host, a domain or a subnet that it is in, or everything.

    The syntax is that of curl and Go: commas or spaces separate entries, `*.example.com` means `.example.com`, and IPv6
    addresses may have brackets. Names are not looked up: a subnet exempts only hosts that are given by address.
    """
    host = host.rstrip(".")
    for entry in no_proxy.lower().replace(",", " ").split():
        name, for_port = _split_port(entry)
        if for_port in (None, port) and (name == "*" or _is_same_address(host, name) or _is_in_domain(host, name)):
            return True
    return False


def _split_port(entry: str) -> tuple[str, int | None]:
    """Split an entry of `no_proxy` into its host and the port that it is limited to."""
    name, colon, port = entry.rpartition(":")
    if colon and port.isdecimal() and (":" not in name or name.endswith("]")):
        return name.strip("[]"), int(port[:6])
    return entry.strip("[]"), None


def _is_in_domain(host: str, name: str) -> bool:
    domain = name.removeprefix("*").removeprefix(".").rstrip(".")
    return bool(domain) and (host == domain or host.endswith(f".{domain}"))


def _is_same_address(host: str, name: str) -> bool:
    """Tell whether the host is this address or in this subnet, however they are written."""
    try:
        address, subnet = ip_address(host), ip_network(name, strict=False)
    except ValueError:  # one of them is a name
        return False
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    return address in subnet


def _parse(address: str, variable: str) -> Proxy:
    """Parse the address of a proxy. Raises RefusedError."""
    address = address if "://" in address else f"http://{address}"
    try:
        parts = urlsplit(address)
        valid = parts.port != 0 and is_host(parts.hostname or "")
        valid = valid and (parts.username is None) == (parts.password is None)
    except ValueError:
        raise _unusable(variable) from None
    if parts.scheme.startswith("socks") or variable == "socks_proxy":
        raise RefusedError(
            f"{variable} in the environment names a SOCKS proxy, which edged does not speak: "
            "name an HTTP proxy in https_proxy, or unset it"
        ).with_message_id(MessageId.NETWORK)
    if not valid or parts.scheme not in ("http", "https") or parts.path.strip("/") or parts.query or parts.fragment:
        raise _unusable(variable)
    tls = parts.scheme == "https"
    port = parts.port or (HTTPS_PORT if tls else HTTP_PORT)
    return Proxy(variable, parts.hostname or "", port, tls, _user_and_password(parts))


def _user_and_password(parts: SplitResult) -> bytes | None:
    """Return the decoded credentials: `%40` is `@`, and bytes that the locale can't decode stay as they are."""
    if parts.username is None or parts.password is None:
        return None
    user, password = (part.encode(errors="surrogateescape") for part in (parts.username, parts.password))
    return unquote_to_bytes(user) + b":" + unquote_to_bytes(password)


def _unusable(variable: str) -> RefusedError:
    """Return the error for an invalid address. The address itself may hold a password, so the text omits it."""
    return RefusedError(
        f"{variable} in the environment names no proxy that can be used: it must look like http://proxy.example:3128"
    ).with_message_id(MessageId.NETWORK)
