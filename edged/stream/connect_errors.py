"""Why there is no connection, in words."""

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
"""OpenSSL's X509_V_ERR_ numbers: the two that a wrong clock brings about."""

FORBIDDEN_ERRNOS: Final = (errno.EACCES, errno.EPERM)

SERVER_NAME: Final = "the server"


def explain_failure(
    error: Exception, dialer: Dialer, settings: DeepgramSettings, proxy: Proxy | None
) -> UnreachableError:
    """What to tell of an error that ended the dialer's work, or the handshake after it."""
    stage = dialer.stage
    if isinstance(error, TimeoutError) and stage is DialStage.CONNECT and not isinstance(dialer.error, socket.gaierror):
        error = dialer.error or error
    through = f"the proxy that {proxy.variable} names" if proxy else ""
    whose = through if proxy and stage not in (DialStage.TLS, DialStage.RESPONSE) else SERVER_NAME
    match error:
        case ProxyRefusedError() if proxy:
            response = error.response
            return proxy.refusal_error(response.status, retry_after_s(response.headers, time.time()))
        case TimeoutError():
            return UnreachableError(
                f"no connection within {settings.open_timeout_s:g} s: {_describe_timeout(stage, whose, through)}"
            )
        case socket.gaierror() if proxy:
            return UnreachableError(f"the name of {whose} can't be looked up ({error.strerror}): is it right?")
        case socket.gaierror():
            return UnreachableError(
                f"the server's name can't be looked up ({error.strerror}): is there a network and DNS?"
            )
        case ssl.SSLError():
            return _tls_error(error, whose, through)
        case OSError():
            return UnreachableError(_describe_os_error(error, whose, urlsplit(settings.url).scheme))
        case _ if stage is DialStage.LOOK_UP:  # its text has the address, which may have a password
            return UnreachableError(f"the address of {whose} can't be used")
        case _ if stage is DialStage.PROXY_RESPONSE:
            return UnreachableError(f"{whose} closed the connection, or does not speak HTTP: is its port right?")
        case _:
            other = UnreachableError("what answered is no WebSocket server: a captive portal, or a wrong deepgram.url?")
            return other.with_message_id(MessageId.PORTAL)


def _describe_timeout(stage: DialStage, whose: str, through: str) -> str:
    match stage:
        case DialStage.LOOK_UP:
            return f"the name of {whose} is still being looked up: is there a network and DNS?"
        case DialStage.CONNECT:
            return f"nothing comes back from the address of {whose}: is there a network, or a firewall?"
        case DialStage.PROXY_TLS | DialStage.PROXY_RESPONSE:
            return f"{whose} accepts connections but does not answer"
        case DialStage.TLS | DialStage.RESPONSE if through:
            return f"{through} made a way to the server, but nothing comes back through it"
        case DialStage.TLS | DialStage.RESPONSE:
            return "the server accepts connections but does not answer"


def _tls_error(error: ssl.SSLError, whose: str, through: str) -> UnreachableError:
    if not isinstance(error, ssl.SSLCertVerificationError):
        return UnreachableError(f"no TLS with {whose}: {error.reason or error}")
    if error.verify_code in (CERT_NOT_YET_VALID, CERT_EXPIRED):
        wrong = UnreachableError(f"{error.verify_message} - is this machine's clock right?")
        return wrong.with_message_id(MessageId.CERTIFICATE)
    if whose != SERVER_NAME:
        return UnreachableError(f"the certificate of {whose} is not trusted: {error.verify_message}")
    cure = f"; if {through} opens TLS, add its certificate to deepgram.ca_file" if through else ""
    return UnreachableError(f"the server's certificate is not trusted: {error.verify_message}{cure}")


def _describe_os_error(error: OSError, whose: str, scheme: str) -> str:
    if isinstance(error, ConnectionRefusedError):
        return f"connection refused: nothing listens at the address of {whose}"
    if isinstance(error, ConnectionError) and whose != SERVER_NAME:
        return f"{whose} broke the connection off"
    if isinstance(error, ConnectionError):
        return f"the connection was broken off while it was opened: is {scheme}:// what is spoken there?"
    if error.errno in UNREACHABLE_ERRNOS:
        return f"no way to {whose} ({error.strerror}): is there a network?"
    if error.errno in FORBIDDEN_ERRNOS:
        return f"not allowed to connect to {whose} ({error.strerror}): by a firewall, or by this service's own unit"
    return f"no connection to {whose}: {with_cure(error)}"
