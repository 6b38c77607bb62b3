"""WS /cable: the handshake, then a session of its own for each connection (docs/protocol.md §2)."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from starlette.types import Receive, Scope, Send

from .audience import Audience
from .cable_session import CableSession
from .frames import BASE_PROTOCOL, EXT_PROTOCOL
from .handover import offered
from .origins import header, may_connect
from .plain import run_cable
from .replies import error_body
from .settings import Settings
from .telemetry import Telemetry


def choose(offers: Iterable[str]) -> str | None:
    """The subprotocol to name: the extended one first; none when neither is offered, as Rails does."""
    offers = set(offers)
    return next((name for name in (EXT_PROTOCOL, BASE_PROTOCOL) if name in offers), None)


class CableEndpoint:
    """The ASGI app of the route."""

    def __init__(self, audience: Audience, settings: Settings, telemetry: Telemetry) -> None:
        self._audience = audience
        self._settings = settings
        self._telemetry = telemetry

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one handshake; returns when the connection was handed over, or has ended."""
        origin, host = header(scope["headers"], b"origin"), header(scope["headers"], b"host")
        allowed, required = self._settings.allowed_origins, self._settings.cable_require_origin
        await receive()  # websocket.connect
        if not may_connect(origin, host, allowed, required):
            self._telemetry.rejected.labels("cable", "origin").inc()
            await self._deny(scope, send)
            return
        protocol = choose(scope["subprotocols"])
        await send({"type": "websocket.accept", "subprotocol": protocol, "headers": []})
        await self._serve(protocol == EXT_PROTOCOL, scope, receive, send)

    async def _deny(self, scope: Scope, send: Send) -> None:
        if "websocket.http.response" not in (scope.get("extensions") or {}):
            await send({"type": "websocket.close", "code": 1008})
            return
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(NOT_FOUND)).encode())]
        await send({"type": "websocket.http.response.start", "status": 404, "headers": headers})
        await send({"type": "websocket.http.response.body", "body": NOT_FOUND})

    async def _serve(self, ext: bool, scope: Scope, receive: Receive, send: Send) -> None:
        address = scope["client"][0] if scope.get("client") else None
        offer = offered(scope) if self._settings.handover else None
        session = CableSession(self._audience, self._telemetry, ext, raw=offer is not None)
        if offer is None:
            try:
                await run_cable(session, receive, send, partial(self._begin, session, address))
            finally:
                session.lost("lost")
            return
        taken = offer.take(session)
        if taken is not None:
            head, early = taken
            self._begin(session, address, head)
            if early:
                session.link.data_received(early)

    def _begin(self, session: CableSession, address: str | None, head: bytes = b"") -> None:
        refusal = self._audience.refusal(address)
        if refusal is None:
            session.open(head, address)
        else:
            self._telemetry.rejected.labels("cable", refusal).inc()
            session.sink.write(head)
            session.goodbye(refusal, self._audience.retry_ms())


NOT_FOUND = error_body(
    "not_found", "This page's origin may not connect: see ALLOWED_ORIGINS in docs/settings.md."
)
