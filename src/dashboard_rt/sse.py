"""GET /dashboard/stream: one stream as Server-Sent Events (docs/protocol.md §1, WHATWG HTML §9.2).

The endpoint answers at once and hands the connection over to an SseClient, which is the protocol object that the
transport then calls; where no handover is offered the same client runs over plain ASGI.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import NamedTuple
from urllib.parse import parse_qs

from starlette.types import Receive, Scope, Send

from . import frames
from .audience import Audience
from .clients import Client
from .errors import Refused, UnknownStream
from .frames import SSE_CHUNKED, SSE_IDENTITY, SseWire
from .handover import offered
from .origins import cors, header
from .plain import run_sse
from .replies import error_body, send_json, send_refusal
from .settings import DASHBOARD_STREAM, Settings
from .standing import Standing
from .subscription import Subscription
from .telemetry import Telemetry
from .types import Position, Transport

HEAD = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache, no-store, no-transform"),
    (b"x-accel-buffering", b"no"),
    (b"x-content-type-options", b"nosniff"),
    (b"connection", b"close"),
]
Headers = list[tuple[bytes, bytes]]
UNREADABLE = Position(
    "", 0
)  # of no epoch: a position that says nothing is answered with `gap`, never an error


class Request(NamedTuple):
    """What a client asks for."""

    stream: str
    position: Position | None


class SseClient(Client):
    """One EventSource. Its one subscription starts when it is opened."""

    __slots__ = ("_subscription", "_wire")
    transport = Transport.SSE

    def __init__(self, audience: Audience, wire: SseWire) -> None:
        super().__init__(audience)
        self._wire = wire
        self._subscription: Subscription | None = None

    def open(self, head: bytes, request: Request, address: str | None) -> None:
        """Say the first word, behind the response's head, and join the stream."""
        self.hold(head)
        self._say(frames.sse_retry(self.audience.retry_ms()))
        self.audience.admit(self, address)
        hub = self.audience.hub
        self._subscription = Subscription(self, hub.topics[request.stream], self._wire)
        hub.subscribe(self._subscription, request.position)
        self.let_go()

    def refuse(self, head: bytes, reason: str) -> None:
        """Any status but 200 would end an EventSource for good, so the refusal is a goodbye."""
        self.sink.write(head)
        self.goodbye(reason, self.audience.retry_ms())

    def _say(self, events: str) -> None:
        self.write(self._wire.wrap(events))

    # ---- what the hub calls

    def subscriptions(self) -> Iterable[Subscription]:
        """Its one subscription."""
        return () if self._subscription is None else (self._subscription,)

    def joined(self, subscription: Subscription, standing: Standing) -> None:
        """Tell the verdict, the first event of every connection."""
        position = Position(self.audience.hub.epoch, standing.cursor)
        self.audience.opened(self, standing.verdict)
        self._say(frames.sse_verdict(standing.verdict, position, standing.replaying, standing.missed))

    def jumped(self, subscription: Subscription, standing: Standing) -> bool:
        """Tell `gap` in the middle of the stream and go on."""
        position = Position(self.audience.hub.epoch, standing.cursor)
        self._say(frames.sse_verdict(standing.verdict, position, standing.replaying, standing.missed))
        return True

    def caught_up(self, subscription: Subscription) -> None:
        """Nothing to say: the heartbeats carry the position."""

    # ---- what the audience calls

    def heartbeat(self) -> bytes:
        """The event, with the position."""
        subscription = self._subscription
        if subscription is None or not subscription.standing:
            return b""
        said, shared = self.audience.said, subscription.group or subscription
        chunk = said.get(shared)
        if chunk is None:
            position = Position(self.audience.hub.epoch, subscription.position)
            chunk = said[shared] = self._wire.wrap(
                frames.sse_heartbeat(self.audience.heartbeat_time(), position)
            )
        return chunk

    def goodbye(self, reason: str, retry_ms: int) -> None:
        """The last event, then a clean end. Said once."""
        if self.going:
            return
        if self._subscription is not None:
            self.audience.hub.unsubscribe(self._subscription)
        self.write(self._wire.wrap(frames.sse_goodbye(reason, retry_ms)) + self._wire.end)
        self.let_go()
        self.audience.leaving(self)
        self.sink.close()

    def untie(self) -> None:
        """Its subscription refers back to it."""
        self._subscription = None

    # ---- what the transport calls

    def data_received(self, data: bytes) -> None:
        """An EventSource says nothing after its request; whatever comes is not ours to read."""

    def eof_received(self) -> None:
        """The client is done: the transport closes."""

    def connection_lost(self, exc: Exception | None) -> None:
        """The end."""
        self.lost("lost" if exc is None else "error")


class StreamEndpoint:
    """The ASGI app of the route."""

    def __init__(self, audience: Audience, settings: Settings, telemetry: Telemetry) -> None:
        self._audience = audience
        self._settings = settings
        self._telemetry = telemetry

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; returns when the connection was handed over, or has ended."""
        if scope["method"] not in ("GET", "HEAD"):
            await send_json(
                send, 405, METHOD_NOT_ALLOWED, (b"allow", b"GET, HEAD"), (b"connection", b"close")
            )
            return
        try:
            request = self._read(scope)
        except Refused as error:
            self._telemetry.rejected.labels("sse", error.code).inc()
            await send_refusal(send, error)
            return
        head = HEAD + cors(header(scope["headers"], b"origin"), self._settings.allowed_origins)
        if scope["method"] == "HEAD":
            await send({"type": "http.response.start", "status": 200, "headers": head})
            await send({"type": "http.response.body", "body": b""})
        else:
            await self._stream(request, head, scope, receive, send)

    def _read(self, scope: Scope) -> Request:
        try:
            query = parse_qs(
                scope["query_string"].decode("latin-1"), keep_blank_values=True, max_num_fields=20
            )
        except ValueError:
            raise Refused(
                "The query has too many fields: `stream` and `last_event_id` are all there is."
            ) from None
        streams = query.get("stream", [DASHBOARD_STREAM])
        if len(streams) > 1:
            raise Refused("Ask for one stream a connection; open another connection for another stream.")
        if streams[0] not in self._audience.hub.topics:
            raise UnknownStream(f"There is no stream {streams[0]!r}: STREAMS lists those there are.")
        position = header(scope["headers"], b"last-event-id")
        if position is None:
            position = query.get("last_event_id", [""])[-1]
        return Request(streams[0], (Position.parse(position) or UNREADABLE) if position else None)

    async def _stream(
        self, request: Request, headers: Headers, scope: Scope, receive: Receive, send: Send
    ) -> None:
        offer = offered(scope) if self._settings.handover else None
        chunked = offer is not None and scope["http_version"] == "1.1"
        client = SseClient(self._audience, SSE_CHUNKED if chunked else SSE_IDENTITY)
        begin = partial(self._begin, client, request, scope)
        if offer is not None:
            head = offer.take(client, headers)
            if head is not None:
                begin(head)
            return
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        try:
            await run_sse(client, receive, send, partial(begin, b""))
        finally:
            client.lost("lost")

    def _begin(self, client: SseClient, request: Request, scope: Scope, head: bytes) -> None:
        address = scope["client"][0] if scope.get("client") else None
        refusal = self._audience.refusal(address)
        if refusal is None:
            client.open(head, request, address)
        else:
            self._telemetry.rejected.labels("sse", refusal).inc()
            client.refuse(head, refusal)


METHOD_NOT_ALLOWED = error_body("method_not_allowed", "Read a stream with GET.")
