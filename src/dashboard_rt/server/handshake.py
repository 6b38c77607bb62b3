"""The WebSocket half of the handover: a handshake that httptools has parsed is answered without a second parser.

`uvicorn` writes such a handshake out again for the parser of `websockets`: 3,000 connects a second instead of 7,000.
One of the modules that know uvicorn's insides; handover.py says why they have to.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple
from urllib.parse import unquote
from weakref import ref

import httptools
from uvicorn._types import ASGIReceiveEvent
from uvicorn.protocols.utils import ClientDisconnected
from websockets.utils import accept_key

from ..transports.connection import HANDOVER_EXTENSION, MessageConnection
from .connection import HttpConnection
from .plain_websocket import HandshakeProtocol, WebSocketProtocol, without_requests
from .websocket import MAX_MESSAGE, HandedOverWebSocket, OpenProtocol, quiet_logger

HIGH_WATER = 65536  # bytes; set because uvloop's TLS transports have 512 KiB
BASE64_OF_16_BYTES = re.compile(rb"[A-Za-z0-9+/]{22}==")


@lru_cache(maxsize=64)  # Date changes once a second, the rest hardly ever
def header_lines(headers: tuple[tuple[bytes, bytes], ...]) -> bytes:
    return b"".join([b"%b: %b\r\n" % header for header in headers])


def parse_target(url: bytes) -> tuple[bytes, bytes] | None:
    """Return path and query of a request target; None for one without a path, or that is no URL."""
    try:
        parsed = httptools.parse_url(url)
    except httptools.HttpParserInvalidURLError:
        return None
    return (parsed.path, parsed.query or b"") if parsed.path is not None and parsed.path.isascii() else None


class Handshake(NamedTuple):
    """What is needed of the head of a WebSocket handshake. `target` is its path and query."""

    target: tuple[bytes, bytes]
    key: str
    subprotocols: list[str]


def read_handshake(http: HttpConnection, target: tuple[bytes, bytes]) -> Handshake | None:
    """Return a handshake that RFC 6455 §4.2.1 allows; None for any other. `target` is already parsed."""
    fields: dict[bytes, list[bytes]] = {b"key": [], b"version": [], b"protocol": []}
    for name, value in http.headers:
        if name.startswith(b"sec-websocket-") and name[14:] in fields:
            fields[name[14:]].append(value.strip())
    keys, versions, offers = fields.values()
    if len(keys) != 1 or versions != [b"13"]:
        return None
    if not BASE64_OF_16_BYTES.fullmatch(keys[0]):
        return None
    subprotocols = [p.strip() for value in offers for p in value.decode("latin-1").split(",")]
    return Handshake(target, keys[0].decode("ascii"), subprotocols)


class _DetachedTransport:
    """Stands in for the transport of a uvicorn protocol after the handover: `run_asgi` closes it at its end."""

    def close(self) -> None:
        """Do nothing: the connection has another protocol now."""

    def is_closing(self) -> bool:
        return True


class ReadyWebSocket(WebSocketProtocol):
    """uvicorn's WebSocket class for a handshake that is parsed and valid already.

    Has the attributes of uvicorn's constructor (tests/server/test_handover.py compares them), without the handshake
    parser, which costs as much as all the rest. What every connection starts with is the class's, as long as the
    app may still take the offer.
    """

    handshake_initiated, handshake_complete = True, False
    close_sent = disconnected = False
    close_timer, close_timeout = None, 10.0
    initial_response = None
    ping_timer = pong_timer = pending_ping_payload = None
    ping_sent_at = last_ping_rtt = 0.0
    curr_msg_data_type = "bytes"
    connect_sent = False  # to the app
    head = b""  # of the 101 response: written by the app's connection, or by `_stay`
    _conn: Any = None
    _queue: Any = None

    def __init__(
        self, http: HttpConnection, handshake: Handshake, early: bytes, offers_handover: bool
    ) -> None:
        self._inherit(http)
        self.key = handshake.key
        self.early: bytearray | None = bytearray(early)  # received before the app reads
        scope = self._scope(handshake, http.headers)
        if offers_handover:
            scope["extensions"][HANDOVER_EXTENSION] = WebSocketOffer(self)
        self.scope = scope  # type: ignore[assignment]
        self.connections.add(self)
        self.transport.set_protocol(self)
        task = self.loop.create_task(self.run_asgi())
        task.add_done_callback(self.on_task_complete)
        self.tasks.add(task)

    def _inherit(self, http: HttpConnection) -> None:
        self.inbound = http.admission.inbound
        self.config, self.app, self.loop = http.config, http.app, http.loop
        self.logger = http.logger if self.config.access_log else without_requests
        self.root_path, self.asgi_version, self.app_state = http.root_path, http.asgi_version, http.app_state
        self.connections, self.tasks = http.connections, http.tasks
        self.default_headers = http.server_state.default_headers
        self.transport, self.server, self.client = http.transport, http.server, http.client
        self.scheme = "wss" if http.scheme == "https" else "ws"
        self.read_paused = http.flow.read_paused
        self.writable = asyncio.Event()
        # A protocol that is set while its transport is paused is told of resume_writing only.
        if not http.flow.write_paused:
            self.writable.set()
        self.ping_interval, self.ping_timeout = self.config.ws_ping_interval, self.config.ws_ping_timeout
        self.frames = []

    @property
    def conn(self) -> Any:  # type: ignore[override]
        """websockets' parser. The one with a handshake in it (5 KB) is made only to refuse a handshake."""
        if self._conn is None:
            self._conn = HandshakeProtocol(max_size=MAX_MESSAGE, logger=quiet_logger)
        return self._conn

    def _scope(self, handshake: Handshake, headers: list[tuple[bytes, bytes]]) -> dict[str, Any]:
        raw_path, query = handshake.target
        path = raw_path.decode("ascii")
        return {
            "type": "websocket",
            "asgi": {"version": self.asgi_version, "spec_version": "2.4"},
            "http_version": "1.1",
            "scheme": self.scheme,
            "server": self.server,
            "client": self.client,
            "root_path": self.root_path,
            "path": self.root_path + (unquote(path) if "%" in path else path),
            "raw_path": self.root_path.encode("ascii") + raw_path,
            "query_string": query,
            "headers": headers,
            "subprotocols": handshake.subprotocols,
            "state": self.app_state.copy(),
            "extensions": {"websocket.http.response": {}},
        }

    def data_received(self, data: bytes) -> None:
        if self.early is None:
            super().data_received(data)
            return
        self.early += data
        if len(self.early) > MAX_MESSAGE:
            self.transport.pause_reading()
            self.read_paused = True

    async def send(self, message: Any) -> None:
        """Answer `websocket.accept`; everything else, refusals too, is sent as uvicorn does."""
        accepting = message["type"] == "websocket.accept" and self.early is not None
        if not accepting or self.handshake_complete or self.initial_response is not None:
            self._stay()
            await super().send(message)
            return
        await self.writable.wait()
        if self.disconnected or self.transport.is_closing():
            raise ClientDisconnected
        headers = (*self.default_headers, *message.get("headers", ()))
        subprotocol = message.get("subprotocol")
        if subprotocol:
            headers += ((b"sec-websocket-protocol", subprotocol.encode("latin-1")),)
        self.head = (
            b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\n"
            b"sec-websocket-accept: %b\r\n%b\r\n" % (accept_key(self.key).encode(), header_lines(headers))
        )
        self.handshake_complete = True
        self._conn = OpenProtocol()

    @property
    def queue(self) -> Any:  # type: ignore[override]
        """What uvicorn keeps messages in. Made when it is used: an app that takes the offer needs none."""
        if self._queue is None:
            self._queue = asyncio.Queue()
        return self._queue

    async def receive(self) -> ASGIReceiveEvent:
        if not self.connect_sent:
            self.connect_sent = True
            return {"type": "websocket.connect"}
        self._stay()
        return await super().receive()

    def _stay(self) -> None:
        """Go on as uvicorn does: the application did not take the offer."""
        if not self.head:
            return
        if not self.transport.is_closing():  # uvloop raises when a closed transport is written to
            self.transport.write(self.head)
        early, self.early, self.head = self.early, None, b""
        self.start_keepalive()
        if self.read_paused:
            self.read_paused = False
            self.transport.resume_reading()
        if early:
            super().data_received(bytes(early))

    def detach(self) -> bytes:
        """Make uvicorn forget this connection. Returns what the client has sent already."""
        self.connections.discard(self)
        self.transport = _DetachedTransport()  # type: ignore[assignment]
        early, self.early = self.early, None
        return bytes(early or b"")


