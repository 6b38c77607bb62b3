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
from collections.abc import Callable
from functools import lru_cache
from weakref import ref

from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle
from uvicorn.protocols.utils import get_client_addr, get_path_with_query_string

from ..transports.connection import HANDOVER_EXTENSION, Connection
from .handshake import (
    HIGH_WATER,
    ReadyWebSocket,
    parse_target,
    read_handshake,
)
from .http1 import Http1Protocol
from .limits import BAD_HANDSHAKE
from .plain_websocket import WebSocketProtocol as WebSocketProtocol  # noqa: PLC0414  its public name

COMPRESS = "dashboard_rt.compress"  # key of the lifespan state: whether the app wants permessage-deflate


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
        protocol.admission.hand_over(connection.transport)
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


class HttpProtocol(Http1Protocol):
    """HTTP within limits, plus the offer, and WebSocket handshakes that are parsed once."""

    offers_handover = False

    def share(self) -> None:
        self.offers_handover = runs_uvloop(self.loop)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        if self.offers_handover:
            cycle.scope["extensions"] = {HANDOVER_EXTENSION: HttpOffer(self, cycle)}  # type: ignore[dict-item]
        super()._start_asgi_task(cycle, app)

    def upgrade(self, early: bytes) -> None:
        if self.in_work:
            # It came behind a request that is still being answered, whose response ends the connection.
            self._end_behind_queue()
            return
        target = parse_target(self.url)
        if target is None:
            self.refuse(BAD_HANDSHAKE)
            return
        # The app says in its lifespan state whether it compresses, because uvicorn's own flag is on by default.
        compress = self.config.ws_per_message_deflate and self.app_state.get(COMPRESS, True)
        handshake = None if compress else read_handshake(self, target)
        if handshake is None or self.ws_protocol_class is not WebSocketProtocol:
            # Compression and faulty handshakes are left to uvicorn and websockets.
            super().handle_websocket_upgrade()
            if early and not self.transport.is_closing():
                self.transport.get_protocol().data_received(early)  # type: ignore[attr-defined]
        else:
            ReadyWebSocket(self, handshake, early, self.offers_handover)
        self.detach()

    def detach(self) -> None:
        """Make uvicorn forget this connection, and drop all that this object holds."""
        self.connections.discard(self)
        self.pipeline.clear()
        self.unparsed = b""
        self.parser = None  # type: ignore[assignment]  # it refers back to this object
        self.cycle = self.scope = self.headers = self.flow = None  # type: ignore[assignment]
        self.running = None


def runs_uvloop(loop: asyncio.AbstractEventLoop) -> bool:
    return type(loop).__module__.startswith("uvloop")
