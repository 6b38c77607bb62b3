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
from ..types import Position
from .connection import CONNECT_SECONDS, MAX_EVENT_BYTES, ResponseHead, TransportName
from .target import mask_secrets


class FailureReason(StrEnum):
    """Why a connection could not be opened, or broke; the values are printed."""

    UNREACHABLE = "unreachable"
    PROXY = "proxy"
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
    TOO_LARGE = "too_large"
    BROKEN = "broken"
    DROPPED = "dropped"


PERMANENT_REASONS = frozenset(
    {
        FailureReason.PROXY,
        FailureReason.BAD_URL,
        FailureReason.TLS,
        FailureReason.CONTENT_TYPE,
        FailureReason.SUBPROTOCOL,
        FailureReason.NOT_WEBSOCKET,
        FailureReason.REJECTED,
        FailureReason.TOO_LARGE,
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

TOKEN = (
    "it wants a ticket that opens this stream, or a password: give a ticket with --ticket or DASHBOARD_TICKET "
    "(POST /tickets issues them), a password in the URL."
)
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
EXEMPT = "exempt the server with NO_PROXY"
PROXY_LOGIN = f"put user and password into the proxy's URL (http://user:password@host:port), or {EXEMPT}."
COMMON_ADVICE = {
    401: TOKEN,
    403: TOKEN,
    407: PROXY_LOGIN,
    429: FULL,
    502: NO_BACKEND,
    503: FULL,
    504: NO_BACKEND,
}
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
        location = mask_secrets(head.headers.get("location", "the address that it names"))
        advice = f"it has moved, use {shorten(location)}."
    else:
        advice = STATUS_ADVICE[transport].get(head.status, "check the path, and look into the server's log.")
    message = f"{url} answered {head.status} instead of {expected}: {advice}"
    return ConnectionFailed(FailureReason.STATUS, message, head)


# ---- proxies


def proxy_setting_failure(
    variable: str, value: str, problem: str, advice: str, host: str | None
) -> ConnectionFailed:
    """Describe a variable of the environment that names a proxy which cannot be used for `host`."""
    exempt = f"exempt this server with NO_PROXY={host}, or unset {variable}"
    message = f"{variable}={value} cannot be used ({problem}): {advice}, {exempt}."
    return ConnectionFailed(FailureReason.PROXY, message)


def proxy_refusal_failure(url: str, proxy: str, status: int | None, detail: str) -> ConnectionFailed:
    """Describe a proxy that did not let the connection through; `status` is that of its answer to CONNECT."""
    lasts = status is not None and status < 500 and status not in TEMPORARY_STATUSES
    advice = PROXY_LOGIN if status == 407 else f"look into its log, or {EXEMPT}."
    message = f"{_capitalized(proxy)} does not connect to {url} ({detail}): {advice}"
    return ConnectionFailed(FailureReason.PROXY if lasts else FailureReason.UNREACHABLE, message)


def _capitalized(text: str) -> str:
    return text[:1].upper() + text[1:]


# ---- sockets


@contextmanager
def translate_errors(url: str, timeout: float, proxy: str | None = None) -> Iterator[None]:
    """Raise `ConnectionFailed` for what httpx, the socket or TLS raise inside.

    `url` is as it is shown, `timeout` in seconds, `proxy` describes the one that the connection goes through.
    """
    try:
        yield
    except httpx.ConnectTimeout:
        detail = f"no answer within {min(timeout, CONNECT_SECONDS):g} s"
        raise _unreachable_failure(url, detail, proxy) from None
    except httpx.TimeoutException:
        raise silence_failure(url, timeout) from None
    except httpx.ProxyError as error:
        status = int(str(error)[:3]) if str(error)[:3].isdecimal() else None
        raise proxy_refusal_failure(url, proxy or "the proxy", status, _describe(error)) from None
    except (
        httpx.InvalidURL,
        UnicodeError,
    ) as error:  # the latter for a host that no lookup takes, such as `a..b`
        raise bad_url_failure(url, error) from None
    except httpx.DecodingError as error:
        raise broken_failure(url, _describe(error)) from None
    except (httpx.TransportError, OSError) as error:
        raise socket_failure(error, url, proxy) from error


def bad_url_failure(url: str, error: Exception | str) -> ConnectionFailed:
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
        f"The connection to {url} broke without a goodbye ({shorten(detail)}): "
        "the server or a proxy on the way cut it, look into their logs.",
    )


def broken_failure(url: str, detail: str) -> ConnectionFailed:
    """Describe an open connection on which something arrived that breaks its protocol."""
    return ConnectionFailed(
        FailureReason.BROKEN,
        f"{url} sent what cannot be read ({shorten(detail)}): see whether something on the way changes it.",
    )


def too_large_failure(url: str) -> ConnectionFailed:
    """Describe an update above MAX_EVENT_BYTES. It would come again after every reconnect."""
    return ConnectionFailed(
        FailureReason.TOO_LARGE,
        f"{url} sends an update of more than {MAX_EVENT_BYTES // 2**20} MiB, and this client reads none that is "
        "larger: publish smaller updates, or go on behind it with --from.",
    )


def stuck_failure(connections: int, position: Position | None) -> ConnectionFailed:
    """Describe connections that broke one after another before any update arrived."""
    where = "the beginning" if position is None else str(position)
    return ConnectionFailed(
        FailureReason.BROKEN,
        f"{connections} connections in a row broke at {where}: what follows there cannot be received, look into the "
        "logs of the server and of the proxies.",
    )


def socket_failure(error: BaseException, url: str, proxy: str | None = None) -> ConnectionFailed:
    """Describe a socket that could not connect, or broke, by the system error at the root of `error`."""
    cause = _system_error(error)
    if isinstance(cause, ssl.SSLError):
        return _tls_failure(cause, url, proxy)
    if isinstance(cause, socket.gaierror):
        message = f"The host of {proxy or url} has no address: check its spelling and your DNS."
        return ConnectionFailed(FailureReason.NO_ADDRESS, message)
    if cause is not None and cause.errno in (errno.EMFILE, errno.ENFILE):
        message = "No file handles are left: run `ulimit -n 65536`, or use fewer clients."
        return ConnectionFailed(FailureReason.FILES, message)
    connecting = isinstance(error, httpx.ConnectError)
    if connecting or isinstance(cause, ConnectionRefusedError | TimeoutError) or _no_route(cause):
        return _unreachable_failure(url, _describe(cause or error), proxy)
    return dropped_failure(url, _describe(error))


def certificates_failure(variable: str, path: str, error: OSError) -> ConnectionFailed:
    """Describe a store of trusted certificates that cannot be read."""
    detail = error.strerror if not isinstance(error, ssl.SSLError) else "it holds no certificate"
    message = f"{variable}={path} cannot be used ({detail}): correct it, or unset it."
    return ConnectionFailed(FailureReason.TLS, message)


def _tls_failure(error: ssl.SSLError, url: str, proxy: str | None) -> ConnectionFailed:
    url = url if proxy is None else f"{url} through {proxy}"
    if isinstance(error, ssl.SSLCertVerificationError):
        hint = "fix the certificate, or name its authority in SSL_CERT_FILE"
        message = f"The certificate of {url} is not trusted ({error.verify_message}): {hint}."
    else:
        message = f"No TLS with {url} ({_describe(error)}): if the port speaks plain HTTP, use http://."
    return ConnectionFailed(FailureReason.TLS, message)


def _no_route(cause: OSError | None) -> bool:
    return cause is not None and cause.errno in (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EADDRNOTAVAIL)


def _unreachable_failure(url: str, detail: str, proxy: str | None) -> ConnectionFailed:
    if proxy is None:
        hint = "check that the server runs (`dashboard-rt serve`) and that host and port are right"
        message = f"Cannot connect to {url} ({detail}): {hint}."
    else:
        message = (
            f"Cannot connect to {url} through {proxy} ({detail}): check that the proxy runs, or {EXEMPT}."
        )
    return ConnectionFailed(FailureReason.UNREACHABLE, message)


def shorten(text: str, most: int = 200) -> str:
    """Cut what a stranger wrote, for a sentence that quotes it."""
    return text if len(text) <= most else f"{text[: most - 3]}..."


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
