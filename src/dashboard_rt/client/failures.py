"""Why a client's connection failed, as data and as one sentence that says what to do about it."""

from __future__ import annotations

import errno
import socket
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum

import httpx

from ..errors import DashboardError
from ..types import Transport

CONNECT_SECONDS = 10.0  # for TCP and TLS; a longer silence here is a filtered port, not a slow server


@dataclass(slots=True)
class Head:
    """The head of an answer, names of headers in lower case. The last two are a WebSocket's."""

    status: int
    http_version: str
    headers: Mapping[str, str]
    subprotocol: str | None = None
    extensions: tuple[str, ...] = ()


class Why(StrEnum):
    """The reasons."""

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


FINAL = frozenset({Why.BAD_URL, Why.TLS, Why.CONTENT_TYPE, Why.SUBPROTOCOL, Why.NOT_WEBSOCKET, Why.REJECTED})
WORTH_ANOTHER_TRY = frozenset({408, 425, 429})


class Failed(DashboardError):
    """A connection that did not come about or broke. `head` is the refusing answer, where there was one."""

    def __init__(self, why: Why, sentence: str, head: Head | None = None) -> None:
        super().__init__(sentence)
        self.why = why
        self.head = head

    @property
    def final(self) -> bool:
        """Whether trying again is pointless: a wrong endpoint, or a status that says so."""
        if self.why is Why.STATUS and self.head is not None:
            return self.head.status < 500 and self.head.status not in WORTH_ANOTHER_TRY
        return self.why in FINAL


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
BOTH = {401: TOKEN, 403: TOKEN, 429: FULL, 502: NO_BACKEND, 503: FULL, 504: NO_BACKEND}
ADVICE: dict[Transport, dict[int, str]] = {
    Transport.SSE: {**BOTH, 404: NO_STREAM},
    Transport.CABLE: {
        **BOTH,
        **dict.fromkeys((403, 404), NO_ORIGIN),
        **dict.fromkeys((200, 400, 405, 426), NO_UPGRADE),
    },
}


def status_failure(transport: Transport, url: str, head: Head) -> Failed:
    """An answer that opens no stream. Redirects are not followed: a browser's WebSocket does not either."""
    wanted = 200 if transport is Transport.SSE else 101
    if 300 <= head.status < 400:
        advice = f"it has moved, use {head.headers.get('location', 'the address that it names')}."
    else:
        advice = ADVICE[transport].get(head.status, "check the path, and look into the server's log.")
    return Failed(Why.STATUS, f"{url} answered {head.status} instead of {wanted}: {advice}", head)


# ---- sockets


@contextmanager
def explaining(url: str, timeout: float) -> Iterator[None]:
    """Turn what httpx, the socket or TLS raises into `Failed` (the cable client adds websockets' errors)."""
    try:
        yield
    except httpx.ConnectTimeout:
        raise _unreachable(url, f"no answer within {min(timeout, CONNECT_SECONDS):g} s") from None
    except httpx.TimeoutException:
        raise silent(url, timeout) from None
    except httpx.InvalidURL as error:
        raise Failed(Why.BAD_URL, f"{url} cannot be used ({error}): check it.") from None
    except (httpx.TransportError, OSError) as error:
        raise explain_socket(error, url) from error


def silent(url: str, timeout: float) -> Failed:
    """Nothing came for too long."""
    return Failed(
        Why.SILENT,
        f"Nothing came from {url} for {timeout:g} s, not even a heartbeat: the server hangs, or something "
        "on the way buffers; `dashboard-rt doctor` finds out which.",
    )


def dropped(url: str, detail: str) -> Failed:
    """The connection broke."""
    return Failed(
        Why.DROPPED,
        f"The connection to {url} broke without a goodbye ({detail}): "
        "the server or a proxy on the way cut it, look into their logs.",
    )


def explain_socket(error: BaseException, url: str) -> Failed:
    """The sentence for a socket that failed or broke, by the system's error at the bottom of the chain."""
    cause = _system_error(error)
    if isinstance(cause, ssl.SSLError):
        return _tls(cause, url)
    if isinstance(cause, socket.gaierror):
        return Failed(Why.NO_ADDRESS, f"The host of {url} has no address: check its spelling and your DNS.")
    if cause is not None and cause.errno in (errno.EMFILE, errno.ENFILE):
        return Failed(Why.FILES, "No file handles are left: run `ulimit -n 65536`, or use fewer clients.")
    connecting = isinstance(error, httpx.ConnectError | httpx.ProxyError)
    if connecting or isinstance(cause, ConnectionRefusedError | TimeoutError) or _no_route(cause):
        return _unreachable(url, _words(cause or error))
    return dropped(url, _words(error))


def _tls(error: ssl.SSLError, url: str) -> Failed:
    if isinstance(error, ssl.SSLCertVerificationError):
        hint = "fix the certificate, or name its authority in SSL_CERT_FILE"
        return Failed(Why.TLS, f"The certificate of {url} is not trusted ({error.verify_message}): {hint}.")
    return Failed(
        Why.TLS, f"No TLS with {url} ({_words(error)}): if its port speaks plain HTTP, use http://."
    )


def _no_route(cause: OSError | None) -> bool:
    return cause is not None and cause.errno in (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EADDRNOTAVAIL)


def _unreachable(url: str, detail: str) -> Failed:
    hint = "check that the server runs (`dashboard-rt serve`) and that host and port are right"
    return Failed(Why.UNREACHABLE, f"Cannot connect to {url} ({detail}): {hint}.")


def _words(error: BaseException) -> str:
    if isinstance(error, ConnectionRefusedError):
        return "connection refused"
    return (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__


def _system_error(error: BaseException | None) -> OSError | None:
    """The deepest system error of the chain; of a group (one per address that was tried) its first."""
    found: OSError | None = None
    while error is not None:
        if isinstance(error, BaseExceptionGroup):
            return _system_error(error.exceptions[0]) or found
        if isinstance(error, OSError):
            found = error
        error = error.__cause__ or error.__context__
    return found
