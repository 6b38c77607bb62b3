"""WS /cable: the handshake, then a session of its own for each connection (docs/protocol.md §2)."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from starlette.types import Receive, Scope, Send

from ...errors import NotFound
from ...http.security import header, may_connect, request_host
from ...hub.connections import Connections
from ...settings import Settings
from ...telemetry import Telemetry
from ..asgi import run_websocket
from ..connection import ExactWebSocketRoute, Transport, client_address, handover_offer, way_to_abort
from .frames import BASE_PROTOCOL, EXT_PROTOCOL, LABEL, Wires
from .session import CableSession


def choose_protocol(offers: Iterable[str]) -> str | None:
    """Return the subprotocol to name: the extended one first; none when neither is offered, as Rails does."""
    offers = {offer.strip() for offer in offers}
    return next((name for name in (EXT_PROTOCOL, BASE_PROTOCOL) if name in offers), None)


class CableEndpoint:
    """The ASGI app of the route."""

    def __init__(self, connections: Connections, settings: Settings, telemetry: Telemetry) -> None:
        self._connections = connections
        self._settings = settings
        self._telemetry = telemetry
        self._wires = Wires()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one handshake; returns when the connection was handed over, or has ended. Raises NotFound."""
        origin, host = header(scope["headers"], b"origin"), request_host(scope)
        allowed, required = self._settings.allowed_origins, self._settings.cable_require_origin
        await receive()  # websocket.connect
        if not may_connect(origin, host, allowed, required):
            self._telemetry.rejected.labels(LABEL, "origin").inc()
            await self._deny(scope, send)
            return
        protocol = choose_protocol(scope["subprotocols"])
        await send({"type": "websocket.accept", "subprotocol": protocol, "headers": []})
        await self._serve(protocol == EXT_PROTOCOL, scope, receive, send)

    async def _deny(self, scope: Scope, send: Send) -> None:
        if "websocket.http.response" in (scope.get("extensions") or {}):
            raise NotFound("This page's origin may not connect: see ALLOWED_ORIGINS in docs/settings.md.")
        await send({"type": "websocket.close", "code": 1008})  # the server cannot send an HTTP response

    async def _serve(self, ext: bool, scope: Scope, receive: Receive, send: Send) -> None:
        offer = handover_offer(scope)
        taken = offer is not None and self._settings.handover
        session = CableSession(self._connections, self._wires, self._telemetry, ext, raw=taken)
        begin = partial(session.begin, self._begin, session, client_address(scope))
        if taken:
            offer.take(session, begin)
            return
        try:
            await run_websocket(session, receive, send, begin, way_to_abort(scope))
        finally:
            session.lost("lost")

    def _begin(self, session: CableSession, address: str | None, head: bytes) -> None:
        """Admit or refuse the client. `head` is the head of the response, still to be written."""
        refusal = self._connections.refusal(address)
        if refusal is None:
            session.open(head, address)
        else:
            self._telemetry.rejected.labels(LABEL, refusal).inc()
            session.refuse(head, refusal)


def _route(connections: Connections, settings: Settings, telemetry: Telemetry) -> ExactWebSocketRoute:
    return ExactWebSocketRoute("/cable", CableEndpoint(connections, settings, telemetry))


TRANSPORT = Transport(LABEL, lambda settings: settings.cable_ping, _route)
