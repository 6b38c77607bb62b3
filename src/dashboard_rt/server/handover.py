"""The handover: a connection leaves uvicorn's protocol object for a small one of ours.

`HttpProtocol` and `WebSocketProtocol` are given to uvicorn by name (`http=`, `ws=`). They put an *offer* into the
scope, as an ASGI extension; an endpoint that has answered its request may `take` it. From then on the transport
calls the endpoint's own object, uvicorn forgets the connection, and the ASGI task ends with all that it held: 25 KB
for each client. Under any other server the extension is absent, and the same endpoint goes on over plain ASGI
(transports/asgi.py).

Offered under uvloop only: on Python 3.13 with plain asyncio `server.wait_closed()` waits for such transports.
Only the modules of this package know uvicorn's insides.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from functools import lru_cache
from typing import Any
from weakref import ref

import httptools
from uvicorn._types import ASGI3Application
from uvicorn.config import Config
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.protocols.utils import get_client_addr, get_path_with_query_string
from uvicorn.server import ServerState

from ..transports.connection import HANDOVER_EXTENSION, Connection
from .handshake import (
    HIGH_WATER,
    ReadyWebSocket,
    parse_target,
    read_handshake,
)
from .handshake import WebSocketProtocol as WebSocketProtocol  # noqa: PLC0414  its public name
from .responses import Http10Cycle, JoinedCycle

COMPRESS = "dashboard_rt.compress"  # key of the lifespan state: whether the app wants permessage-deflate
MAX_HEAD = 65536
PER_CONNECTION = frozenset({"server_state", "parser", "pipeline"})  # attributes that no two connections share


class HttpOffer:
    """The handover of one HTTP response, bound to the cycle of its own request: a pipelined one has another."""

    __slots__ = ("_cycle", "_protocol")

    def __init__(self, protocol: HttpProtocol, cycle: RequestResponseCycle) -> None:
        # Weak: the scope holds this object and the cycle the scope; a request must not leave a reference cycle.
        self._protocol = ref(protocol)
        self._cycle: ref[RequestResponseCycle] | None = ref(cycle)

    def take(
        self, connection: Connection, headers: list[tuple[bytes, bytes]], begin: Callable[[bytes], None]
    ) -> None:
        """Give the socket to `connection`, instead of `http.response.start`. Does nothing when it is lost already.

        Calls `begin` with the head of a 200 response, to be written before anything else: each write is a system
        call, and a head that leaves with the first event saves one.
        """
        assert self._cycle is not None, "a handover can be taken once"
        protocol, cycle, self._cycle = self._protocol(), self._cycle(), None
        if protocol is None or cycle is None or cycle.disconnected:
            return
        if protocol.transport.is_closing():
            cycle.disconnected = True  # it soon will be; until then uvicorn would log a missing response
            return
        head = _head(cycle, headers)
        cycle.response_started = cycle.response_complete = True
        cycle.message_event.set()
        transport, flow = protocol.transport, protocol.flow
        transport.set_write_buffer_limits(HIGH_WATER)  # may pause the old protocol, which `flow` remembers
        protocol.detach()
        connection.sink = transport
        transport.set_protocol(connection)  # type: ignore[arg-type]
        if flow.read_paused:
            transport.resume_reading()
        if flow.write_paused:  # a protocol that is set now is told of resume_writing only
            connection.pause_writing()
        begin(head)

    def abort(self) -> None:
        """Cut the socket of a response over plain ASGI, whose peer takes nothing."""
        protocol = self._protocol()
        if protocol is not None:
            protocol.transport.abort()


def _head(cycle: RequestResponseCycle, headers: list[tuple[bytes, bytes]]) -> bytes:
    if cycle.access_log:
        path = get_path_with_query_string(cycle.scope)
        line = (get_client_addr(cycle.scope), cycle.scope["method"], path, cycle.scope["http_version"], 200)
        cycle.access_logger.info('%s - "%s %s HTTP/%s" %d', *line)
    return _head_bytes((*cycle.default_headers, *headers), cycle.scope["http_version"] == "1.1")


@lru_cache(maxsize=64)  # Date changes once a second, the rest hardly ever
def _head_bytes(headers: tuple[tuple[bytes, bytes], ...], chunked: bool) -> bytes:
    lines = [b"%b: %b\r\n" % header for header in headers]
    if chunked:
        lines.append(b"transfer-encoding: chunked\r\n")
    return b"".join((b"HTTP/1.1 200 OK\r\n", *lines, b"\r\n"))


class HttpProtocol(HttpToolsProtocol):
    """uvicorn's HTTP class, plus the offer, a cap on request heads, HTTP/1.0 without chunks, WebSockets parsed once."""

    head_bytes = 0
    ignore_input = False  # the connection ends behind the response that is being sent
    running: RequestResponseCycle | None = None  # whose ASGI task runs
    offers_handover = False
    upgrades: bool | None = None  # whether this request becomes a WebSocket; None: not looked up yet

    def _should_upgrade(self) -> bool:
        """Look it up once: uvicorn reads the whole head for it, three times a handshake."""
        if self.upgrades is None:
            self.upgrades = super()._should_upgrade()
        return self.upgrades

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        """Run uvicorn's constructor once a server, then copy its attributes: it looks up loggers, among others."""
        shared: dict[str, Any] | None = getattr(server_state, "shared_attributes", None)
        if shared is None:
            super().__init__(config, server_state, app_state, _loop)
            self.offers_handover = runs_uvloop(self.loop)
            server_state.shared_attributes = {k: v for k, v in vars(self).items() if k not in PER_CONNECTION}  # type: ignore[attr-defined]
        else:
            vars(self).update(shared)
            self.server_state = server_state
            self.parser = httptools.HttpRequestParser(self)
            self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
            self.pipeline = deque()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Do as uvicorn, but without the socket object that it makes for each connection and keeps."""
        self.connections.add(self)
        self.transport = transport
        self.flow = FlowControl(transport)
        self.server = _address(transport.get_extra_info("sockname"))
        self.client = _address(transport.get_extra_info("peername"))
        self.scheme = "https" if transport.get_extra_info("sslcontext") else "http"

    def on_message_begin(self) -> None:
        self.head_bytes = 1
        self.upgrades = None
        super().on_message_begin()

    def on_chunk_header(self) -> None:
        self.head_bytes = 1  # trailers may follow behind the last chunk, which are kept like headers

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
        if self.cycle is not before:
            self.cycle.__class__ = Http10Cycle if self.scope["http_version"] == "1.0" else JoinedCycle

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        if self.offers_handover:
            cycle.scope["extensions"] = {HANDOVER_EXTENSION: HttpOffer(self, cycle)}  # type: ignore[dict-item]
        self.running = cycle
        super()._start_asgi_task(cycle, app)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the request that runs, too: uvicorn tells only the newest, which may be a pipelined one behind it."""
        if self.running is not None and not self.running.response_complete:
            self.running.disconnected = True
            self.running.message_event.set()
        super().connection_lost(exc)
        self.running = None

    def data_received(self, data: bytes) -> None:
        if self.ignore_input:
            return
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
        """Answer a WebSocket handshake from the parsed head; `early` came behind it in the same segment."""
        if self.cycle is not None and not self.cycle.response_complete:
            # It came behind a request that is still being answered, whose response ends the connection. What follows
            # is read and dropped: closing on unread bytes would reset the connection before the response is read.
            self.cycle.keep_alive = False
            self.ignore_input = True
            return
        target = parse_target(self.url)
        if target is None:
            self.send_400_response("Invalid HTTP request received.")
            return
        # The app says in its lifespan state whether it compresses, because uvicorn's own flag is on by default.
        compress = self.config.ws_per_message_deflate and self.app_state.get(COMPRESS, True)
        handshake = None if compress else read_handshake(self, target)
        if handshake is None or self.ws_protocol_class is not WebSocketProtocol:
            # Compression and faulty handshakes are left to uvicorn and websockets.
            super().handle_websocket_upgrade()
            if early and not self.transport.is_closing():
                self.transport.get_protocol().data_received(early)  # type: ignore[attr-defined]
            return
        ReadyWebSocket(self, handshake, early, self.offers_handover)
        self.detach()

    def detach(self) -> None:
        """Make uvicorn forget this connection, and drop all that this object holds."""
        self.connections.discard(self)
        self._unset_keepalive_if_required()
        self.pipeline.clear()
        self.parser = None  # type: ignore[assignment]  # it refers back to this object
        self.cycle = self.scope = self.headers = self.flow = None  # type: ignore[assignment]
        self.running = None


def runs_uvloop(loop: asyncio.AbstractEventLoop) -> bool:
    return type(loop).__module__.startswith("uvloop")


def _address(name: Any) -> Any:
    """Return host and port as ASGI has them; None for the peer of a Unix socket."""
    return (str(name[0]), int(name[1])) if isinstance(name, tuple) and len(name) >= 2 else None
