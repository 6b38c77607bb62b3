"""Action Cable over WebSocket, from bytes to updates and from commands to bytes. Pure: no socket, no clock.

Sources: RFC 6455 (frames), docs/protocol.md section 2 (what is in them).
"""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from typing import NamedTuple

import orjson

from bench import payload
from bench.payload import Stamp
from bench.wire import NOTHING, Batch, Control, Memo, WireError, read_head

KEY = base64.b64encode(b"load-client-key!").decode()
ACCEPT = base64.b64encode(
    hashlib.sha1(KEY.encode() + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11", usedforsecurity=False).digest()
).decode()
PROTOCOLS = ("actioncable-v1-json", "actioncable-v1-ext-json")
_MASK = b"\x37\xfa\x21\x3d"
TEXT, CLOSE, PING, PONG = 0x1, 0x8, 0x9, 0xA


class Frame(NamedTuple):
    """One frame; a fragmented message is put together before it gets here."""

    opcode: int
    payload: bytes


class Frames:
    """Splits a server's bytes into frames; refuses what a server may not send."""

    __slots__ = ("buffer", "parts")

    def __init__(self) -> None:
        self.buffer = b""
        self.parts: list[Frame] = []

    @property
    def at_border(self) -> bool:
        """True between two messages."""
        return not self.buffer and not self.parts

    def feed(self, data: bytes) -> list[Frame]:
        """The messages and control frames that `data` completes."""
        buffer, found, start = self.buffer + data, [], 0
        while (span := _span(buffer, start)) is not None:
            body, end = span
            frame = self._frame(buffer[start], buffer[body:end])
            if frame is not None:
                found.append(frame)
            start = end
        self.buffer = buffer[start:]
        return found

    def _frame(self, first: int, body: bytes) -> Frame | None:
        if first & 0x70:
            raise WireError("a reserved bit is set: an extension nobody negotiated")
        opcode = first & 0x0F
        if opcode >= CLOSE:
            return Frame(opcode, body)
        if opcode == 0 and not self.parts:
            raise WireError("a continuation of nothing")
        self.parts.append(Frame(opcode, body))
        if not first & 0x80:
            return None
        whole = Frame(self.parts[0].opcode, b"".join(part.payload for part in self.parts))
        self.parts = []
        return whole


def _span(buffer: bytes, start: int) -> tuple[int, int] | None:
    """Where the payload of the frame at `start` begins and ends; None while it is not whole."""
    if len(buffer) < start + 2:
        return None
    size, body = buffer[start + 1], start + 2
    if size & 0x80:
        raise WireError("a masked frame from a server")
    if size >= 126:
        width = 2 if size == 126 else 8
        if len(buffer) < body + width:
            return None
        size, body = int.from_bytes(buffer[body : body + width]), body + width
    return (body, body + size) if len(buffer) >= body + size else None


class CableParser:
    """One connection's bytes, from the response head on."""

    __slots__ = ("at_border", "frames", "head", "identifier", "memo", "protocol")

    def __init__(self, memo: Memo, identifier: str, protocol: str) -> None:
        self.memo = memo
        self.identifier = identifier
        self.protocol = protocol
        self.head: bytes | None = b""
        self.frames = Frames()
        self.at_border = False

    def feed(self, data: bytes) -> Batch:
        """What these bytes complete; raises WireError."""
        if self.at_border:
            known = self.memo.known.get(data)
            if known is not None:
                return known
            batch = self._body(data)
            if self.at_border:
                self.memo.keep(data, batch)
            return batch
        return self._body(data) if self.head is None else self._head(data)

    def _head(self, data: bytes) -> Batch:
        found = read_head((self.head or b"") + data)
        if found is None:
            self.head = (self.head or b"") + data
            return NOTHING
        (status, headers), rest = found
        if status != 101 or headers.get("sec-websocket-accept") != ACCEPT:
            raise WireError(f"the upgrade was refused: HTTP {status}")
        if headers.get("sec-websocket-protocol") != self.protocol:
            raise WireError(f"another subprotocol: {headers.get('sec-websocket-protocol')!r}")
        if "sec-websocket-extensions" in headers:
            raise WireError(f"an extension nobody offered: {headers['sec-websocket-extensions']}")
        self.head = None
        return self._body(rest)

    def _body(self, data: bytes) -> Batch:
        found = [self._read(frame) for frame in self.frames.feed(data)]
        self.at_border = self.frames.at_border
        return Batch(
            tuple(event for event in found if isinstance(event, Stamp)),
            tuple(event for event in found if isinstance(event, Control)),
        )

    def _read(self, frame: Frame) -> Stamp | Control:
        if frame.opcode != TEXT:
            return Control({CLOSE: "close", PING: "ws_ping", PONG: "ws_pong"}.get(frame.opcode, "binary"), "")
        try:
            message = orjson.loads(frame.payload)
        except orjson.JSONDecodeError:
            raise WireError(f"a frame that is not JSON: {frame.payload[:60]!r}") from None
        if "type" in message:
            return Control(str(message["type"]), frame.payload.decode())
        if message.get("identifier") != self.identifier:
            raise WireError(f"an update for another subscription: {message.get('identifier')!r}")
        return payload.read(message.get("message")) or Control("foreign", frame.payload.decode())


@cache
def request(host: str, path: str, protocol: str) -> bytes:
    """What opens a cable; no extension is offered."""
    return (
        f"GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: {protocol}\r\n\r\n"
    ).encode()


@cache
def subscribe(identifier: str) -> bytes:
    """The subscribe command as a frame."""
    return frame(TEXT, orjson.dumps({"command": "subscribe", "identifier": identifier}))


def frame(opcode: int, body: bytes) -> bytes:
    """One masked frame, as a client sends it (RFC 6455 section 5.3)."""
    length = len(body)
    if length < 126:
        size = bytes((0x80 | length,))
    elif length < 65536:
        size = b"\xfe" + length.to_bytes(2)
    else:
        size = b"\xff" + length.to_bytes(8)
    masked = bytes(byte ^ _MASK[index % 4] for index, byte in enumerate(body))
    return bytes((0x80 | opcode,)) + size + _MASK + masked
