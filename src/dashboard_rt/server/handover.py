"""HTTP requests within the limits of limits.py, and the handover: a connection leaves uvicorn for one of ours.

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
import re
from collections.abc import Callable
from functools import lru_cache
from weakref import ref

import httptools
from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle
from uvicorn.protocols.utils import get_client_addr, get_path_with_query_string

from ..transports.connection import HANDOVER_EXTENSION, Connection
from .admission import NEVER
from .connection import BODY, HEAD, IDLE, HttpConnection, new_parser
from .handshake import HIGH_WATER, ReadyWebSocket, parse_target, read_handshake
from .limits import (
    BAD_HANDSHAKE,
    CUT,
    FULL,
    HEALTH_CHECKS,
    MAX_FIELDS,
    MAX_HEAD,
    MAX_PIPELINED,
    MAX_UNPARSED,
    NOT_HTTP,
    TOO_LARGE,
    UPGRADE,
    Refusal,
)
from .plain_websocket import WebSocketProtocol as WebSocketProtocol  # noqa: PLC0414  its public name
from .responses import Http10Cycle, JoinedCycle

COMPRESS = "dashboard_rt.compress"  # key of the lifespan state: whether the app wants permessage-deflate
PORTION = 1024  # bytes that are parsed at once: a read may bring 256 KiB, which are 14,000 small requests
FRAMING_PER_BYTE = 16  # of a body: bytes of chunk framing that one of its bytes pays for
FRAMING_FIELDS = frozenset({b"content-length", b"transfer-encoding"})
NO_BODY = re.compile(rb"\s*0+\s*")


class Http1Protocol(HttpConnection):
    """The parser's side of a connection.

    `framing` counts the bytes of a head, then those of a body that are no content; `portion` is the size of what the
    parser is being fed.
    """

    framing = portion = trailers = 0
    resuming = False  # the head of a request whose upgrade is ignored is parsed again, for its body
    refusal: Refusal | None = None  # why a callback stopped the parser
    upgrades: bool | None = None  # whether this request becomes a WebSocket; None: not looked up yet

    def data_received(self, data: bytes) -> None:
        if self.ignore_input:
            return
        if self.unparsed:
            self._keep(data)
        else:
            self._parse(data)

    def _parse(self, data: bytes) -> None:
        """Feed the parser portions of what was read, until enough requests wait for an answer."""
        at, began_in = 0, self.phase
        while at < len(data) and not self.ignore_input:
            if len(self.pipeline) >= MAX_PIPELINED:
                self._keep(data[at:])
                break
            portion = data if len(data) <= PORTION else data[at : at + PORTION]
            self.portion = len(portion)
            self.framing += len(portion)
            try:
                self.parser.feed_data(portion)
                at += len(portion)
            except httptools.HttpParserUpgrade as upgrade:
                at += upgrade.args[0]
                if self._should_upgrade():
                    self.phase = IDLE
                    self.upgrade(data[at:])
                    return
                data, at = data[at:], 0
                self._ignore_upgrade()
            except httptools.HttpParserError:
                self._refuse_parsed()
        if self.phase is not IDLE:
            self._await_rest(began_in)

    def _refuse_parsed(self) -> None:
        refusal, self.refusal = self.refusal, None
        self.refuse(refusal or NOT_HTTP)

    def _await_rest(self, began_in: int) -> None:
        """Hold a message that is not whole yet to its limits."""
        if self.ignore_input:
            return
        if self.framing > MAX_HEAD + PORTION or len(self.headers) > MAX_FIELDS:
            self.refuse(TOO_LARGE)
        elif self.phase is BODY or self.deadline == NEVER or (began_in is IDLE and self.cycle is not None):
            # The first head has its time from the connect on. A later one, from its first byte on.
            self.deadline = self.loop.time() + self.limits.timeout

    def _keep(self, data: bytes) -> None:
        """Keep pipelined requests for later; too many are dropped, and their client has to ask again."""
        self.flow.pause_reading()
        self.unparsed += data
        if len(self.unparsed) > MAX_UNPARSED:
            self._end_behind_queue()

    def _parse_kept(self) -> None:
        if self.unparsed and not self.transport.is_closing():
            data, self.unparsed = self.unparsed, b""
            self._parse(data)
            # It may have become a WebSocket meanwhile, which leaves uvicorn's set.
            if not self.unparsed and self in self.connections and not self.transport.is_closing():
                self.flow.resume_reading()

    # ---- upgrades

    def _should_upgrade(self) -> bool:
        """Look it up once: uvicorn reads the whole head for it, three times a handshake."""
        if self.upgrades is None:
            self.upgrades = self._asks_for_websocket()
        return self.upgrades

    def _asks_for_websocket(self) -> bool:
        """Return whether this is a handshake; what has a body is none (RFC 6455 §4.1), nor is HTTP/1.0."""
        asks = False
        for name, value in self.headers:
            if name == b"upgrade":
                asks = asks or any(token.strip().lower() == b"websocket" for token in value.split(b","))
            elif name in FRAMING_FIELDS and not (name == b"content-length" and NO_BODY.fullmatch(value)):
                return False
        at_least_1_1 = self.scope["http_version"] == "1.1"
        return asks and at_least_1_1 and self.scope["method"] == "GET" and self._should_upgrade_to_ws()

    def upgrade(self, early: bytes) -> None:
        """Answer a WebSocket handshake; `early` came behind it in the same read."""
        raise NotImplementedError

    def _ignore_upgrade(self) -> None:
        """Go on as if no upgrade had been asked for (RFC 9110 §7.8).

        llhttp takes what follows for another protocol, and would read a body as requests. So a second parser is fed
        the fields that frame the body.
        """
        self.limits.count(UPGRADE)
        version = self.scope["http_version"].encode()
        fields = [b"%b: %b\r\n" % field for field in self.headers if field[0] in FRAMING_FIELDS]
        head = (self.url, self.headers, self.scope, self.expect_100_continue)
        self.parser = new_parser(self)
        self.resuming = True
        try:
            self.parser.feed_data(b"POST / HTTP/%b\r\n%b\r\n" % (version, b"".join(fields)))
        except httptools.HttpParserError:
            self.phase = BODY  # of the request that is in work
            self._refuse_parsed()
        self.resuming = False
        self.url, self.headers, self.scope, self.expect_100_continue = head

    # ---- callbacks of the parser

    def on_message_begin(self) -> None:
        self.phase = HEAD
        self.framing = self.portion
        self.upgrades = None
        self.trailers = 0
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a field as uvicorn does. One behind the body is dropped: nobody reads it (RFC 9110 §6.5.1)."""
        if self.phase is BODY:
            self.trailers += 1
            if self.trailers > MAX_FIELDS:
                self._stop(TOO_LARGE)
            return
        name = name.lower()
        if name == b"expect" and value.lower() == b"100-continue":
            self.expect_100_continue = True
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        if not self.resuming:
            if self.framing > MAX_HEAD or len(self.headers) > MAX_FIELDS:
                self._check_head()
            if self.overflows:
                self._check_room()
            before = self.cycle
            super().on_headers_complete()
            if self.cycle is not before:
                self.cycle.__class__ = Http10Cycle if self.scope["http_version"] == "1.0" else JoinedCycle
                if self.overflows:
                    self.cycle.keep_alive = False
        self.phase = BODY
        self.framing = 0

    def _check_head(self) -> None:
        """Count a head that may be too large: `framing` may hold bytes before it and behind it, too."""
        size = len(self.parser.get_method()) + len(self.url) + len("  HTTP/1.1\r\n\r\n")
        size += sum(len(name) + len(value) + len(": \r\n") for name, value in self.headers)
        if size > MAX_HEAD or len(self.headers) > MAX_FIELDS:
            self._stop(TOO_LARGE)

    def _check_room(self) -> None:
        """Answer only health checks while the server is full."""
        self.overflows = self.admission.full
        name = self.url.partition(b"?")[0].rpartition(b"/")[2]
        if not self.overflows or (name in HEALTH_CHECKS and self.parser.get_method() in (b"GET", b"HEAD")):
            return
        accepted = b",".join(value for field, value in self.headers if field == b"accept")
        self._stop(CUT if b"text/event-stream" in accepted else FULL)

    def _stop(self, refusal: Refusal) -> None:
        """Stop the parser, which raises HttpParserError."""
        self.refusal = refusal
        raise ValueError(refusal.reason)

    def on_body(self, body: bytes) -> None:
        self.framing -= FRAMING_PER_BYTE * len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        if self.parser.should_upgrade():
            return  # it becomes a WebSocket, or its body is still to come: see `_ignore_upgrade`
        self.phase = IDLE
        self.deadline = NEVER
        if not self.cycle.response_complete:
            self.cycle.more_body = False
            self.cycle.message_event.set()


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
        protocol.detach(connection.transport)
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
        self.running = cycle  # type: ignore[assignment]  # it is one by the time that anybody looks
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
        if handshake is not None and self.ws_protocol_class is WebSocketProtocol:
            ReadyWebSocket(self, handshake, early, self.offers_handover)
        else:
            # Compression and faulty handshakes are left to uvicorn and websockets.
            self._upgrade_plainly(early)
        self.detach()

    def _upgrade_plainly(self, early: bytes) -> None:
        if self.ws_protocol_class is WebSocketProtocol:
            self.connections.discard(self)
            protocol = WebSocketProtocol(self.config, self.server_state, self.app_state)
            protocol.start(self.transport, self.url, self.headers)
        else:
            super().handle_websocket_upgrade()
        if early and not self.transport.is_closing():
            self.transport.get_protocol().data_received(early)  # type: ignore[attr-defined]

    def detach(self, label: str | None = None) -> None:
        """Make uvicorn forget this connection, and drop all that this object holds.

        `label` is that of the transport whose connection takes the socket of a response.
        """
        if label is not None:
            self.admission.labels.add(label)
            self.admission.streams += 1
        self.connections.discard(self)
        self.pipeline.clear()
        self.unparsed = b""
        self.parser = None  # type: ignore[assignment]  # it refers back to this object
        self.cycle = self.scope = self.headers = self.flow = None  # type: ignore[assignment]
        self.running = None


def runs_uvloop(loop: asyncio.AbstractEventLoop) -> bool:
    return type(loop).__module__.startswith("uvloop")
