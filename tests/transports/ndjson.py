"""A third transport: newline-delimited JSON over a plain HTTP response. It proves that the hub knows no transport."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial

import orjson
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from dashboard_rt.app import TRANSPORTS, create_app
from dashboard_rt.http.tickets import StreamAccess
from dashboard_rt.hub.connections import Connections
from dashboard_rt.hub.subscription import Resume, Subscription
from dashboard_rt.settings import Settings
from dashboard_rt.telemetry import Telemetry
from dashboard_rt.transports.asgi import run_stream
from dashboard_rt.transports.connection import Connection, Transport, client_address
from dashboard_rt.types import UNREADABLE_POSITION, Position, Update


class NdjsonWire:
    transport = "ndjson"
    overhead = 100

    def encode(self, updates: Sequence[Update], epoch: str) -> bytes:
        lines = [f'{{"position":"{Position(epoch, u.id)}","update":{u.text}}}\n' for u in updates]
        return "".join(lines).encode()


WIRE = NdjsonWire()


class NdjsonConnection(Connection):
    __slots__ = ("_subscriptions",)
    transport = WIRE.transport

    def __init__(self, connections: Connections) -> None:
        super().__init__(connections)
        self._subscriptions: list[Subscription] = []

    def _send(self, **line: object) -> None:
        self.write(orjson.dumps(line) + b"\n")

    def open(
        self, stream: str, position: str | None, address: str | None, ends_at: float | None, head: bytes
    ) -> None:
        if reason := self.connections.refusal(address):
            self.goodbye(reason, self.connections.retry_ms())
            return
        self.connections.add(self, address)
        if ends_at is not None:
            self.connections.end_at(self, ends_at)
        hub = self.connections.hub
        subscription = Subscription(self, hub.topics[stream], WIRE)
        self._subscriptions.append(subscription)
        known = Position.parse(position) or UNREADABLE_POSITION if position else None
        hub.subscribe(subscription, known)

    def subscriptions(self) -> Iterable[Subscription]:
        return self._subscriptions

    def on_verdict(self, subscription: Subscription, resume: Resume) -> None:
        self.on_fell_behind(subscription, resume)

    def on_fell_behind(self, subscription: Subscription, resume: Resume) -> bool:
        position = str(subscription.topic.position(resume.cursor))
        more = {"replaying": resume.replaying, "missed": resume.missed}
        self._send(verdict=resume.verdict, position=position, **more)
        return True

    def heartbeat(self) -> bytes:
        # The verdict comes first, and may have to wait for the log.
        confirmed = [subscription for subscription in self._subscriptions if subscription.confirmed]
        return b"".join(orjson.dumps({"heartbeat": str(each.position)}) + b"\n" for each in confirmed)

    def goodbye(self, reason: str, retry_ms: int) -> None:
        self._send(goodbye=reason, retry_ms=retry_ms)
        self.connections.closing(self)
        self.sink.close()

    def release(self) -> None:
        self._subscriptions.clear()


class NdjsonEndpoint:
    def __init__(
        self, connections: Connections, settings: Settings, telemetry: Telemetry, access: StreamAccess | None
    ) -> None:
        self._connections = connections
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        query = Request(scope).query_params
        ticket = await self._access.admit(scope, query["stream"]) if self._access else None
        connection = NdjsonConnection(self._connections)
        ends_at = ticket and ticket.closes_at
        begin = partial(
            connection.open, query["stream"], query.get("position"), client_address(scope), ends_at
        )
        await send({"type": "http.response.start", "status": 200, "headers": [(b"connection", b"close")]})
        try:
            await run_stream(connection, receive, send, begin)
        finally:
            connection.lost("lost")


TRANSPORT = Transport(
    WIRE.transport, lambda settings: 1.0, lambda *parts: Route("/ndjson", NdjsonEndpoint(*parts))
)


def create() -> Starlette:
    return create_app(transports=(*TRANSPORTS, TRANSPORT))
