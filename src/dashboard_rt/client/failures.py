"""Why a client's connection failed: a reason as data, and one sentence that says what to do about it.

Translates the errors of httpx, the socket and TLS; those of websockets are translated in cable.py.
"""

from __future__ import annotations

import errno
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum

import httpx

from ..errors import DashboardError
from .connection import CONNECT_SECONDS, ResponseHead, TransportName


class FailureReason(StrEnum):
    """Why a connection could not be opened, or broke; the values are printed."""

    UNREACHABLE = "unreachable"
    BAD_URL = "bad_url"
    NO_ADDRESS = "no_address"
    TLS = "tls"
    FILES = "files"
    STATUS = "status"
    CONTENT_TYPE = "content_type"
    NOT_WEBSOCKET = "not_websocket"
    SUBPROTOCOL = "subprotocol"
    REJECTED = "rejected"
    SILENT = "silent"
    DROPPED = "dropped"


PERMANENT_REASONS = frozenset(
    {
        FailureReason.BAD_URL,
        FailureReason.TLS,
        FailureReason.CONTENT_TYPE,
        FailureReason.SUBPROTOCOL,
        FailureReason.NOT_WEBSOCKET,
        FailureReason.REJECTED,
    }
)
TEMPORARY_STATUSES = frozenset({408, 425, 429})  # below 500, yet another attempt may succeed


class ConnectionFailed(DashboardError):
    """A connection could not be opened, or broke. `head`: the response that refused it, where there was one."""

    def __init__(self, reason: FailureReason, message: str, head: ResponseHead | None = None) -> None:
        super().__init__(message)
        self.reason = reason
        self.head = head

    @property
    def permanent(self) -> bool:
        """Whether another attempt is pointless: the endpoint is wrong, or its status says so."""
        if self.reason is FailureReason.STATUS and self.head is not None:
            return self.head.status < 500 and self.head.status not in TEMPORARY_STATUSES
        return self.reason in PERMANENT_REASONS


# ---- statuses

TOKEN = "it wants a token, or does not allow this client: check the token in the URL."
FULL = "it is full or starting: wait, or raise its limits (MAX_CLIENTS, MAX_CLIENTS_PER_ADDRESS)."
NO_BACKEND = (
    "the proxy cannot reach the server behind it: check that it runs and where the proxy looks for it."
)
NO_STREAM = "no such stream or path: check the URL, and --stream against the server's STREAMS."
NO_ORIGIN = (
    "the path is wrong (usually /cable), or the page's origin is not allowed: "
    "add it to ALLOWED_ORIGINS, or let the proxy pass the Host header on."
)
NO_UPGRADE = "the upgrade got lost: a proxy must speak HTTP/1.1 and pass `Upgrade` and `Connection` on."
COMMON_ADVICE = {401: TOKEN, 403: TOKEN, 429: FULL, 502: NO_BACKEND, 503: FULL, 504: NO_BACKEND}
STATUS_ADVICE: dict[TransportName, dict[int, str]] = {
    TransportName.SSE: {**COMMON_ADVICE, 404: NO_STREAM},
    TransportName.CABLE: {
        **COMMON_ADVICE,
        **dict.fromkeys((403, 404), NO_ORIGIN),
        **dict.fromkeys((200, 400, 405, 426), NO_UPGRADE),
    },
}


def status_failure(transport: TransportName, url: str, head: ResponseHead) -> ConnectionFailed:
    """Describe a response whose status opens no stream.

    A redirect counts as one: it is not followed, since a browser's WebSocket does not follow it either.
    """
    expected = 200 if transport is TransportName.SSE else 101
    if 300 <= head.status < 400:
        advice = f"it has moved, use {head.headers.get('location', 'the address that it names')}."
    else:
        advice = STATUS_ADVICE[transport].get(head.status, "check the path, and look into the server's log.")
    message = f"{url} answered {head.status} instead of {expected}: {advice}"
    return ConnectionFailed(FailureReason.STATUS, message, head)


# ---- sockets


