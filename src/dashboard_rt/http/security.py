"""Who may do what over HTTP: the gate that every request passes, tokens, origins and CORS, rate limit.

Beside the gate all is pure: it decides from headers, and from a clock that is handed in. Knows no endpoint.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable, Collection, Iterable, Mapping

from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..env import is_address, is_loopback
from ..errors import Forbidden, Misdirected, NotFound, NotStarted, Refused, TooManyRequests, Unauthorized
from ..settings import Settings
from ..telemetry import Telemetry
from .responses import send_refusal

OWS = b" \t"  # optional white space around a value is no part of it (RFC 9110 §5.5, §5.6.3)
DEFAULT_PORTS = {"http": ":80", "https": ":443"}
# The key of a scope under which the host that a trusted proxy was asked for may be found.
FORWARDED_HOST = "dashboard_rt.forwarded_host"
# A name, which a dot may end, or an IPv6 address, and a port (RFC 3986 §3.2).
AUTHORITY = re.compile(r"(\[[0-9a-f:.]+\]|[^\[\]:/?#@\s]+?)\.?(:[0-9]*)?")
LOOPBACK_NAME = re.compile(r"(.+\.)?localhost|127(\.[0-9]{1,3}){3}|::1")
PREFLIGHT_ALLOWED = (
    b"accept, authorization, cache-control, content-type, last-event-id, pragma, x-requested-with"
)
PREFIX = "dashboard_rt.prefix"  # the key of a scope under which the path in front of the app's own is found
MAX_HOST_CHARS = 300  # a name has at most 253
MAX_KNOWN_HOSTS = 64
# What pages of ALLOWED_ORIGINS may read. Publishing and the figures of operators are not for pages of others.
READ_PATHS = frozenset({"/dashboard/stream", "/dashboard/refresh", "/dashboard/metrics"})
SHARED_PATHS = READ_PATHS | {"/tickets"}  # where a page hands in its long-lived ticket
CLIENT_FILES = "/static/client/"  # modules of another origin are fetched with CORS (WHATWG HTML §8.1.4.2)
EXPOSED = (b"access-control-expose-headers", b"x-stream-position")
RawHeaders = list[tuple[bytes, bytes]]
FORWARDING_HEADERS = frozenset({b"forwarded", b"via", b"x-real-ip"})  # and those that begin with x-forwarded-


def header(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> str | None:
    """Return the first value of a header of an ASGI scope; None when there is none. `name` is in lower case."""
    for key, value in headers:
        if key == name:
            return value.strip(OWS).decode("latin-1")
    return None


def request_host(scope: Scope) -> str | None:
    """Return the host, with its port, that the client asked for: of a trusted proxy's word, else of the Host header.

    It is what an Origin is compared with. Which names we answer to is a question to the Host header, always.
    """
    forwarded: str | None = scope.get(FORWARDED_HOST)
    return header(scope["headers"], b"host") if forwarded is None else forwarded


def header_map(headers: Iterable[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    """Return the headers of an ASGI scope by name; of several with one name the last."""
    return {name: value.strip(OWS) for name, value in headers}


# ---- hosts


def is_allowed_host(authority: str, allowed: Collection[str]) -> bool:
    """Tell whether a request for `authority`, the value of a Host header, is meant for this server.

    Otherwise a name of a stranger that is made to resolve to this machine (DNS rebinding) would make his page one
    of ours, for every check of origins. `allowed` is ALLOWED_HOSTS: names, `*.name` for all below one, `*` for any.
    Loopback names always are: nobody else can have them (RFC 6761 §6.3).
    """
    if "*" in allowed:
        return True
    match = AUTHORITY.fullmatch(authority.lower()) if len(authority) <= MAX_HOST_CHARS else None
    if match is None:
        return False
    name = match[1].strip(
        "[]"
    )  # settings have IPv6 addresses without brackets, in the form in which browsers send them
    if name in allowed or LOOPBACK_NAME.fullmatch(name):
        return True
    return any(name.endswith(pattern[1:]) for pattern in allowed if pattern.startswith("*."))


# ---- the gate


class LifespanState:
    """Whether the parts of an app are started: from the end of their start to the end of their stop."""

    __slots__ = ("running",)

    def __init__(self) -> None:
        self.running = False

    def begin(self) -> None:
        self.running = True

    def end(self) -> None:
        self.running = False


class Gate:
    """ASGI middleware around the router of one app."""

    def __init__(
        self, app: ASGIApp, settings: Settings, telemetry: Telemetry, lifespan: LifespanState
    ) -> None:
        self._app = app
        self._telemetry = telemetry
        self._lifespan = lifespan
        self._root_path = settings.root_path
        self._origins = settings.allowed_origins
        self._hosts = settings.allowed_hosts
        self._known: set[bytes] = set()  # values of Host that are allowed: most requests have one of a few

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        try:
            self._check_host(scope)
            if not self._lifespan.running:
                raise NotStarted(
                    "The dashboard is not running: the app that it is mounted in has to run its lifespan, as "
                    "docs/embedding.md shows."
                )
            if self._root_path or scope.get("root_path") or scope["path"].endswith("/"):
                scope = self._routable(scope)
            # Most requests have nothing to share: a frame more is a hundredth of the cost of a connect.
            may_share = self._origins or scope.get("method") == "OPTIONS"
            if may_share and scope["type"] == "http" and _is_shared(scope["path"]):
                await self._share(scope, receive, send)
            else:
                await self._app(scope, receive, send)
        except Refused as error:  # raised here: the app turns its own into responses
            self._telemetry.refused.labels(error.code).inc()
            await send_refusal(error, scope, receive, send)

    def _check_host(self, scope: Scope) -> None:
        """Raise Misdirected for a host that is not ours, Refused for two (RFC 9112 §3.2).

        A request that names none is let in: it is HTTP/1.0, which no browser speaks.
        """
        hosts = [value for name, value in scope["headers"] if name == b"host"]
        if len(hosts) > 1:
            raise Refused("Send one Host header.")
        if hosts and hosts[0] not in self._known:
            self._require_ours(header(scope["headers"], b"host") or "")
            if len(self._known) < MAX_KNOWN_HOSTS and len(hosts[0]) <= MAX_HOST_CHARS:
                self._known.add(hosts[0])
        # The forwarded one besides the true one, because a page can send any X-Forwarded-Host. Only where somebody
        # listed hosts: the default follows HOST, which says nothing of the names that a proxy has.
        if self._hosts and (forwarded := scope.get(FORWARDED_HOST)):
            self._require_ours(forwarded)

    def _require_ours(self, host: str) -> None:
        if host and not is_allowed_host(host, self._hosts):
            name = re.sub(r":[0-9]*$", "", host)[:64]  # as ALLOWED_HOSTS has it
            raise Misdirected(
                f"This server is not {name!r}: list that host in ALLOWED_HOSTS if it should be."
            )

    def _routable(self, scope: Scope) -> Scope:
        """Return the scope with a path of the app's own: without a prefix, and without a slash at its end.

        Prefixes come from the app that this one is mounted in, as the scope's root_path, or from ROOT_PATH where a
        proxy passes it on. There are no redirects: their target would be the host and scheme that a proxy rewrote.
        """
        path, mounted_at = scope["path"], scope.get("root_path", "").rstrip("/")
        path = _without(_without(path, mounted_at), self._root_path)
        if len(path) > 1:
            path = path.removesuffix("/")
        return {**scope, "path": path or "/", "root_path": "", PREFIX: self._root_path or mounted_at}

    async def _share(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a CORS preflight, or have the app's response name the allowed origin. Raises Forbidden.

        Errors name it, too: without, a page cannot even read that there is no such stream, and asks for ever.
        """
        origin = header(scope["headers"], b"origin")
        if origin is None:
            await self._app(scope, receive, send)
        elif scope["method"] == "OPTIONS" and header(scope["headers"], b"access-control-request-method"):
            response = Response(status_code=204)
            methods = b"POST" if scope["path"] == "/tickets" else b"GET, HEAD"
            response.raw_headers += preflight_headers(origin, self._origins, methods)
            await response(scope, receive, send)
        else:
            headers = cors_headers(origin, self._origins)
            await self._app(scope, receive, _adding([*headers, EXPOSED], send) if len(headers) > 1 else send)


