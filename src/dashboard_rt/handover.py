"""The handover: a connection leaves uvicorn's protocol object for a small one of ours. Nothing else touches uvicorn.

`HttpProtocol` and `WebSocketProtocol` are given to uvicorn by name (`http=`, `ws=`). They put an *offer* into the
scope, as an ASGI extension; an endpoint that has answered its handshake may `take` it. From then on the transport
calls the endpoint's own object, uvicorn forgets the connection, the ASGI task ends and all it held is freed.
Under any other server the extension is absent, and the same endpoint goes on through plain ASGI (plain.py).

Offered under uvloop only: on Python 3.13 with plain asyncio `server.wait_closed()` waits for such transports.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from base64 import b64decode
from binascii import Error as Base64Error
from collections import deque
from functools import lru_cache
from typing import Any, Protocol
from urllib.parse import unquote
from weakref import ref

import httptools
from uvicorn._types import ASGI3Application, ASGIReceiveEvent, ASGISendEvent
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.protocols.utils import ClientDisconnected, get_client_addr, get_path_with_query_string
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import Server
from websockets.frames import CloseCode, Frame, Opcode
from websockets.protocol import Protocol as Rfc6455
from websockets.protocol import Side, State
from websockets.server import ServerProtocol
from websockets.utils import accept_key

EXTENSION = "dashboard_rt.handover"
HIGH_WATER = 65536  # uvloop's TLS transports have 512 KiB
MAX_HEAD = 65536
MAX_MESSAGE = 65536

quiet = logging.getLogger("dashboard_rt.websocket")
quiet.setLevel(logging.WARNING)  # websockets says "connection closed" for each one


def offered(scope: Any) -> Any:
    """The offer in a scope, or None."""
    extensions = scope.get("extensions")
    return extensions.get(EXTENSION) if extensions else None


def _under_uvloop(loop: asyncio.AbstractEventLoop) -> bool:
    return type(loop).__module__.partition(".")[0] == "uvloop"


# ---- HTTP


class Streaming(Protocol):
    """What takes over an HTTP response: an asyncio protocol with a place for its transport."""

    sink: Any

    def pause_writing(self) -> None:
        """The transport's buffer is full."""


class _UnframedCycle(RequestResponseCycle):
    """Answers HTTP/1.0 requests: no chunks there, the end of the body is the end of the connection (RFC 9112 §6.3)."""

    until_close = False

    async def send(self, message: ASGISendEvent) -> None:
        if message["type"] == "http.response.start":
            names = {name.lower() for name, _ in message.get("headers", [])}
            if b"content-length" not in names:
                self.chunked_encoding, self.until_close = False, True
        elif (
            message["type"] == "http.response.body" and self.until_close
        ):  # satisfy the count of bytes to come
            self.expected_content_length = len(message.get("body", b"")) + bool(message.get("more_body"))
        await super().send(message)


class HttpOffer:
    """The handover of one HTTP response, bound to the cycle of its own request (a pipelined one has another)."""

    __slots__ = ("_cycle", "_protocol")

    def __init__(self, protocol: HttpProtocol, cycle: RequestResponseCycle) -> None:
        # Weak: the scope holds this object and the cycle the scope; a request must not leave a reference cycle.
        self._protocol = ref(protocol)
        self._cycle: ref[RequestResponseCycle] | None = ref(cycle)

    def take(self, client: Streaming, headers: list[tuple[bytes, bytes]]) -> bytes | None:
        """Give the connection to `client`, instead of `http.response.start`. None: it is lost already.

        Returns the head of a 200 response, for the client to write before anything else: every write is a
        system call, and a first word that travels with the head is one less.
        """
        assert self._cycle is not None, "a handover can be taken once"
        protocol, cycle, self._cycle = self._protocol(), self._cycle(), None
        if protocol is None or cycle is None or cycle.disconnected:
            return None
        if protocol.transport.is_closing():
            cycle.disconnected = True  # it soon will be; until then uvicorn would miss a response, and say so
            return None
        head = _head(cycle, headers)
        cycle.response_started = cycle.response_complete = True
        cycle.message_event.set()
        transport, flow = protocol.transport, protocol.flow
        transport.set_write_buffer_limits(HIGH_WATER)  # may pause the old protocol, which `flow` remembers
        protocol.let_go()
        client.sink = transport
        transport.set_protocol(client)  # type: ignore[arg-type]
        if flow.read_paused:
            transport.resume_reading()
        if flow.write_paused:  # a protocol set now will hear of resume_writing only
            client.pause_writing()
        return head


