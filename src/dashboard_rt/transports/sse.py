"""Server-Sent Events: GET /dashboard/stream, one stream a connection (docs/protocol.md §1, WHATWG HTML §9.2).

The endpoint answers at once and hands the socket over to an SseConnection, which the transport then calls; where no
handover is offered the same object runs over plain ASGI.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from functools import lru_cache, partial
from typing import NamedTuple
from urllib.parse import parse_qsl

import orjson
from starlette.types import Receive, Scope, Send

from ..errors import Refused, UnknownStream
from ..http.security import cors_headers, header
from ..http.tickets import StreamAccess
from ..hub.connections import Connections
from ..hub.subscription import Resume, Subscription
from ..settings import DASHBOARD_STREAM, Settings
from ..telemetry import Telemetry
from ..types import UNREADABLE_POSITION, Position, Update
from .asgi import run_stream
from .connection import Connection, ExactRoute, Transport, client_address, handover_offer, names_position

LABEL = "sse"
HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache, no-store, no-transform"),
    (b"x-accel-buffering", b"no"),
    (b"x-content-type-options", b"nosniff"),
    (b"connection", b"close"),
]
Headers = list[tuple[bytes, bytes]]
# A query that needs no decoding: to parse it as any other would be a twentieth of the cost of a connect.
MAX_FIELDS = 20  # in a query
KNOWN_NAMES = ("stream", "ticket")  # and that of the position
NAMES_TOLD, NAME_CHARS = 5, 64  # of the names in a query that mean nothing
PLAIN_QUERY = re.compile(rb"stream=([A-Za-z0-9_.:-]+)")


# ---- events


def event(
    data: str, *, name: str | None = None, position: Position | None = None, retry: int | None = None
) -> str:
    """Format one event. `data` is one line; `retry` is in ms."""
    lines = []
    if retry is not None:
        lines.append(f"retry: {retry}")
    if name is not None:
        lines.append(f"event: {name}")
    if position is not None:
        lines.append(f"id: {position}")
    lines.append(f"data: {data}\n\n")
    return "\n".join(lines)


def retry_block(milliseconds: int) -> str:
    """Format the reconnection time in a block of its own, which dispatches no event."""
    return f"retry: {milliseconds}\n\n"


@lru_cache(maxsize=64)  # in a storm of reconnects thousands are told the same
def verdict_event(resume: Resume, epoch: str) -> str:
    """Format a verdict."""
    position = Position(epoch, resume.cursor)
    data = {
        "verdict": resume.verdict,
        "position": str(position),
        "replaying": resume.replaying,
        "missed": resume.missed,
    }
    return event(orjson.dumps(data).decode(), name="verdict", position=position)


def first_verdict_event(resume: Resume, epoch: str, retry_ms: int, ignored: Sequence[str] = ()) -> str:
    """Format the verdict that a connection begins with: also what its `retry:` line said, for scripts.

    They see no such line of a browser's own EventSource. `ignored`: names in the query that mean nothing here.
    """
    more = f',"retry_ms":{retry_ms}'
    if ignored:
        more += f',"ignored":{orjson.dumps(ignored).decode()}'
    # Put into the cached text: to format all of it for each client would take twice as long.
    return verdict_event(resume, epoch).removesuffix("}\n\n") + more + "}\n\n"


def heartbeat_event(unix_seconds: float, position: Position) -> str:
    """Format a heartbeat with its time as RFC 3339."""
    time = datetime.fromtimestamp(unix_seconds, UTC).isoformat(timespec="milliseconds")
    data = {"time": time.replace("+00:00", "Z"), "position": str(position)}
    return event(orjson.dumps(data).decode(), name="heartbeat", position=position)


def goodbye_event(reason: str, retry_ms: int) -> str:
    data = {"reason": reason, "retry_ms": retry_ms}
    return event(orjson.dumps(data).decode(), name="goodbye", retry=retry_ms)


class SseWire:
    """Updates as events, in one HTTP/1.1 chunk a batch (RFC 9112 §7.1) or as they are."""

    __slots__ = ("chunked",)
    transport = LABEL
    overhead = 64

    def __init__(self, chunked: bool) -> None:
        self.chunked = chunked

    def encode(self, updates: Sequence[Update], epoch: str) -> bytes:
        return self.frame(
            "".join([f"id: {epoch}-{update.id}\ndata: {update.text}\n\n" for update in updates])
        )

    def frame(self, events: str) -> bytes:
        """Turn formatted events into the bytes of one write."""
        payload = events.encode()
        return b"%x\r\n%b\r\n" % (len(payload), payload) if self.chunked else payload

    @property
    def end(self) -> bytes:
        """What ends the response body; without chunks the end of the connection does (RFC 9112 §6.3)."""
        return b"0\r\n\r\n" if self.chunked else b""


CHUNKED = SseWire(chunked=True)
IDENTITY = SseWire(chunked=False)


# ---- one connection


class SseRequest(NamedTuple):
    """What a client asks for: a stream, from behind a position; names in its query that mean nothing here.

    `ends_at`: when its ticket ends, in Unix seconds.
    """

    stream: str
    position: Position | None
    ignored: tuple[str, ...] = ()
    ends_at: float | None = None


class SseConnection(Connection):
    """One EventSource with its one subscription."""

    __slots__ = ("_retry_ms", "_subscription", "_wire")
    transport = LABEL

    def __init__(self, connections: Connections, wire: SseWire) -> None:
        super().__init__(connections)
        self._wire = wire
        self._retry_ms = 0  # what its `retry:` line said, until the verdict has said so too
        self._subscription: Subscription | None = None

    def open(self, head: bytes, request: SseRequest, address: str | None) -> None:
        """Write the response's head and the reconnection time, and join the stream: all in one write."""
        self._retry_ms = self.connections.retry_ms()
        self.cork(head + self._wire.frame(retry_block(self._retry_ms)))
        self.connections.add(self, address)
        hub = self.connections.hub
        self._subscription = Subscription(self, hub.topics[request.stream], self._wire)
        hub.subscribe(self._subscription, request.position)
        self.uncork()

    def refuse(self, head: bytes, reason: str) -> None:
        """Refuse with a goodbye in a 200: any other status would end an EventSource for good."""
        self.connections.add_refused(self)
        self.sink.write(head)
        self.goodbye(reason, self.connections.retry_ms())

    def subscriptions(self) -> Iterable[Subscription]:
        return () if self._subscription is None else (self._subscription,)

    def on_verdict(self, subscription: Subscription, resume: Resume) -> None:
        """Send the first event of every connection."""
        self._send_first_verdict(subscription, resume)

    def on_fell_behind(self, subscription: Subscription, resume: Resume) -> bool:
        """Send `gap` in the middle of the stream and go on."""
        self.write(self._wire.frame(verdict_event(resume, subscription.topic.epoch)))
        return True

    def _send_first_verdict(
        self, subscription: Subscription, resume: Resume, ignored: Sequence[str] = ()
    ) -> None:
        text = first_verdict_event(resume, subscription.topic.epoch, self._retry_ms, ignored)
        self._retry_ms = 0  # the number is not kept: 32 bytes a connection
        self.write(self._wire.frame(text))

    def heartbeat(self) -> bytes:
        subscription = self._subscription
        if subscription is None or not subscription.confirmed:
            return b""
        cache = self.connections.heartbeat_cache
        key = subscription.group or subscription  # all of a group are at the same position
        data = cache.get(key)
        if data is None:
            text = heartbeat_event(self.connections.clock(), subscription.position)
            data = cache[key] = self._wire.frame(text)
        return data

    def goodbye(self, reason: str, retry_ms: int) -> None:
        if self.closing:
            return
        if self._subscription is not None:
            self.connections.hub.unsubscribe(self._subscription)
        self.write(self._wire.frame(goodbye_event(reason, retry_ms)) + self._wire.end)
        self.uncork()
        self.connections.closing(self)
        self.sink.close()

    def release(self) -> None:
        self._subscription = None

    # ---- asyncio.Protocol

    def data_received(self, data: bytes) -> None:
        """Read no more: an EventSource sends nothing behind its request, and what nobody reads, nobody can flood.

        That the client has left is noticed by the next heartbeats then, which cannot be written.
        """
        self.sink.pause_reading()  # type: ignore[attr-defined]  # called by a transport only, which is the sink then

    def eof_received(self) -> None:
        """Let the transport close."""

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost("lost" if exc is None else "error")


