"""The WebSocket half of the handover: a handshake that httptools has parsed is answered without a second parser.

Its public name is `handover.WebSocketProtocol`. See handover.py for the idea; only these two touch uvicorn's insides.
"""

from __future__ import annotations

import asyncio
import re
from functools import lru_cache
from typing import Any
from urllib.parse import unquote
from weakref import ref

import httptools
from uvicorn._types import ASGIReceiveEvent
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import CloseCode
from websockets.protocol import State
from websockets.server import ServerProtocol
from websockets.utils import accept_key

from .websocket_link import MAX_MESSAGE, Messages, OpenWebSocket, WebSocketLink, quiet

EXTENSION = "dashboard_rt.handover"
HIGH_WATER = 65536  # uvloop's TLS transports have 512 KiB
SIXTEEN_BYTES = re.compile(rb"[A-Za-z0-9+/]{22}==")  # in base64


def under_uvloop(loop: asyncio.AbstractEventLoop) -> bool:
    return type(loop).__module__.partition(".")[0] == "uvloop"


@lru_cache(maxsize=64)  # the Date changes once a second, the rest hardly ever
def header_lines(headers: tuple[tuple[bytes, bytes], ...]) -> bytes:
    return b"".join([b"%b: %b\r\n" % header for header in headers])


def target_of(url: bytes) -> tuple[bytes, bytes] | None:
    """Path and query of a request target; None for one without a path, or that is no URL."""
    try:
        parsed = httptools.parse_url(url)
    except httptools.HttpParserInvalidURLError:
        return None
    return (parsed.path, parsed.query or b"") if parsed.path is not None and parsed.path.isascii() else None


def key_of(http: HttpToolsProtocol) -> str | None:
    """The key of a handshake that RFC 6455 §4.2.1 allows; None for any other."""
    keys = [value for name, value in http.headers if name == b"sec-websocket-key"]
    versions = [value.strip() for name, value in http.headers if name == b"sec-websocket-version"]
    if http.scope["method"] != "GET" or len(keys) != 1 or versions != [b"13"]:
        return None
    key = keys[0].strip()
    return key.decode("ascii") if SIXTEEN_BYTES.fullmatch(key) else None


class _Elsewhere:
    """Stands in for the transport of a uvicorn protocol that has been left: `run_asgi` closes it at its end."""

    def close(self) -> None:
        """The connection is another's now."""

    def is_closing(self) -> bool:
        return True


class WebSocketProtocol(WebSocketsSansIOProtocol):
    """uvicorn's. Given as `ws=` it tells HttpProtocol to answer plain handshakes itself."""

    async def send(self, message: Any) -> None:
        """uvicorn's; after a fault of the peer, to which uvicorn has answered itself, the peer is as good as gone."""
        if self.close_sent and self.transport.is_closing():
            raise ClientDisconnected
        await super().send(message)

    def send_receive_event_to_app(self) -> None:
        """uvicorn's, without a traceback in the log for each text that is not UTF-8: that is the peer's fault."""
        if self.close_sent or self.curr_msg_data_type != "text" or _is_utf8(self.frames):
            super().send_receive_event_to_app()
        elif self.conn.state is State.OPEN:
            self.conn.send_close(CloseCode.INVALID_DATA)
            self.handle_parser_exception()
        else:  # it came before our answer, when there is no WebSocket to close yet
            self.transport.close()


def _is_utf8(parts: list[bytes]) -> bool:
    try:
        b"".join(parts).decode()
    except UnicodeDecodeError:
        return False
    return True


