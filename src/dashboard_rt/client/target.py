"""Derive both endpoints of a server from the URL that was typed. Pure: opens nothing."""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import NamedTuple
from urllib.parse import SplitResult, parse_qsl, urlencode, urlsplit

import orjson

from .connection import TransportName

SSE_PATH = "/dashboard/stream"
CABLE_PATH = "/cable"
HEALTH_PATH = "/health"
PAGE_PATHS = ("/dashboard/sse-test", "/dashboard/websocket-test", "/dashboard")
HTTP_SCHEMES = {"http": "http", "https": "https", "ws": "http", "wss": "https"}
WEBSOCKET_SCHEMES = {"http": "ws", "https": "wss"}
DEFAULT_PORTS = {"http": 80, "https": 443}
# A password in the authority (RFC 3986 §3.2.1), and the value of a parameter whose name says that it is secret.
PASSWORD = re.compile(r"(?<=://)([^/?#:]*):[^/?#]*@")
SECRET_PARAMETER = re.compile(
    r"([?&][^=&#]*(?:token|secret|password|key|sig|signature|jwt|ticket|jid)=)[^&#]*", re.IGNORECASE
)


class BadTarget(ValueError):
    """A URL that cannot be used; the message is one sentence that names one that can."""


class Target(NamedTuple):
    """The two endpoints of a server, the origin of its page, and the stream to follow (None: its default).

    `ticket`: what both endpoints are sent as a bearer token, where the server wants one.
    """

    sse: str
    cable: str
    origin: str
    stream: str | None = None
    ticket: str | None = None

    def url(self, transport: TransportName) -> str:
        """Return the endpoint of `transport` as it is shown: with passwords and tokens masked."""
        return mask_secrets(self.sse if transport is TransportName.SSE else self.cable)

    @property
    def health(self) -> str:
        """Return where the server says how it is, beside its SSE endpoint: within the same prefix."""
        parts = urlsplit(self.sse)
        return parts._replace(path=f"{parts.path.removesuffix(SSE_PATH)}{HEALTH_PATH}", query="").geturl()

    @property
    def headers(self) -> dict[str, str]:
        """Return what shows the ticket to the server. Not its address, which gets into logs."""
        return {} if self.ticket is None else {"authorization": f"Bearer {self.ticket}"}

    @property
    def identifier(self) -> str:
        """The Action Cable channel identifier: JSON text that servers echo unchanged (docs/protocol.md §2)."""
        stream = {} if self.stream is None else {"stream": self.stream}
        return orjson.dumps({"channel": "DashboardUpdatesChannel", **stream}).decode()

    @property
    def loopback(self) -> bool:
        """Whether the server is on this machine; the environment's proxies are not used then."""
        host = (urlsplit(self.origin).hostname or "").removesuffix(".")
        try:
            return _is_own_address(ip_address(host))
        except ValueError:
            return host == "localhost" or host.endswith(".localhost")


def _is_own_address(address: IPv4Address | IPv6Address) -> bool:
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return address.is_loopback or address.is_unspecified  # 0.0.0.0 and :: connect to this machine


def mask_secrets(url: str) -> str:
    """Mask the password of a URL, and what its parameters hold by their names: tokens, keys and signatures."""
    return SECRET_PARAMETER.sub(r"\1***", PASSWORD.sub(r"\1:***@", url))


def read_target(url: str, stream: str | None = None, ticket: str | None = None) -> Target:
    """Read a base URL, a page's URL or an endpoint's URL, with http, https, ws, wss or no scheme.

    A path before a known path is a prefix of both endpoints. A ws URL with any other path is the cable endpoint
    itself. A query belongs to the endpoint that it was given with, and to SSE when it was given with a base URL.
    Raises BadTarget.
    """
    parts = _split(url.strip())
    _check_ticket(ticket, parts)
    scheme = HTTP_SCHEMES[parts.scheme]
    prefix, known_path = _split_prefix(parts.path)
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    stream = stream or query.get("stream")
    host = parts.netloc.rpartition("@")[2].lower()
    custom_cable = parts.scheme.startswith("ws") and not known_path and prefix != ""
    is_cable = custom_cable or known_path == CABLE_PATH
    sse_query = {} if is_cable else {k: v for k, v in query.items() if k != "stream"}
    if stream is not None:
        sse_query["stream"] = stream
    sse_path = SSE_PATH if custom_cable else f"{prefix}{SSE_PATH}"
    cable_path = parts.path if custom_cable else f"{prefix}{CABLE_PATH}"
    cable_query = parts.query if is_cable else ""
    return Target(
        sse=_join(scheme, parts.netloc, sse_path, urlencode(sse_query)),
        cable=_join(WEBSOCKET_SCHEMES[scheme], _with_password(parts.netloc), cable_path, cable_query),
        origin=f"{scheme}://{host.removesuffix(f':{DEFAULT_PORTS[scheme]}')}",
        stream=stream,
        ticket=ticket,
    )


def _check_ticket(ticket: str | None, parts: SplitResult) -> None:
    if ticket is None:
        return
    if not re.fullmatch(r"[!-~]+", ticket):
        raise BadTarget("The ticket holds what no header can: give it as POST /tickets returned it.")
    if "@" in parts.netloc:
        raise BadTarget(
            "The ticket and the password of the URL want the same header: put the ticket into the URL, as ?ticket=."
        )


def _split(url: str) -> SplitResult:
    shown = mask_secrets(url)
    unusable = BadTarget(f"{shown!r} is not a URL of a server: give one such as http://127.0.0.1:3000.")
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        known = parts.scheme in HTTP_SCHEMES and bool(parts.hostname) and parts.port != 0
    except ValueError:  # brackets that do not match; a port out of range, which is computed when it is read
        raise unusable from None
    if not known or not url.isprintable() or any(c.isspace() for c in url):
        raise unusable
    return parts


def _with_password(netloc: str) -> str:
    """Give a user without a password an empty one, as httpx does: websockets refuses such a URL."""
    user, at, host = netloc.rpartition("@")
    return f"{user}:{at}{host}" if user and ":" not in user else netloc


def _split_prefix(path: str) -> tuple[str, str | None]:
    path = path.rstrip("/")
    for known_path in (SSE_PATH, CABLE_PATH, *PAGE_PATHS):
        if path.endswith(known_path):
            return path.removesuffix(known_path), known_path
    return path, None


def _join(scheme: str, netloc: str, path: str, query: str) -> str:
    return f"{scheme}://{netloc}{path}{f'?{query}' if query else ''}"
