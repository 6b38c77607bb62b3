"""WebSocket frames, from bytes to messages and back. Pure: no socket, no clock. Source: RFC 6455 section 5."""

from __future__ import annotations

from typing import NamedTuple

from bench.load.wire import WireError

TEXT, BINARY, CLOSE, PING, PONG = 0x1, 0x2, 0x8, 0x9, 0xA
NAMES = {BINARY: "binary", CLOSE: "close", PING: "ws_ping", PONG: "ws_pong"}
MESSAGE_BYTES = 16 * 1024 * 1024
_MASK = b"\x37\xfa\x21\x3d"


class Frame(NamedTuple):
    """One message or control frame; fragments are put together before it gets here."""

    opcode: int
    payload: bytes
    compressed: bool = False


class Frames:
    """Splits a server's bytes into messages; refuses what a server may not send.

    `compression`: permessage-deflate was agreed on, so the first bit behind FIN may be set (RFC 7692 section 6).
    """

    __slots__ = ("buffer", "compression", "parts")

    def __init__(self, compression: bool = False) -> None:
        self.compression = compression
        self.buffer = b""
        self.parts: list[Frame] = []

    @property
    def at_border(self) -> bool:
        """True between two messages."""
        return not self.buffer and not self.parts

    def feed(self, data: bytes) -> list[Frame]:
        """The messages and control frames that `data` completes; raises WireError."""
        buffer, found, start = self.buffer + data, [], 0
        while start < len(buffer) and (span := _span(buffer, start)) is not None:
            body, end = span
            frame = self._frame(buffer[start], buffer[body:end])
            if frame is not None:
                found.append(frame)
            start = end
        self.buffer = buffer[start:]
        return found

    def _frame(self, first: int, body: bytes) -> Frame | None:
        opcode, compressed = first & 0x0F, bool(first & 0x40)
        if first & 0x30 or (compressed and not (self.compression and opcode in (TEXT, BINARY))):
            raise WireError("a reserved bit is set: an extension nobody negotiated")
        if opcode >= CLOSE:
            return _control(first, opcode, body)
        if first & 0x80 and not self.parts and opcode:
            return Frame(_known(opcode), body, compressed)
        return self._part(Frame(_known(opcode), body, compressed), last=bool(first & 0x80))

    def _part(self, part: Frame, last: bool) -> Frame | None:
        if part.opcode == 0 and not self.parts:
            raise WireError("a continuation of nothing")
        if part.opcode and self.parts:
            raise WireError("a new message before the last fragment of the one before")
        self.parts.append(part)
        if sum(len(one.payload) for one in self.parts) > MESSAGE_BYTES:
            raise WireError(f"a message of more than {MESSAGE_BYTES} bytes")
        if not last:
            return None
        whole = self.parts[0]._replace(payload=b"".join(one.payload for one in self.parts))
        self.parts = []
        return whole


def _known(opcode: int) -> int:
    if opcode > BINARY:
        raise WireError(f"a reserved opcode: {opcode}")
    return opcode


def _control(first: int, opcode: int, body: bytes) -> Frame:
    """Section 5.5: control frames are whole and short, so that they fit between the fragments of a message."""
    if opcode not in NAMES:
        raise WireError(f"a reserved opcode: {opcode}")
    if not first & 0x80 or len(body) > 125:
        raise WireError(f"a control frame that is fragmented or longer than 125 bytes: {NAMES[opcode]}")
    return Frame(opcode, body)


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
        if size > MESSAGE_BYTES:
            raise WireError(f"a message of more than {MESSAGE_BYTES} bytes")
    return (body, body + size) if len(buffer) >= body + size else None


def only_message(data: bytes) -> bytes | None:
    """The payload of a read that is one compressed text message and nothing else, as nearly all reads of a fan-out
    are; None for any other, which `Frames` reads in three times the time."""
    if len(data) < 4 or data[0] != 0xC1 or data[1] > 126:
        return None
    start = 2 if data[1] < 126 else 4
    size = data[1] if start == 2 else data[2] << 8 | data[3]
    return data[start:] if len(data) == start + size else None


def close_reason(body: bytes) -> str:
    """Code and reason of a close frame in words; raises WireError (section 5.5.1)."""
    if not body:
        return "no code"
    if len(body) == 1:
        raise WireError("a close frame with half a code")
    return f"{int.from_bytes(body[:2])} {body[2:].decode(errors='replace')}".rstrip()


def frame(opcode: int, body: bytes) -> bytes:
    """One masked frame, as a client sends it (section 5.3)."""
    length = len(body)
    if length < 126:
        size = bytes((0x80 | length,))
    elif length < 65536:
        size = b"\xfe" + length.to_bytes(2)
    else:
        size = b"\xff" + length.to_bytes(8)
    wide = (_MASK * (length // 4 + 1))[:length]
    masked = (int.from_bytes(body) ^ int.from_bytes(wide)).to_bytes(length)
    return bytes((0x80 | opcode,)) + size + _MASK + masked
