"""A WebSocket client made of raw frames (RFC 6455), which can send what no library would, and Action Cable on top."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
import struct
from collections.abc import Sequence
from types import TracebackType
from typing import Any, NamedTuple, Self

from tests.live.wire import Address, Head, Headers, Unavailable, Wire, read_head, request_bytes

V1 = "actioncable-v1-json"
EXT = "actioncable-v1-ext-json"
STOCK = (V1, "actioncable-unsupported")  # what @rails/actioncable offers
CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10


class Frame(NamedTuple):
    """One frame as it came."""

    opcode: int
    payload: bytes
    fin: bool


class CableClosed(Exception):
    """The server sent a close frame."""

    def __init__(self, payload: bytes) -> None:
        self.code = struct.unpack("!H", payload[:2])[0] if payload else None
        self.reason = payload[2:].decode()
        super().__init__(f"closed with {self.code} {self.reason!r}")


def frame(
    opcode: int, payload: bytes | str = b"", *, fin: bool = True, rsv: int = 0, masked: bool = True
) -> bytes:
    """A frame as a client sends it; `rsv` are the three reserved bits as one number."""
    data = payload.encode() if isinstance(payload, str) else payload
    first = (0x80 if fin else 0) | rsv << 4 | opcode
    bit = 0x80 if masked else 0
    if len(data) < 126:
        head = struct.pack("!BB", first, bit | len(data))
    elif len(data) < 65536:
        head = struct.pack("!BBH", first, bit | 126, len(data))
    else:
        head = struct.pack("!BBQ", first, bit | 127, len(data))
    if not masked:
        return head + data
    key = os.urandom(4)
    return head + key + _xor(data, key)


def _xor(data: bytes, key: bytes) -> bytes:
    pad = (key * (len(data) // 4 + 1))[: len(data)]
    return (int.from_bytes(data, "big") ^ int.from_bytes(pad, "big")).to_bytes(len(data), "big")


def command(name: str, identifier: str | None = None, **more: Any) -> str:
    """The JSON text of a command."""
    rest = {} if identifier is None else {"identifier": identifier}
    return json.dumps({"command": name, **rest, **more})


def identifier(stream: str | None = None, **params: Any) -> str:
    """An identifier of the product's own channel."""
    chosen = {} if stream is None else {"stream": stream}
    return json.dumps({"channel": "DashboardUpdatesChannel", **chosen, **params})


def upgrade(
    address: Address,
    protocols: Sequence[str] = (V1,),
    headers: Headers = (),
    early: bytes = b"",
    rcvbuf: int | None = None,
    *,
    target: str = "/cable",
) -> tuple[Wire, Head]:
    """Ask for the upgrade; `early` are bytes sent behind the request in the same segment."""
    key = base64.b64encode(os.urandom(16)).decode()
    lines = [
        ("host", address.netloc),
        ("upgrade", "websocket"),
        ("connection", "Upgrade"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", key),
        *([("sec-websocket-protocol", ", ".join(protocols))] if protocols else []),
        *headers,
    ]
    wire = Wire(address.connect(rcvbuf))
    wire.send(request_bytes("GET", target, lines) + early)
    head = read_head(wire)
    if head.status == 101:
        assert head.get("sec-websocket-accept") == accept_key(key)
    return wire, head


def accept_key(key: str) -> str:
    """The `sec-websocket-accept` for a key (RFC 6455 section 4.2.2)."""
    digest = hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()
    return base64.b64encode(digest).decode()


class CableClient:
    """An open `/cable` socket. Answers WebSocket pings; `message()` skips Action Cable's unless asked for."""

    def __init__(
        self,
        address: Address,
        protocols: Sequence[str] = (V1,),
        headers: Headers = (),
        early: bytes = b"",
        rcvbuf: int | None = None,
        *,
        target: str = "/cable",
    ) -> None:
        self.wire, self.head = upgrade(address, protocols, headers, early, rcvbuf, target=target)
        if self.head.status == 503:
            raise Unavailable(self.head)
        assert self.head.status == 101, self.head
        self.protocol = self.head.get("sec-websocket-protocol")
        self._fences = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.wire.close()

    def send(self, text: str | bytes) -> None:
        self.wire.send(frame(TEXT, text))

    def frame(self) -> Frame:
        """The next frame as it came; a server's frames are never masked and use no reserved bit."""
        first, second = self.wire.exactly(2)
        assert not second & 0x80, "a server must not mask"
        assert not first & 0x70, "no extension was negotiated"
        length = second & 0x7F
        if length == 126:
            (length,) = struct.unpack("!H", self.wire.exactly(2))
        elif length == 127:
            (length,) = struct.unpack("!Q", self.wire.exactly(8))
        return Frame(first & 0x0F, self.wire.exactly(length), bool(first & 0x80))

    def text(self) -> str:
        """The next text message; CableClosed on a close frame."""
        while True:
            got = self.frame()
            if got.opcode == PING:
                self.wire.send(frame(PONG, got.payload))
            elif got.opcode == CLOSE:
                raise CableClosed(got.payload)
            elif got.opcode == TEXT:
                assert got.fin, "the server fragments"
                return got.payload.decode()
            else:
                assert got.opcode == PONG, got

    def message(self, *, pings: bool = False) -> dict[str, Any]:
        """The next JSON object; Action Cable pings only when wanted."""
        while True:
            got: dict[str, Any] = json.loads(self.text())
            if pings or got.get("type") != "ping":
                return got

    def welcome(self) -> None:
        """The first frame, in full."""
        assert self.message(pings=True) == {"type": "welcome"}

    def subscribe(self, name: str, **more: Any) -> dict[str, Any]:
        """Subscribe and return the answer, which has to be the next message."""
        self.send(command("subscribe", name, **more))
        answer = self.message()
        assert answer.get("identifier") == name, answer
        return answer

    def fence(self) -> list[dict[str, Any]]:
        """Every answer to what was sent so far: the rejection of a last, unknown subscribe marks their end."""
        self._fences += 1
        mark = json.dumps({"channel": "NoSuchChannel", "fence": self._fences})
        self.send(command("subscribe", mark))
        seen = []
        while (got := self.message()) != {"identifier": mark, "type": "reject_subscription"}:
            seen.append(got)
        return seen

    def closed(self) -> CableClosed:
        """Read on until the close frame, skipping whatever comes before it."""
        while True:
            try:
                self.text()
            except CableClosed as end:
                return end

    def echo(self, end: CableClosed) -> None:
        """Answer the server's close frame, as RFC 6455 section 5.5.1 wants it."""
        with contextlib.suppress(OSError):  # the server need not wait for it
            self.wire.send(frame(CLOSE, b"" if end.code is None else struct.pack("!H", end.code)))

    def close(self) -> None:
        self.wire.close()