def _head(cycle: RequestResponseCycle, headers: list[tuple[bytes, bytes]]) -> bytes:
    if cycle.access_log:
        path = get_path_with_query_string(cycle.scope)
        line = (get_client_addr(cycle.scope), cycle.scope["method"], path, cycle.scope["http_version"], 200)
        cycle.access_logger.info('%s - "%s %s HTTP/%s" %d', *line)
    chunked = b"transfer-encoding: chunked\r\n" if cycle.scope["http_version"] == "1.1" else b""
    return b"".join((b"HTTP/1.1 200 OK\r\n", _lines((*cycle.default_headers, *headers)), chunked, b"\r\n"))


@lru_cache(maxsize=64)  # the Date changes once a second, the rest hardly ever
def _lines(headers: tuple[tuple[bytes, bytes], ...]) -> bytes:
    return b"".join([b"%b: %b\r\n" % header for header in headers])


class HttpProtocol(HttpToolsProtocol):
    """uvicorn's, plus: the offer, a cap on request heads, HTTP/1.0 without chunks, WebSockets parsed once."""

    head_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """uvicorn's, without the socket object that it makes for each connection, and that would stay."""
        self.connections.add(self)
        self.transport = transport
        self.flow = FlowControl(transport)
        self.server = _address(transport.get_extra_info("sockname"))
        self.client = _address(transport.get_extra_info("peername"))
        self.scheme = "https" if transport.get_extra_info("sslcontext") else "http"

    def on_message_begin(self) -> None:
        self.head_bytes = 1
        super().on_message_begin()

    def on_chunk_header(self) -> None:
        self.head_bytes = 1  # behind the last chunk trailers may follow, which are kept like headers

    def on_body(self, body: bytes) -> None:
        self.head_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self.head_bytes = 0
        super().on_message_complete()

    def on_headers_complete(self) -> None:
        self.head_bytes = 0
        before = self.cycle
        super().on_headers_complete()
        if self.cycle is not before and self.scope["http_version"] == "1.0":
            self.cycle.__class__ = _UnframedCycle

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        if _under_uvloop(self.loop):
            cycle.scope["extensions"] = {EXTENSION: HttpOffer(self, cycle)}  # type: ignore[dict-item]
        super()._start_asgi_task(cycle, app)

    def data_received(self, data: bytes) -> None:
        self._unset_keepalive_if_required()
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            if self._should_upgrade():
                self._upgrade(data[upgrade.args[0] :])
            else:
                self._unsupported_upgrade_warning()
        except httptools.HttpParserError:
            self.send_400_response("Invalid HTTP request received.")
        else:
            if self.head_bytes:
                self._cap_head(len(data))

    def _cap_head(self, size: int) -> None:
        self.head_bytes += size
        if self.head_bytes > MAX_HEAD:
            self.transport.write(b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\n\r\n")
            self.transport.close()

    def _upgrade(self, early: bytes) -> None:
        """Answer a WebSocket handshake from the head that is parsed already; `early` came in the same segment."""
        if self.cycle is not None and not self.cycle.response_complete:
            # It came behind a request that is still being answered, on whose connection it cannot live.
            self.cycle.keep_alive = False
            self.flow.pause_reading()
            return
        if _target(self.url) is None:
            self.send_400_response("Invalid HTTP request received.")
            return
        key = None if self.config.ws_per_message_deflate else _websocket_key(self)
        if key is None or self.ws_protocol_class is not WebSocketProtocol:
            # Compression and faulty handshakes are uvicorn's and websockets' business, as ever.
            super().handle_websocket_upgrade()
            if early and not self.transport.is_closing():
                self.transport.get_protocol().data_received(early)  # type: ignore[attr-defined]
            return
        ReadyWebSocket(self, key, early)
        self.let_go()

    def let_go(self) -> None:
        """uvicorn forgets this connection; whatever still refers to this object finds nothing to hold on to."""
        self.connections.discard(self)
        self._unset_keepalive_if_required()
        self.pipeline.clear()
        self.parser = None  # type: ignore[assignment]  # it refers back to this object
        self.cycle = self.scope = self.headers = self.flow = None  # type: ignore[assignment]


def _address(name: Any) -> Any:
    """Host and port as ASGI has them; None for the peer of a Unix socket."""
    return (str(name[0]), int(name[1])) if isinstance(name, tuple) and len(name) >= 2 else None


def _target(url: bytes) -> tuple[bytes, bytes] | None:
    """Path and query of a request target; None for one without a path, or that is no URL."""
    try:
        parsed = httptools.parse_url(url)
    except httptools.HttpParserInvalidURLError:
        return None
    return (parsed.path, parsed.query or b"") if parsed.path is not None and parsed.path.isascii() else None


def _websocket_key(http: HttpToolsProtocol) -> str | None:
    """The key of a handshake that RFC 6455 §4.2.1 allows; None for any other."""
    keys = [value for name, value in http.headers if name == b"sec-websocket-key"]
    versions = [value.strip() for name, value in http.headers if name == b"sec-websocket-version"]
    if http.scope["method"] != "GET" or len(keys) != 1 or versions != [b"13"]:
        return None
    try:
        valid = len(b64decode(keys[0].strip(), validate=True)) == 16
    except Base64Error:
        return None
    return keys[0].strip().decode("ascii") if valid else None


# ---- WebSocket


class Messages(Protocol):
    """What takes over a WebSocket."""

    sink: Any
    link: Any
    paused: bool

    def received(self, text: str) -> None:
        """A text message came."""

    def received_binary(self) -> None:
        """A binary message came."""

    def pause_writing(self) -> None:
        """The transport's buffer is full."""

    def resume_writing(self) -> None:
        """The transport's buffer has room."""

    def lost(self, reason: str) -> None:
        """The connection is gone."""

    def ending(self) -> None:
        """A close frame was sent; the peer has SEND_TIMEOUT to go."""


class _Elsewhere:
    """Stands in for the transport of a uvicorn protocol that has been left: `run_asgi` closes it at its end."""

    def close(self) -> None:
        """The connection is another's now."""

    def is_closing(self) -> bool:
        return True


class WebSocketProtocol(WebSocketsSansIOProtocol):
    """uvicorn's, as it is. Given as `ws=` it tells HttpProtocol to answer plain handshakes itself."""


class ReadyWebSocket(WebSocketsSansIOProtocol):
    """uvicorn's, for a handshake that is parsed and valid already: has its own way into the open state.

    Its attributes are those of uvicorn's constructor (test_handover.py compares them), without the handshake
    parser, which costs as much as all the rest.
    """

    def __init__(self, http: HttpProtocol, key: str, early: bytes) -> None:
        self._inherit(http)
        self.key = key
        self.early: bytearray | None = bytearray(early)  # what came before anybody listens
        self.head = b""  # of the 101 response, until it is known who writes next
        self._conn: Any = None
        path, query = _target(http.url) or (b"/", b"")
        self.scope = self._scope(path, query, http.headers)
        self.queue.put_nowait({"type": "websocket.connect"})
        self.connections.add(self)
        self.transport.set_protocol(self)
        task = self.loop.create_task(self.run_asgi())
        task.add_done_callback(self.on_task_complete)
        self.tasks.add(task)

    def _inherit(self, http: HttpProtocol) -> None:
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
        if _under_uvloop(self.loop):
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
            b"sec-websocket-accept: %b\r\n%b\r\n" % (accept_key(self.key).encode(), _lines(headers))
        )
        self.handshake_complete = True
        self._conn = Rfc6455(Side.SERVER, state=State.OPEN, max_size=MAX_MESSAGE, logger=quiet)

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


