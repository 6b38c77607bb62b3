"""HTTP/1.1 requests of peers that nobody knows, parsed within the limits of limits.py.

However a peer cuts what it sends: a head has a size, pipelined requests wait in a short queue, and an upgrade that we
do not know is ignored, so that what follows such a head is its body. Knows nothing of the handover.
One of the modules that know uvicorn's insides; handover.py says why they have to.
"""

from __future__ import annotations

import re

import httptools

from .admission import NEVER
from .connection import BODY, HEAD, IDLE, HttpConnection, new_parser
from .limits import (
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
from .responses import Http10Cycle, JoinedCycle

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
