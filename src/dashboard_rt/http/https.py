"""HTTPS only: what a proxy that ends TLS has taken over plain HTTP is sent to https://, or refused.

Asks the proxy's `X-Forwarded-Proto`: a request without one has come through no such proxy (a probe from within, a
browser on this machine) and passes. Nobody gains by forging it: `http` gets a redirect, and for `https` the server
has to trust the proxy (server/forwarded.py) before anything follows.
"""

from __future__ import annotations

from starlette.datastructures import MutableHeaders
from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..errors import HttpsRequired
from .responses import COMMON_HEADERS
from .security import header, request_host

# A year, for this host alone: whoever runs it may have others below that speak HTTP (RFC 6797 §6.1).
STRICT_TRANSPORT_SECURITY = "max-age=31536000"
SAFE_METHODS = ("GET", "HEAD")


class HttpsOnly:
    """ASGI middleware behind the gate, which has checked the host that is redirected to."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["scheme"] in ("https", "wss"):
            await self._app(scope, receive, _strict(send))
        elif (header(scope["headers"], b"x-forwarded-proto") or "").lower() in ("http", "ws"):
            await self._send_away(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _send_away(self, scope: Scope, receive: Receive, send: Send) -> None:
        host, token = request_host(scope), header(scope["headers"], b"authorization")
        if scope["type"] == "http" and scope["method"] in SAFE_METHODS and host and token is None:
            path = (scope.get("raw_path") or scope["path"].encode()).decode("latin-1")
            query = scope["query_string"].decode("latin-1")
            # Not for caches: without ALLOWED_HOSTS whoever asks names the host, in X-Forwarded-Host, and others would
            # be sent there.
            location = f"https://{host}{path}{'?' if query else ''}{query}"
            await RedirectResponse(location, 308, COMMON_HEADERS)(scope, receive, send)
            return
        # Not redirected: the token and the body have gone over the wire already, and whoever sent them should know.
        raise HttpsRequired("Use https:// (wss:// for a WebSocket): FORCE_HTTPS is on.")


def _strict(send: Send) -> Send:
    async def sent(message: Message) -> None:
        if message["type"] in ("http.response.start", "websocket.http.response.start"):
            MutableHeaders(scope=message)["strict-transport-security"] = STRICT_TRANSPORT_SECURITY
        await send(message)

    return sent
