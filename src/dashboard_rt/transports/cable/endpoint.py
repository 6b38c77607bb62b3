"""WS /cable: the handshake, then a session of its own for each connection (docs/protocol.md §2)."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from starlette.types import Receive, Scope, Send

from ...errors import LogUnavailable, NotFound, Refused
from ...http.security import header, may_connect, request_host
from ...http.tickets import StreamAccess, Ticket
from ...hub.connections import Connections
from ...settings import Settings
from ...telemetry import Telemetry
from ..asgi import run_websocket
from ..connection import ExactWebSocketRoute, Transport, client_address, handover_offer, way_to_abort
from .frames import BASE_PROTOCOL, EXT_PROTOCOL, LABEL, Wires
from .session import CableSession, TicketedSession


def choose_protocol(offers: Iterable[str]) -> str | None:
    """Return the subprotocol to name: the extended one first; none when neither is offered, as Rails does."""
    offers = {offer.strip() for offer in offers}
    return next((name for name in (EXT_PROTOCOL, BASE_PROTOCOL) if name in offers), None)


class CableEndpoint:
    """The ASGI app of the route."""

    def __init__(
        self, connections: Connections, settings: Settings, telemetry: Telemetry, access: StreamAccess | None
    ) -> None:
        self._connections = connections
        self._settings = settings
        self._telemetry = telemetry
        self._access = access
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
        admitted = None if self._access is None else await _admit(self._access, scope)
        protocol = choose_protocol(scope["subprotocols"])
        await send({"type": "websocket.accept", "subprotocol": protocol, "headers": []})
        await self._serve(protocol == EXT_PROTOCOL, admitted, scope, receive, send)

    async def _deny(self, scope: Scope, send: Send) -> None:
        if "websocket.http.response" in (scope.get("extensions") or {}):
            raise NotFound("This page's origin may not connect: see ALLOWED_ORIGINS in docs/settings.md.")
        await send({"type": "websocket.close", "code": 1008})  # the server cannot send an HTTP response

    async def _serve(
        self, ext: bool, admitted: Ticket | str | None, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Serve a client that has a ticket, or wants none; tell one that was not admitted why not."""
        offer = handover_offer(scope)
        taken = offer is not None and self._settings.handover
        session = self._session(ext, taken, admitted)
        begin = partial(session.begin, self._begin, session, admitted, client_address(scope))
        if taken:
            offer.take(session, begin)
            return
        try:
            await run_websocket(session, receive, send, begin, way_to_abort(scope))
        finally:
            session.lost("lost")

    def _session(self, ext: bool, raw: bool, admitted: Ticket | str | None) -> CableSession:
        shared = (self._connections, self._wires, self._telemetry, ext, raw)
        if not isinstance(admitted, Ticket) or admitted.streams is None:
            return CableSession(*shared)
        # Of those there are: a ticket may name hundreds, which would be kept as long as the connection.
        streams = admitted.streams.intersection(self._connections.hub.topics)
        return TicketedSession(*shared, streams=streams)

    def _begin(
        self, session: CableSession, admitted: Ticket | str | None, address: str | None, head: bytes
    ) -> None:
        """Admit or refuse the client. `head` is the head of the response, still to be written."""
        refusal = admitted if isinstance(admitted, str) else self._connections.refusal(address)
        if refusal is None:
            session.open(head, address)
            if isinstance(admitted, Ticket):
                self._connections.end_at(session, admitted.closes_at)
        else:
            self._telemetry.rejected.labels(LABEL, refusal).inc()
            session.refuse(head, refusal)


async def _admit(access: StreamAccess, scope: Scope) -> Ticket | str:
    """Return the ticket of a client, used up if it opens once; or the reason for which it has to go."""
    try:
        ticket = access.check(scope)
        await access.use(ticket)
    except LogUnavailable:
        return "unavailable"
    except Refused:
        return "unauthorized"
    return ticket


def _route(
    connections: Connections, settings: Settings, telemetry: Telemetry, access: StreamAccess | None
) -> ExactWebSocketRoute:
    return ExactWebSocketRoute("/cable", CableEndpoint(connections, settings, telemetry, access))


TRANSPORT = Transport(LABEL, lambda settings: settings.cable_ping, _route)