class CorrectedSseConnection(SseConnection):
    """One whose query has names that mean nothing here: its first verdict tells them, or a typing error goes unseen."""

    __slots__ = ("_ignored",)

    def __init__(self, connections: Connections, wire: SseWire, ignored: Sequence[str]) -> None:
        super().__init__(connections, wire)
        self._ignored = ignored

    def on_verdict(self, subscription: Subscription, resume: Resume) -> None:
        self._send_first_verdict(subscription, resume, self._ignored)


# ---- the endpoint


class SseEndpoint:
    """The ASGI app of the route."""

    def __init__(
        self, connections: Connections, settings: Settings, telemetry: Telemetry, access: StreamAccess | None
    ) -> None:
        self._connections = connections
        self._settings = settings
        self._telemetry = telemetry
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; returns when the connection was handed over, or has ended. Raises Refused."""
        try:
            if self._access is None:
                request = self._read(scope)
            else:
                request = await self._admit(self._access, scope)
        except Refused as error:
            self._telemetry.rejected.labels(LABEL, error.code).inc()
            raise
        headers = HEADERS + cors_headers(header(scope["headers"], b"origin"), self._settings.allowed_origins)
        if scope["method"] == "HEAD":
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": b""})
        else:
            await self._stream(request, headers, scope, receive, send)

    async def _admit(self, access: StreamAccess, scope: Scope) -> SseRequest:
        """Read a request that wants a ticket. Without one a client does not even learn which streams there are."""
        ticket = access.check(scope)
        access.require_stream(ticket, self._read_query(scope["query_string"])[0])
        request = self._read(scope)
        if scope["method"] != "HEAD":
            await access.use(ticket)
        return request._replace(ends_at=ticket.closes_at)

    def _read(self, scope: Scope) -> SseRequest:
        stream, in_query, ignored = self._read_query(scope["query_string"])
        if stream not in self._connections.hub.topics:
            raise UnknownStream(f"There is no stream {stream!r}: STREAMS lists those there are.")
        text = header(scope["headers"], b"last-event-id") or in_query
        position = (Position.parse(text) or UNREADABLE_POSITION) if text else None
        return SseRequest(stream, position, ignored)

    def _read_query(self, raw: bytes) -> tuple[str, str, tuple[str, ...]]:
        """Return the stream, the text of the position, empty when there is none, and the names that mean nothing."""
        if not raw:
            return DASHBOARD_STREAM, "", ()
        if plain := PLAIN_QUERY.fullmatch(raw):
            return plain[1].decode("ascii"), "", ()
        try:
            fields = parse_qsl(raw.decode("latin-1"), keep_blank_values=True, max_num_fields=MAX_FIELDS)
        except ValueError:
            raise Refused(
                "The query has too many fields: `stream`, `last_event_id` and `ticket` are all there is."
            ) from None
        streams = [value for name, value in fields if name == "stream"]
        if len(streams) > 1:
            raise Refused("Ask for one stream a connection; open another connection for another stream.")
        # The last one: a client that reconnects puts its own behind that of the address it was given.
        positions = [value for name, value in fields if value and names_position(name)]
        names = [name for name, _ in fields if name not in KNOWN_NAMES and not names_position(name)]
        others = dict.fromkeys(name[:NAME_CHARS] for name in names)
        if others:
            self._telemetry.ignored.labels("query").inc()
        return (streams or [DASHBOARD_STREAM])[0], (positions or [""])[-1], tuple(others)[:NAMES_TOLD]

    async def _stream(
        self, request: SseRequest, headers: Headers, scope: Scope, receive: Receive, send: Send
    ) -> None:
        offer = handover_offer(scope)
        taken = offer is not None and self._settings.handover
        chunked = taken and scope["http_version"] == "1.1"
        wire = CHUNKED if chunked else IDENTITY
        connection = (
            CorrectedSseConnection(self._connections, wire, request.ignored)
            if request.ignored
            else SseConnection(self._connections, wire)
        )
        begin = partial(connection.begin, self._begin, connection, request, client_address(scope))
        if taken:
            offer.take(connection, headers, begin)
            return
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        try:
            await run_stream(connection, receive, send, begin, offer and offer.abort)
        finally:
            connection.lost("lost")

    def _begin(
        self, connection: SseConnection, request: SseRequest, address: str | None, head: bytes
    ) -> None:
        """Admit or refuse the client. `head` is the head of the response, still to be written."""
        refusal = self._connections.refusal(address)
        if refusal is None:
            connection.open(head, request, address)
            if request.ends_at is not None:
                self._connections.end_at(connection, request.ends_at)
        else:
            self._telemetry.rejected.labels(LABEL, refusal).inc()
            connection.refuse(head, refusal)


def _route(
    connections: Connections, settings: Settings, telemetry: Telemetry, access: StreamAccess | None
) -> ExactRoute:
    endpoint = SseEndpoint(connections, settings, telemetry, access)
    return ExactRoute("/dashboard/stream", endpoint, methods=["GET", "HEAD"])


TRANSPORT = Transport(LABEL, lambda settings: settings.sse_heartbeat, _route)
