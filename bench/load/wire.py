"""How to open one transport of a target, and what both parsers share: the result of a read, and the memory of
reads that were parsed before. Pure.

A fan-out sends the same bytes to every client, and parsing is a pure function of bytes: a read that begins and
ends at a message's border needs to be parsed once, whichever client it came to. Every update is still entered
in the ledger of the client that received it.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from bench.load.payload import Stamp

MEMO_BYTES = 8 * 1024 * 1024
HEAD_BYTES = 64 * 1024
EXTENDED = "actioncable-v1-ext-json"
# Controls that keep a connection alive: `ping` of Action Cable, a ping frame (RFC 6455 section 5.5.2), the SSE event
# `heartbeat`. SSE comments are no controls and are not counted: the app sends none.
PINGS = frozenset({"ping", "ws_ping", "heartbeat"})
TRANSPORTS = ("sse", "cable", "cable+ext", "cable+deflate")


class WireError(Exception):
    """The server broke the protocol; the message says how."""


class Wire(NamedTuple):
    """One transport of a running target.

    `transport`: one of TRANSPORTS. `protocol`: the subprotocol that cables offer and demand (`cable+ext` always
    the extended one). `ready`: the SSE event after which a client is sure to get what follows; "open" when the
    response head is enough; "foreign" for the first unnamed event that holds no update. Cables are ready when
    their subscription is confirmed. `envelope`: where in the JSON of an SSE event the update is, such as
    "pub.data"; empty when it is all of it. `headers`: more request headers.
    """

    transport: str
    host: str
    port: int
    path: str
    identifier: str = ""
    protocol: str = "actioncable-v1-json"
    ready: str = "verdict"
    envelope: str = ""
    headers: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of(cls, fields: dict[str, Any]) -> Wire:
        """The wire of a setup command, in which tuples have become lists; raises ValueError for a transport
        that does not exist."""
        wire = cls(**{**fields, "headers": tuple((name, value) for name, value in fields.get("headers", ()))})
        if wire.transport not in TRANSPORTS:
            raise ValueError(f"no transport {wire.transport!r}; there are {', '.join(TRANSPORTS)}")
        return wire

    @property
    def is_sse(self) -> bool:
        """True for an event stream, False for the cables."""
        return self.transport == "sse"

    @property
    def subprotocol(self) -> str:
        """What a cable offers, and demands to be chosen."""
        return EXTENDED if self.transport == "cable+ext" else self.protocol

    @property
    def deflates(self) -> bool:
        """True when permessage-deflate is offered and demanded."""
        return self.transport == "cable+deflate"

    def request(self, *rows: str) -> bytes:
        """A GET of the path with these header rows and those of the target."""
        more = (f"{name}: {value}" for name, value in self.headers)
        head = (f"GET {self.path} HTTP/1.1", f"Host: {self.host}:{self.port}", *rows, *more)
        return ("\r\n".join(head) + "\r\n\r\n").encode()


class Control(NamedTuple):
    """Anything that is not an update: a verdict, a heartbeat, a ping. `detail` is its text."""

    name: str
    detail: str


class Batch(NamedTuple):
    """What one read held: updates in order, the rest, and the position it leaves the client at.

    A position of None means that it did not change; an empty one that it is not known any more.
    """

    updates: tuple[Stamp, ...]
    controls: tuple[Control, ...]
    position: str | None = None


NOTHING = Batch((), ())


class Memo:
    """Reads and what they held; emptied when it grows past `limit` bytes. Parsers count their own `hits`."""

    def __init__(self, limit: int = MEMO_BYTES) -> None:
        self.known: dict[bytes, Batch] = {}
        self.size = 0
        self.limit = limit
        self.hits = 0

    def keep(self, data: bytes, batch: Batch) -> None:
        """Remember a read whose parser was at a border before and after it."""
        self.size += len(data)
        if self.size > self.limit:
            self.known.clear()
            self.size = len(data)
        self.known[data] = batch


class Head(NamedTuple):
    """The head of an HTTP/1.1 response; header names in lower case, the last of a name wins."""

    status: int
    headers: dict[str, str]


def read_head(buffer: bytes) -> tuple[Head, bytes] | None:
    """The head at the start of `buffer` and what follows it; None while it is not whole. Raises WireError."""
    text, end, rest = buffer.partition(b"\r\n\r\n")
    if not end:
        if len(buffer) > HEAD_BYTES:
            raise WireError(f"a response head of more than {HEAD_BYTES} bytes")
        return None
    first, *rows = text.decode("latin-1").split("\r\n")
    words = first.split(" ", 2)
    if len(words) < 2 or not words[0].startswith("HTTP/1.") or not words[1].isdigit():
        raise WireError(f"not an HTTP response: {first[:60]!r}")
    pairs = (row.partition(":") for row in rows)
    return Head(int(words[1]), {name.strip().lower(): value.strip() for name, _, value in pairs}), rest
