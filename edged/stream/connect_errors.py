"""Error texts for connections that could not be opened: the cause, and what the user can do."""

import errno
import socket
import ssl
import time
from typing import Final
from urllib.parse import urlsplit

from edged.config.settings import DeepgramSettings
from edged.model.cures import with_cure
from edged.model.errors import UnreachableError
from edged.model.message_ids import MessageId
from edged.stream.dialer import Dialer, DialStage, ProxyRefusedError
from edged.stream.http_response import retry_after_s
from edged.stream.proxy import Proxy
from edged.stream.tcp import UNREACHABLE_ERRNOS

CERT_NOT_YET_VALID: Final = 9
CERT_EXPIRED: Final = 10
"""OpenSSL's X509_V_ERR_ numbers of the two errors that a wrong clock causes."""

FORBIDDEN_ERRNOS: Final = (errno.EACCES, errno.EPERM)

SERVER_NAME: Final = "the server"


def explain_failure(
    error: Exception, dialer: Dialer, settings: DeepgramSettings, proxy: Proxy | None
) -> UnreachableError:
    """Return the error to report for a failure of the dialer, or of the handshake after it."""
    stage = dialer.stage
    if isinstance(error, TimeoutError) and stage is DialStage.CONNECT and not isinstance(dialer.error, socket.gaierror):
        error = dialer.error or error
    proxy_name = f"the proxy that {proxy.variable} names" if proxy else ""
    peer = proxy_name if proxy and stage not in (DialStage.TLS, DialStage.RESPONSE) else SERVER_NAME
    match error:
        case ProxyRefusedError() if proxy:
            response = error.response
            return proxy.refusal_error(response.status, retry_after_s(response.headers, time.time()))
        case TimeoutError():
            return UnreachableError(
                f"no connection within {settings.open_timeout_s:g} s: {_describe_timeout(stage, peer, proxy_name)}"
            )
        case socket.gaierror() if proxy:
            return UnreachableError(f"the name of {peer} can't be looked up ({error.strerror}): check its address")
        case socket.gaierror():
            return UnreachableError(
                f"the server's name can't be looked up ({error.strerror}): is there a network and DNS?"
            )
        case ssl.SSLError():
            return _tls_error(error, peer, proxy_name)
        case OSError():
            return UnreachableError(_describe_os_error(error, peer, urlsplit(settings.url).scheme))
        case _ if stage is DialStage.LOOK_UP:  # its text has the address, which may have a password
            return UnreachableError(f"the address of {peer} is not valid")
        case _ if stage is DialStage.PROXY_RESPONSE:
            return UnreachableError(f"{peer} closed the connection, or does not speak HTTP: is its port right?")
        case _:
            other = UnreachableError("what answered is no WebSocket server: a captive portal, or a wrong deepgram.url?")
            return other.with_message_id(MessageId.PORTAL)


def _describe_timeout(stage: DialStage, peer: str, proxy_name: str) -> str:
    match stage:
        case DialStage.LOOK_UP:
            return f"the name of {peer} is still being looked up: is there a network and DNS?"
        case DialStage.CONNECT:
            return f"nothing comes back from the address of {peer}: is there a network, or a firewall?"
        case DialStage.PROXY_TLS | DialStage.PROXY_RESPONSE:
            return f"{peer} accepts connections but does not answer"
        case DialStage.TLS | DialStage.RESPONSE if proxy_name:
            return f"{proxy_name} opened a tunnel to the server, but nothing comes back through it"
        case DialStage.TLS | DialStage.RESPONSE:
            return "the server accepts connections but does not answer"


def _tls_error(error: ssl.SSLError, peer: str, proxy_name: str) -> UnreachableError:
    if not isinstance(error, ssl.SSLCertVerificationError):
        return UnreachableError(f"TLS with {peer} failed: {error.reason or error}")
    if error.verify_code in (CERT_NOT_YET_VALID, CERT_EXPIRED):
        wrong = UnreachableError(f"{error.verify_message} - is this machine's clock right?")
        return wrong.with_message_id(MessageId.CERTIFICATE)
    if peer != SERVER_NAME:
        return UnreachableError(f"the certificate of {peer} is not trusted: {error.verify_message}")
    cure = f"; if {proxy_name} opens TLS, add its certificate to deepgram.ca_file" if proxy_name else ""
    return UnreachableError(f"the server's certificate is not trusted: {error.verify_message}{cure}")


def _describe_os_error(error: OSError, peer: str, scheme: str) -> str:
    if isinstance(error, ConnectionRefusedError):
        return f"connection refused: nothing listens at the address of {peer}"
    if isinstance(error, ConnectionError) and peer != SERVER_NAME:
        return f"{peer} closed the connection unexpectedly"
    if isinstance(error, ConnectionError):
        return f"the connection was closed during the handshake: does the server speak {scheme}://?"
    if error.errno in UNREACHABLE_ERRNOS:
        return f"no route to {peer} ({error.strerror}): is there a network?"
    if error.errno in FORBIDDEN_ERRNOS:
        return f"not permitted to connect to {peer} ({error.strerror}): check the firewall and this unit's limits"
    return f"no connection to {peer}: {with_cure(error)}"
