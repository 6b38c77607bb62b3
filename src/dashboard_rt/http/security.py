"""Who may do what over HTTP: bearer token, origins and CORS, same-origin check, rate limit.

Pure: decides from headers, and from a clock that is handed in. Knows no endpoint.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Collection, Iterable, Mapping

from starlette.types import Scope

from ..errors import Forbidden, NotFound, TooManyRequests, Unauthorized

FORWARDED_HOST = (
    "dashboard_rt.forwarded_host"  # key of a scope: host and port that a trusted proxy was asked for
)
DEFAULT_PORTS = {"http": ":80", "https": ":443"}


def header(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> str | None:
    """Return the first value of a header of an ASGI scope; None when there is none. `name` is in lower case."""
    for key, value in headers:
        if key == name:
            return value.decode("latin-1")
    return None


def request_host(scope: Scope) -> str | None:
    """Return the host, with its port, that the client asked for: of a trusted proxy's word, else of the Host header.

    It is what an Origin is compared with. Which names we answer to is a question to the Host header, always.
    """
    forwarded: str | None = scope.get(FORWARDED_HOST)
    return header(scope["headers"], b"host") if forwarded is None else forwarded


# ---- tokens


def require_token(headers: Mapping[bytes, bytes], token: str | None) -> None:
    """Demand `Authorization: Bearer <token>` (RFC 6750 §2.1).

    Raises NotFound when no token is configured, Unauthorized when it is missing or wrong.
    """
    if token is None:
        raise NotFound("Publishing over HTTP is off: set PUBLISH_TOKEN to switch it on.")
    scheme, _, given = headers.get(b"authorization", b"").partition(b" ")
    # compare_digest takes the same time for every wrong token, so that the time tells nothing about the right one.
    if scheme.lower() != b"bearer" or not hmac.compare_digest(given.strip(), token.encode()):
        raise Unauthorized("Send the header Authorization: Bearer with the value of PUBLISH_TOKEN.")


# ---- origins


def is_own_origin(origin: str, host: str | None) -> bool:
    """Tell whether `origin` (RFC 6454 §6.2) is that of `host`, the value of the request's Host header.

    Schemes are not compared, because behind a proxy that ends TLS the browser's is not ours. The default port of
    the scheme may be written or left out on either side.
    """
    scheme, separator, authority = origin.lower().partition("://")
    if not separator or not authority or host is None:
        return False
    port = DEFAULT_PORTS.get(scheme, "")
    return authority.removesuffix(port) == host.lower().removesuffix(port)


def may_connect(origin: str | None, host: str | None, allowed: Collection[str], required: bool) -> bool:
    """Tell whether a WebSocket from a page of `origin` is let in: our own host, or one of `allowed`.

    Browsers always send an Origin (RFC 6455 §4.1). A client without one is let in unless `required`.
    """
    if origin is None:
        return not required
    return is_own_origin(origin, host) or origin.lower() in allowed


def cors_headers(origin: str | None, allowed: Collection[str]) -> list[tuple[bytes, bytes]]:
    """Return the CORS headers of a stream (WHATWG Fetch §3.3).

    Only an origin in `allowed` is named, and never `*`, which browsers refuse for requests with credentials.
    """
    headers = [(b"vary", b"Origin")]
    if origin is not None and origin.lower() in allowed:
        headers.append((b"access-control-allow-origin", origin.encode("latin-1")))
        headers.append((b"access-control-allow-credentials", b"true"))
    return headers


def require_same_origin(headers: Mapping[bytes, bytes], host: str | None = None) -> None:
    """Demand that a browser's POST comes from a page of this host. Raises Forbidden.

    `host` is that of `request_host`, without it the Host header. Browsers send an Origin with every POST (WHATWG Fetch
    §3.2). A client without one is let in.
    """
    site, origin = headers.get(b"sec-fetch-site"), headers.get(b"origin")
    host = headers.get(b"host", b"").decode("latin-1") if host is None else host
    foreign = origin and not is_own_origin(origin.decode("latin-1"), host)
    if site not in (None, b"same-origin", b"none") or foreign:
        raise Forbidden("The demo's triggers answer only to pages of this host; others need the token.")


# ---- rate limit


class TokenBucket:
    """A rate limit: `burst` requests at once, then `rate` a second. `clock` returns seconds and never goes back."""

    def __init__(self, rate: float, burst: int, clock: Callable[[], float]) -> None:
        self._rate = rate
        self._burst = burst
        self._clock = clock
        self._left = float(burst)
        self._updated_at = clock()

    def take(self) -> None:
        """Use up one request. Raises TooManyRequests when none is left."""
        now = self._clock()
        self._left = min(self._burst, self._left + (now - self._updated_at) * self._rate)
        self._updated_at = now
        if self._left < 1:
            raise TooManyRequests(f"At most {self._rate:g} triggers a second: wait a moment and try again.")
        self._left -= 1