class WebSocketLink(asyncio.Protocol):
    """What stays of a WebSocket after its handover: websockets' sans-I/O parser between a transport and a client."""

    __slots__ = ("_backlog", "_client", "_conn", "_parts", "_transport")

    def __init__(self, client: Messages, transport: Any, conn: Rfc6455) -> None:
        self._client = client
        self._transport = transport
        self._conn = conn
        self._parts: bytearray | None = None  # of a message that goes on; None also while a binary one runs
        self._backlog: deque[Frame] | None = None  # came in one segment with what filled our buffer

    def data_received(self, data: bytes) -> None:
        """Bytes of the client; pongs and close frames are answered at once."""
        self._conn.receive_data(data)
        self._flush()
        events = self._conn.events_received()
        if self._backlog is not None:
            self._backlog.extend(events)  # type: ignore[arg-type]
        else:
            self._take(deque(events))  # type: ignore[arg-type]

    def _take(self, frames: deque[Frame]) -> None:
        """Messages in order; once the client's buffer is full the rest waits, or answers would pile up."""
        self._backlog = frames
        while frames and not self._client.paused:
            self._take_frame(frames.popleft())
        self._backlog = frames if frames else None

    def _take_frame(self, frame: Frame) -> None:
        if self._conn.state is not State.OPEN:
            return
        if frame.opcode is Opcode.BINARY:
            self._parts = None
            self._client.received_binary()
        elif frame.opcode is Opcode.TEXT:
            self._parts = bytearray(frame.data)
        elif frame.opcode is Opcode.CONT and self._parts is not None:
            self._parts += frame.data
        else:
            return
        if frame.fin and self._parts is not None:
            parts, self._parts = self._parts, None
            self._decode(parts)

    def _decode(self, data: bytearray) -> None:
        try:
            text = data.decode()
        except UnicodeDecodeError:
            self._conn.fail(CloseCode.INVALID_DATA, "a text message must be UTF-8")
            self._flush()
        else:
            self._client.received(text)

    def _flush(self) -> None:
        """Write what the parser wants written; its empty string means that no more will follow (RFC 6455 §7.1.1)."""
        writes = self._conn.data_to_send()
        if not writes:
            return
        self._transport.write(b"".join(writes))
        if writes[-1] == b"":
            self._end()

    def _end(self) -> None:
        # A peer that spoke its close frame is answered: done. One that broke the protocol may still be sending, and
        # closing on unread bytes would reset the connection before it has read why.
        self._client.ending()
        if self._conn.parser_exc is None and self._conn.close_rcvd is not None:
            self._transport.close()
        elif self._transport.can_write_eof():
            self._transport.write_eof()
        else:
            self._transport.close()

    def close(self, code: int) -> None:
        """Send a close frame; the connection ends when the peer has answered."""
        if self._conn.state is State.OPEN:
            self._conn.send_close(code)
            self._flush()
            self._client.ending()

    def pause_writing(self) -> None:
        """asyncio's; nothing is read either, or answers and pongs pile up behind what cannot be written."""
        self._transport.pause_reading()
        self._client.pause_writing()

    def resume_writing(self) -> None:
        """asyncio's."""
        self._client.resume_writing()
        if self._backlog:
            self._take(self._backlog)
        if not self._client.paused and not self._transport.is_closing():
            self._transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        """asyncio's: the end."""
        clean = self._conn.close_rcvd is not None
        self._conn.parser.close()  # a generator that refers back to its object
        self._client.lost("closed" if clean else "lost" if exc is None else "error")


# ---- the end of the process


def uvicorn_server() -> Server | None:
    """The server that this process runs under, if it is uvicorn's and listens to SIGTERM itself."""
    server = getattr(signal.getsignal(signal.SIGTERM), "__self__", None)
    return server if isinstance(server, Server) else None


def exit_cleanly(server: Server) -> None:
    """After a drain: uvicorn would raise the SIGTERM again that it has just obeyed, and end with status -15."""
    server._captured_signals = [number for number in server._captured_signals if number != signal.SIGTERM]