class WebSocketOffer:
    """The handover of one accepted WebSocket."""

    __slots__ = ("_protocol",)

    def __init__(self, protocol: ReadyWebSocket) -> None:
        # Weak: the scope holds this object, and the protocol the scope.
        self._protocol: ref[ReadyWebSocket] | None = ref(protocol)

    def take(self, connection: MessageConnection, begin: Callable[[bytes], None]) -> None:
        """Give the socket to `connection`, once `websocket.accept` was sent. Does nothing when it is lost already.

        Calls `begin` with the head of the response, to be written before anything else; what the peer has sent so
        far is parsed after that.
        """
        assert self._protocol is not None, "a handover can be taken once"
        protocol, self._protocol = self._protocol(), None
        if protocol is None or protocol.disconnected or protocol.transport.is_closing():
            return
        transport, conn = protocol.transport, protocol.conn
        transport.set_write_buffer_limits(HIGH_WATER)  # may pause the old protocol
        paused = not protocol.writable.is_set()
        resume = protocol.read_paused
        head = protocol.head
        early = protocol.detach()
        connection.sink = transport
        connection.socket = socket = HandedOverWebSocket(connection, transport, conn, protocol.inbound)
        transport.set_protocol(socket)
        if resume:
            transport.resume_reading()
        if paused:
            socket.pause_writing()
        begin(head)
        if early:
            socket.data_received(early)

    def abort(self) -> None:
        """Cut the socket of a WebSocket over plain ASGI, whose peer takes nothing."""
        protocol = self._protocol() if self._protocol is not None else None
        if protocol is not None:
            protocol.transport.abort()