def _is_shared(path: str) -> bool:
    """Tell whether pages of ALLOWED_ORIGINS may read this."""
    return path in SHARED_PATHS or path.startswith(CLIENT_FILES)


def _without(path: str, prefix: str) -> str:
    """Return a path without a prefix of whole segments; as it is where it has none, or where that was removed."""
    rest = path.removeprefix(prefix)
    return rest if not rest or rest.startswith("/") else path


def _adding(headers: RawHeaders, send: Send) -> Send:
    """Return `send` with `headers` added to the response, unless the endpoint has added its own."""
    name = b"access-control-allow-origin"

    async def added(message: Message) -> None:
        if message["type"] == "http.response.start" and name not in dict(message["headers"]):
            message = {**message, "headers": [*message["headers"], *headers]}
        await send(message)

    return added


# ---- tokens


def require_token(headers: Mapping[bytes, bytes], token: str | None) -> None:
    """Demand `Authorization: Bearer <token>` (RFC 6750 §2.1).

    Raises NotFound when no token is configured, Unauthorized when it is missing or wrong.
    """
    if token is None:
        raise NotFound("Publishing over HTTP is off: set PUBLISH_TOKEN to switch it on.")
    if not is_bearer(headers, token):
        raise Unauthorized("Send the header Authorization: Bearer with the value of PUBLISH_TOKEN.")


