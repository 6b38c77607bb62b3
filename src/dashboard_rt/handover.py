"""The handover: a connection leaves uvicorn's protocol object for a small one of ours. Nothing else touches uvicorn.

`HttpProtocol` and `WebSocketProtocol` are given to uvicorn by name (`http=`, `ws=`). They put an *offer* into the
scope, as an ASGI extension; an endpoint that has answered its handshake may `take` it. From then on the transport
calls the endpoint's own object, uvicorn forgets the connection, the ASGI task ends and all it held is freed.
Under any other server the extension is absent, and the same endpoint goes on through plain ASGI (plain.py).

Offered under uvloop only: on Python 3.13 with plain asyncio `server.wait_closed()` waits for such transports.
"""

from __future__ import annotations

import asyncio
import signal
from collections import deque
from typing import Any, Literal, Protocol
from weakref import ref

import httptools
from uvicorn._types import ASGI3Application
from uvicorn.config import Config
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.protocols.utils import get_client_addr, get_path_with_query_string
from uvicorn.server import Server, ServerState

from .handover_cycle import JoinedCycle, UnframedCycle
from .handover_websocket import (
    EXTENSION,
    HIGH_WATER,
    ReadyWebSocket,
    header_lines,
    key_of,
    target_of,
    under_uvloop,
)
from .handover_websocket import WebSocketProtocol as WebSocketProtocol  # noqa: PLC0414  its public name

COMPRESS = "dashboard_rt.compress"  # in the lifespan state
MAX_HEAD = 65536
OWN = frozenset({"server_state", "parser", "pipeline"})  # attributes that no two connections share


def offered(scope: Any) -> Any:
    """The offer in a scope, or None."""
    extensions = scope.get("extensions")
    return extensions.get(EXTENSION) if extensions else None


class Streaming(Protocol):
    """What takes over an HTTP response: an asyncio protocol with a place for its transport."""

    sink: Any

    def pause_writing(self) -> None:
        """The transport's buffer is full."""


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
    return b"".join(
        (b"HTTP/1.1 200 OK\r\n", header_lines((*cycle.default_headers, *headers)), chunked, b"\r\n")
    )


class HttpProtocol(HttpToolsProtocol):
    """uvicorn's, plus: the offer, a cap on request heads, HTTP/1.0 without chunks, WebSockets parsed once."""

    head_bytes = 0
    deaf = False  # the connection ends behind the answer in work
    in_work: RequestResponseCycle | None = None
    upgrade: bytes | Literal[False] | None = (
        False  # what this request's head asks for; False: not looked up yet
    )

    def _get_upgrade(self) -> bytes | None:
        """uvicorn's, which reads the whole head for it, three times a handshake."""
        if self.upgrade is False:
            self.upgrade = super()._get_upgrade()
        return self.upgrade

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        """uvicorn's, once a server; the next ones copy what it found out, among it its loggers, which it looks up."""
        alike: dict[str, Any] | None = getattr(server_state, "alike", None)
        if alike is None:
            super().__init__(config, server_state, app_state, _loop)
            server_state.alike = {k: v for k, v in vars(self).items() if k not in OWN}  # type: ignore[attr-defined]
        else:
            vars(self).update(alike)
            self.server_state = server_state
            self.parser = httptools.HttpRequestParser(self)
            self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
            self.pipeline = deque()

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
        self.upgrade = False
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
        if self.cycle is not before:
            self.cycle.__class__ = UnframedCycle if self.scope["http_version"] == "1.0" else JoinedCycle

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        if under_uvloop(self.loop):
            cycle.scope["extensions"] = {EXTENSION: HttpOffer(self, cycle)}  # type: ignore[dict-item]
        self.in_work = cycle
        super()._start_asgi_task(cycle, app)

    def connection_lost(self, exc: Exception | None) -> None:
        """uvicorn's, which tells the newest request only: one in work before a pipelined one has to hear it too."""
        if self.in_work is not None and not self.in_work.response_complete:
            self.in_work.disconnected = True
            self.in_work.message_event.set()
        super().connection_lost(exc)
        self.in_work = None

    def data_received(self, data: bytes) -> None:
        if self.deaf:
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
        """Answer a WebSocket handshake from the head that is parsed already; `early` came in the same segment."""
        if self.cycle is not None and not self.cycle.response_complete:
            # It came behind a request that is still being answered, on whose connection it cannot live. What
            # follows is read and dropped: closing on unread bytes could reset the answer away.
            self.cycle.keep_alive = False
            self.deaf = True
            return
        if target_of(self.url) is None:
            self.send_400_response("Invalid HTTP request received.")
            return
        # The app says whether it compresses, in its lifespan state: uvicorn's own flag is on unless told otherwise.
        compress = self.config.ws_per_message_deflate and self.app_state.get(COMPRESS, True)
        key = None if compress else key_of(self)
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
        self.in_work = None


def _address(name: Any) -> Any:
    """Host and port as ASGI has them; None for the peer of a Unix socket."""
    return (str(name[0]), int(name[1])) if isinstance(name, tuple) and len(name) >= 2 else None


# ---- the end of the process


def uvicorn_server() -> Server | None:
    """The server that this process runs under, if it is uvicorn's and listens to SIGTERM itself."""
    server = getattr(signal.getsignal(signal.SIGTERM), "__self__", None)
    return server if isinstance(server, Server) else None


def exit_cleanly(server: Server) -> None:
    """After a drain: uvicorn would raise the SIGTERM again that it has just obeyed, and end with status -15."""
    server._captured_signals = [number for number in server._captured_signals if number != signal.SIGTERM]
