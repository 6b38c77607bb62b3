"""Whose pages may connect: the Origin header against our own host and ALLOWED_ORIGINS. Pure.

Schemes are not compared for our own host: behind a proxy that ends TLS ours is not the browser's. A port that is
its scheme's own may be written or left out on either side.
"""

from __future__ import annotations

from collections.abc import Iterable

DEFAULT_PORTS = {"http": ":80", "https": ":443"}


def header(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> str | None:
    """The first value of a header, or None."""
    for key, value in headers:
        if key == name:
            return value.decode("latin-1")
    return None


def is_own(origin: str, host: str | None) -> bool:
    """Whether `origin` (RFC 6454 §6.2) is a page of `host`, the request's Host header."""
    scheme, separator, authority = origin.lower().partition("://")
    if not separator or not authority or host is None:
        return False
    port = DEFAULT_PORTS.get(scheme, "")
    return authority.removesuffix(port) == host.lower().removesuffix(port)


def may_connect(origin: str | None, host: str | None, allowed: Iterable[str], required: bool) -> bool:
    """Whether a WebSocket from `origin` is let in; without an Origin it is no browser, allowed unless `required`."""
    if origin is None:
        return not required
    return is_own(origin, host) or origin.lower() in allowed


def cors(origin: str | None, allowed: Iterable[str]) -> list[tuple[bytes, bytes]]:
    """The CORS headers for a stream (WHATWG Fetch §3.3): for listed origins only, never `*`."""
    headers = [(b"vary", b"Origin")]
    if origin is not None and origin.lower() in allowed:
        headers.append((b"access-control-allow-origin", origin.encode("latin-1")))
        headers.append((b"access-control-allow-credentials", b"true"))
    return headers