class ReadyWebSocket(WebSocketProtocol):
    """uvicorn's, for a handshake that is parsed and valid already: has its own way into the open state.

    Its attributes are those of uvicorn's constructor (test_handover.py compares them), without the handshake
    parser, which costs as much as all the rest.
    """

    def __init__(self, http: HttpToolsProtocol, key: str, early: bytes) -> None:
        self._inherit(http)
        self.key = key
        self.early: bytearray | None = bytearray(early)  # what came before anybody listens
        self.head = b""  # of the 101 response, until it is known who writes next
        self._conn: Any = None
        path, query = target_of(http.url) or (b"/", b"")
        self.scope = self._scope(path, query, http.headers)
        self.queue.put_nowait({"type": "websocket.connect"})
        self.connections.add(self)
        self.transport.set_protocol(self)
        task = self.loop.create_task(self.run_asgi())
        task.add_done_callback(self.on_task_complete)
        self.tasks.add(task)

    def _inherit(self, http: HttpToolsProtocol) -> None:
        self.config, self.app, self.loop, self.logger = http.config, http.app, http.loop, http.logger
        self.root_path, self.asgi_version, self.app_state = http.root_path, http.asgi_version, http.app_state
        self.connections, self.tasks = http.connections, http.tasks
        self.default_headers = http.server_state.default_headers
        self.transport, self.server, self.client = http.transport, http.server, http.client
        self.scheme = "wss" if http.scheme == "https" else "ws"
        self.queue = asyncio.Queue()
        self.handshake_initiated, self.handshake_complete = True, False
        self.close_sent = self.disconnected = False
        self.read_paused = http.flow.read_paused
        self.close_timer, self.close_timeout = None, 10.0
        self.initial_response = None
        self.writable = asyncio.Event()
        if (
            not http.flow.write_paused
        ):  # a protocol set while its transport is paused hears of resume_writing only
            self.writable.set()
        self.ping_interval, self.ping_timeout = self.config.ws_ping_interval, self.config.ws_ping_timeout
        self.ping_timer = self.pong_timer = self.pending_ping_payload = None
        self.ping_sent_at = self.last_ping_rtt = 0.0
        self.frames, self.curr_msg_data_type = [], "bytes"

    @property
    def conn(self) -> Any:  # type: ignore[override]
        """websockets' parser. The one with a handshake in it (5 KB) is only made to refuse one."""
        if self._conn is None:
            self._conn = ServerProtocol(max_size=MAX_MESSAGE, logger=quiet)
        return self._conn

    def _scope(self, raw_path: bytes, query: bytes, headers: list[tuple[bytes, bytes]]) -> Any:
        offers = [value for name, value in headers if name == b"sec-websocket-protocol"]
        path = raw_path.decode("ascii")
        scope: dict[str, Any] = {
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
            "subprotocols": [p.strip().decode("latin-1") for value in offers for p in value.split(b",")],
            "state": self.app_state.copy(),
            "extensions": {"websocket.http.response": {}},
        }
        if under_uvloop(self.loop):
            scope["extensions"][EXTENSION] = WebSocketOffer(self)
        return scope

    def data_received(self, data: bytes) -> None:
        if self.early is None:
            super().data_received(data)
            return
        self.early += data
        if len(self.early) > MAX_MESSAGE:
            self.transport.pause_reading()
            self.read_paused = True

    async def send(self, message: Any) -> None:
        """`websocket.accept` is answered here; all else, refusals too, as uvicorn does."""
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
        self._conn = OpenWebSocket()

    async def receive(self) -> ASGIReceiveEvent:
        self._stay()
        return await super().receive()

    def _stay(self) -> None:
        """The application did not take the offer: go on as uvicorn does."""
        if not self.head:
            return
        self.transport.write(self.head)
        early, self.early, self.head = self.early, None, b""
        self.start_keepalive()
        if self.read_paused:
            self.read_paused = False
            self.transport.resume_reading()
        if early:
            super().data_received(bytes(early))

    def let_go(self) -> bytes:
        """uvicorn forgets this connection. Returns what the client has sent already."""
        self.connections.discard(self)
        self.transport = _Elsewhere()  # type: ignore[assignment]
        early, self.early = self.early, None
        return bytes(early or b"")


class WebSocketOffer:
    """The handover of one accepted WebSocket."""

    __slots__ = ("_protocol",)

    def __init__(self, protocol: ReadyWebSocket) -> None:
        self._protocol: ref[ReadyWebSocket] | None = ref(protocol)  # weak, as above

    def take(self, client: Messages) -> tuple[bytes, bytes] | None:
        """Give the connection to `client`, once `websocket.accept` was sent. None: it is lost already.

        Returns the head of the response, for the client to write before anything else, and what the peer has
        sent so far, to be handed to `client.link.data_received` after the first word.
        """
        assert self._protocol is not None, "a handover can be taken once"
        protocol, self._protocol = self._protocol(), None
        if protocol is None or protocol.disconnected or protocol.transport.is_closing():
            return None
        transport, conn = protocol.transport, protocol.conn
        transport.set_write_buffer_limits(HIGH_WATER)  # may pause the old protocol
        paused = not protocol.writable.is_set()
        resume = protocol.read_paused
        head = protocol.head
        early = protocol.let_go()
        client.sink = transport
        client.link = link = WebSocketLink(client, transport, conn)
        transport.set_protocol(link)
        if resume:
            transport.resume_reading()
        if paused:
            link.pause_writing()
        return head, early