def bearer(headers: Mapping[bytes, bytes]) -> bytes | None:
    """Return what stands behind `Bearer` in the header Authorization; None for none, and for another scheme."""
    scheme, _, given = headers.get(b"authorization", b"").partition(b" ")
    return given.strip(OWS) if scheme.lower() == b"bearer" else None


def is_bearer(headers: Mapping[bytes, bytes], token: str) -> bool:
    """Tell whether the bearer token is `token`."""
    # compare_digest takes the same time for every wrong token, so that the time tells nothing about the right one.
    given = bearer(headers)
    return given is not None and hmac.compare_digest(given, token.encode())


def require_operator(scope: Scope, token: str | None, on_loopback: bool) -> None:
    """Demand OPS_TOKEN; without one, that the request comes from this machine.

    `on_loopback` tells whether HOST is a loopback address. Raises Unauthorized, Forbidden.
    """
    headers = header_map(scope["headers"])
    if token is None:
        if not is_local(scope.get("client"), headers, on_loopback):
            raise Forbidden("Only this machine may read this: set OPS_TOKEN, and send it as a bearer token.")
    elif not is_bearer(headers, token):
        raise Unauthorized("Send the header Authorization: Bearer with the value of OPS_TOKEN.")


def is_local(client: tuple[str, int] | None, headers: Iterable[bytes], on_loopback: bool) -> bool:
    """Tell whether a request was made on this machine.

    Not what a proxy on this machine passed on for somebody, whether or not its word is taken for whom; nor what came
    over a Unix socket, which is where a proxy is. A peer without an address is a caller within the process.
    """
    if client is None or any(n in FORWARDING_HEADERS or n.startswith(b"x-forwarded-") for n in headers):
        return False
    return is_loopback(client[0]) or (on_loopback and not is_address(client[0]))


# ---- origins


def is_own_origin(origin: str, host: str | None) -> bool:
    """Tell whether `origin` (RFC 6454 §6.2) is that of `host`, the value of the request's Host header.

    Schemes are not compared, because behind a proxy that ends TLS the browser's is not ours. The default port of
    the scheme may be written or left out on either side.
    """
    scheme, separator, authority = origin.lower().partition("://")
    port = DEFAULT_PORTS.get(scheme)
    if not separator or not authority or host is None or port is None:
        return False  # also a web view's capacitor://localhost, which is no page of a server on localhost
    return authority.removesuffix(port) == host.lower().removesuffix(port)


def may_connect(origin: str | None, host: str | None, allowed: Collection[str], required: bool) -> bool:
    """Tell whether a WebSocket from a page of `origin` is let in: our own host, or one of `allowed`.

    Browsers always send an Origin (RFC 6455 §4.1). A client without one is let in unless `required`.
    """
    if origin is None:
        return not required
    return is_own_origin(origin, host) or origin.lower() in allowed


def cors_headers(origin: str | None, allowed: Collection[str]) -> list[tuple[bytes, bytes]]:
    """Return the CORS headers of what pages of other origins may read (WHATWG Fetch §3.3).

    Only an origin in `allowed` is named, and never `*`, which browsers refuse for requests with credentials.
    """
    headers = [(b"vary", b"Origin")]
    if origin is not None and origin.lower() in allowed:
        headers.append((b"access-control-allow-origin", origin.encode("latin-1")))
        headers.append((b"access-control-allow-credentials", b"true"))
    return headers


def preflight_headers(
    origin: str | None, allowed: Collection[str], methods: bytes = b"GET, HEAD"
) -> list[tuple[bytes, bytes]]:
    """Return the headers that answer a CORS preflight (WHATWG Fetch §4.8). Raises Forbidden for other origins.

    The headers that may be sent are those of EventSource and of its replacements that use fetch. `*` would not stand
    for any of them in a request with credentials.
    """
    headers = cors_headers(origin, allowed)
    if len(headers) == 1:
        raise Forbidden("This page's origin may not read this: see ALLOWED_ORIGINS in docs/settings.md.")
    return [
        *headers,
        (b"access-control-allow-methods", methods),
        (b"access-control-allow-headers", PREFLIGHT_ALLOWED),
        (b"access-control-max-age", b"600"),
    ]


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
            raise TooManyRequests(f"At most {self._rate:g} requests a second: wait a moment and try again.")
        self._left -= 1