@contextmanager
def translate_errors(url: str, timeout: float) -> Iterator[None]:
    """Raise `ConnectionFailed` for what httpx, the socket or TLS raise inside; `timeout` in seconds."""
    try:
        yield
    except httpx.ConnectTimeout:
        raise _unreachable_failure(url, f"no answer within {min(timeout, CONNECT_SECONDS):g} s") from None
    except httpx.TimeoutException:
        raise silence_failure(url, timeout) from None
    except httpx.InvalidURL as error:
        raise bad_url_failure(url, error) from None
    except (httpx.TransportError, OSError) as error:
        raise socket_failure(error, url) from error


def bad_url_failure(url: str, error: Exception) -> ConnectionFailed:
    """Describe a URL that the HTTP or WebSocket library refuses to use."""
    return ConnectionFailed(FailureReason.BAD_URL, f"{url} cannot be used ({error}): check it.")


def silence_failure(url: str, timeout: float) -> ConnectionFailed:
    """Describe an open connection on which nothing arrived for `timeout` seconds."""
    return ConnectionFailed(
        FailureReason.SILENT,
        f"Nothing came from {url} for {timeout:g} s, not even a heartbeat: the server hangs, or something "
        "on the way buffers; `dashboard-rt doctor` finds out which.",
    )


def dropped_failure(url: str, detail: str) -> ConnectionFailed:
    """Describe an open connection that broke without a goodbye."""
    return ConnectionFailed(
        FailureReason.DROPPED,
        f"The connection to {url} broke without a goodbye ({detail}): "
        "the server or a proxy on the way cut it, look into their logs.",
    )


def socket_failure(error: BaseException, url: str) -> ConnectionFailed:
    """Describe a socket that could not connect, or broke, by the system error at the root of `error`."""
    cause = _system_error(error)
    if isinstance(cause, ssl.SSLError):
        return _tls_failure(cause, url)
    if isinstance(cause, socket.gaierror):
        message = f"The host of {url} has no address: check its spelling and your DNS."
        return ConnectionFailed(FailureReason.NO_ADDRESS, message)
    if cause is not None and cause.errno in (errno.EMFILE, errno.ENFILE):
        message = "No file handles are left: run `ulimit -n 65536`, or use fewer clients."
        return ConnectionFailed(FailureReason.FILES, message)
    connecting = isinstance(error, httpx.ConnectError | httpx.ProxyError)
    if connecting or isinstance(cause, ConnectionRefusedError | TimeoutError) or _no_route(cause):
        return _unreachable_failure(url, _describe(cause or error))
    return dropped_failure(url, _describe(error))


def _tls_failure(error: ssl.SSLError, url: str) -> ConnectionFailed:
    if isinstance(error, ssl.SSLCertVerificationError):
        hint = "fix the certificate, or name its authority in SSL_CERT_FILE"
        message = f"The certificate of {url} is not trusted ({error.verify_message}): {hint}."
    else:
        message = f"No TLS with {url} ({_describe(error)}): if its port speaks plain HTTP, use http://."
    return ConnectionFailed(FailureReason.TLS, message)


def _no_route(cause: OSError | None) -> bool:
    return cause is not None and cause.errno in (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EADDRNOTAVAIL)


def _unreachable_failure(url: str, detail: str) -> ConnectionFailed:
    hint = "check that the server runs (`dashboard-rt serve`) and that host and port are right"
    return ConnectionFailed(FailureReason.UNREACHABLE, f"Cannot connect to {url} ({detail}): {hint}.")


def _describe(error: BaseException) -> str:
    if isinstance(error, ConnectionRefusedError):
        # asyncio's own text repeats the address, which the sentence already names
        return "connection refused"
    return (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__


def _system_error(error: BaseException | None) -> OSError | None:
    """Return the deepest OSError of the chain. Of a group (one error per address tried) only the first counts."""
    found: OSError | None = None
    while error is not None:
        if isinstance(error, BaseExceptionGroup):
            return _system_error(error.exceptions[0]) or found
        if isinstance(error, OSError):
            found = error
        error = error.__cause__ or error.__context__
    return found
