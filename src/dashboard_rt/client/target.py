"""Target: what a person typed as URL, turned into the two endpoints behind it. Pure; opens nothing."""

from __future__ import annotations

from ipaddress import ip_address
from typing import NamedTuple
from urllib.parse import SplitResult, parse_qsl, urlencode, urlsplit

import orjson

from ..types import Transport

SSE_PATH = "/dashboard/stream"
CABLE_PATH = "/cable"
PAGE_PATHS = ("/dashboard/sse-test", "/dashboard/websocket-test", "/dashboard")
SECURE = {"http": "http", "https": "https", "ws": "http", "wss": "https"}
USUAL_PORT = {"http": 80, "https": 443}


class BadTarget(ValueError):
    """A URL that cannot be used; the message is one sentence that says what would do."""


class Target(NamedTuple):
    """The two endpoints of one server, the origin of its page, and the stream to follow (None: its default)."""

    sse: str
    cable: str
    origin: str
    stream: str | None = None

    def url(self, transport: Transport) -> str:
        """The endpoint of this transport."""
        return self.sse if transport is Transport.SSE else self.cable

    @property
    def identifier(self) -> str:
        """The channel identifier for Action Cable: an opaque text, echoed by the server as it is."""
        stream = {} if self.stream is None else {"stream": self.stream}
        return orjson.dumps({"channel": "DashboardUpdatesChannel", **stream}).decode()

    @property
    def loopback(self) -> bool:
        """Whether it is this machine: proxies of the environment are not asked then."""
        host = urlsplit(self.origin).hostname or ""
        try:
            return ip_address(host).is_loopback
        except ValueError:
            return host == "localhost" or host.endswith(".localhost")


def read_target(url: str, stream: str | None = None) -> Target:
    """Read a base URL, a page or either endpoint, with http, https, ws, wss or no scheme; raises BadTarget.

    What stands before a known path is a prefix that both endpoints share; a ws URL with another path is taken
    as the cable endpoint itself. A query goes with the endpoint it was written for (and to SSE from a base).
    """
    parts = _split(url)
    scheme = SECURE[parts.scheme]
    root, known = _root(parts.path)
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    wanted = stream or query.get("stream")
    host = parts.netloc.rpartition("@")[2].lower()
    literal = parts.scheme.startswith("ws") and not known and root != ""
    cable_path = parts.path if literal else f"{root}{CABLE_PATH}"
    is_cable = literal or known == CABLE_PATH
    for_sse = {} if is_cable else {k: v for k, v in query.items() if k != "stream"}
    if wanted is not None:
        for_sse["stream"] = wanted
    sse_root = "" if literal else root
    return Target(
        sse=_join(scheme, parts.netloc, f"{sse_root}{SSE_PATH}", urlencode(for_sse)),
        cable=_join(
            "ws" if scheme == "http" else "wss", parts.netloc, cable_path, parts.query if is_cable else ""
        ),
        origin=f"{scheme}://{host.removesuffix(f':{USUAL_PORT[scheme]}')}",
        stream=wanted,
    )


def _split(url: str) -> SplitResult:
    parts = urlsplit(url if "://" in url else f"http://{url}")
    try:
        usable = parts.scheme in SECURE and bool(parts.hostname) and parts.port != 0 and url.isprintable()
    except ValueError:
        usable = False
    if not usable or any(c.isspace() for c in url):
        raise BadTarget(f"{url!r} is not a URL of a server: give one such as http://127.0.0.1:3000.")
    return parts


def _root(path: str) -> tuple[str, str | None]:
    path = path.rstrip("/")
    for known in (SSE_PATH, CABLE_PATH, *PAGE_PATHS):
        if path.endswith(known):
            return path.removesuffix(known), known
    return path, None


def _join(scheme: str, netloc: str, path: str, query: str) -> str:
    return f"{scheme}://{netloc}{path}{f'?{query}' if query else ''}"
