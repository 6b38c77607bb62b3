"""Who may do what over HTTP: the bearer token, the same-origin check, the rate limit of the demo. Pure."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Mapping

from .errors import Forbidden, NotFound, TooManyRequests, Unauthorized
from .origins import is_own

Headers = Mapping[bytes, bytes]


def require_token(headers: Headers, token: str | None) -> None:
    """Demand `Authorization: Bearer <token>` (RFC 6750 §2.1).

    Raises NotFound when no token is configured, Unauthorized when it is missing or wrong.
    """
    if token is None:
        raise NotFound("Publishing over HTTP is off: set PUBLISH_TOKEN to switch it on.")
    scheme, _, given = headers.get(b"authorization", b"").partition(b" ")
    if scheme.lower() != b"bearer" or not hmac.compare_digest(given.strip(), token.encode()):
        raise Unauthorized("Send the header Authorization: Bearer with the value of PUBLISH_TOKEN.")


def require_same_origin(headers: Headers) -> None:
    """Demand that a browser's request comes from a page of this host. Raises Forbidden.

    A request that names no origin is none of a browser's: browsers name it on every POST (WHATWG Fetch §3.2).
    """
    site, origin = headers.get(b"sec-fetch-site"), headers.get(b"origin")
    host = headers.get(b"host", b"").decode("latin-1")
    if site not in (None, b"same-origin", b"none") or (origin and not is_own(origin.decode("latin-1"), host)):
        raise Forbidden("The demo's triggers answer only to pages of this host; others need the token.")


class Bucket:
    """A token bucket: `burst` at once, then `rate` a second."""

    def __init__(self, rate: float, burst: int, clock: Callable[[], float]) -> None:
        self._rate = rate
        self._burst = burst
        self._clock = clock
        self._left = float(burst)
        self._at = clock()

    def take(self) -> None:
        """Take one. Raises TooManyRequests when none is left."""
        now = self._clock()
        self._left = min(self._burst, self._left + (now - self._at) * self._rate)
        self._at = now
        if self._left < 1:
            raise TooManyRequests(f"At most {self._rate:g} triggers a second: wait a moment and try again.")
        self._left -= 1
