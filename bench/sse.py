"""Server-sent events, from bytes to updates: HTTP chunks, then event blocks. Pure: no socket, no clock.

Sources: RFC 9112 section 7.1 (chunks), WHATWG HTML section 9.2.6 (event streams).
"""

from __future__ import annotations

from functools import cache

import orjson

from bench import payload
from bench.payload import Stamp
from bench.wire import NOTHING, Batch, Control, Memo, WireError, read_head


class Dechunker:
    """Removes HTTP/1.1 chunk framing."""

    __slots__ = ("buffer", "ended", "left")

    def __init__(self) -> None:
        self.buffer = b""
        self.left = 0  # bytes of the present chunk still to come, its CRLF included
        self.ended = False

    @property
    def at_border(self) -> bool:
        """True between two chunks."""
        return not self.buffer and not self.left and not self.ended

    def feed(self, data: bytes) -> bytes:
        """The body bytes that `data` completes."""
        buffer, parts = self.buffer + data, []
        while buffer and not self.ended:
            if not self.left:
                size, end, rest = buffer.partition(b"\r\n")
                if not end:
                    break
                self._begin(size)
                buffer = rest
                continue
            piece, buffer = buffer[: self.left], buffer[self.left :]
            parts.append(piece[: max(0, self.left - 2)])
            self.left -= len(piece)
        self.buffer = buffer
        return b"".join(parts)

    def _begin(self, size: bytes) -> None:
        try:
            length = int(size.partition(b";")[0], 16)
        except ValueError:
            raise WireError(f"not a chunk size: {size[:20]!r}") from None
        self.ended = length == 0
        self.left = length + 2 if length else 0


class EventStream:
    """Splits text into event blocks and reads them; understands LF, CRLF and CR."""

    __slots__ = ("after_cr", "buffer")

    def __init__(self) -> None:
        self.buffer = b""
        self.after_cr = False

    @property
    def at_border(self) -> bool:
        """True between two events."""
        return not self.buffer and not self.after_cr

    def feed(self, data: bytes) -> list[bytes]:
        """The event blocks that `data` completes, lines ended by LF, without the blank line."""
        if self.after_cr or b"\r" in data:
            data = self._with_line_feeds(data)
        *blocks, self.buffer = (self.buffer + data).split(b"\n\n")
        return blocks

    def _with_line_feeds(self, data: bytes) -> bytes:
        """A CR ends its line at once; an LF right behind it, even in the next read, belongs to it."""
        if self.after_cr and data.startswith(b"\n"):
            data = data[1:]
        self.after_cr = data.endswith(b"\r")
        return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")


def read_block(block: bytes) -> Stamp | Control | None:
    """The event of one block: an update, something else, or None for a block that dispatches nothing."""
    name, lines = b"message", []
    for row in block.split(b"\n"):
        field, _, value = row.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"data":
            lines.append(value)
        elif field == b"event":
            name = value
    if not lines:
        return Control("retry", block.decode()) if block.startswith(b"retry:") else None
    data = b"\n".join(lines)
    if name != b"message":
        return Control(name.decode(), data.decode())
    return _update(data)


def _update(data: bytes) -> Stamp | Control:
    try:
        stamp = payload.read(orjson.loads(data))
    except orjson.JSONDecodeError:
        raise WireError(f"an update that is not JSON: {data[:60]!r}") from None
    return stamp if stamp is not None else Control("foreign", data.decode())


class SseParser:
    """One connection's bytes, from the response head on."""

    __slots__ = ("at_border", "chunks", "events", "head", "memo")

    def __init__(self, memo: Memo) -> None:
        self.memo = memo
        self.head: bytes | None = b""
        self.chunks: Dechunker | None = None
        self.events = EventStream()
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
        kind = headers.get("content-type", "")
        if status != 200 or not kind.startswith("text/event-stream"):
            raise WireError(f"the stream was refused: HTTP {status}, {kind or 'no content type'}")
        if headers.get("content-encoding", "identity") != "identity":
            raise WireError(f"compression nobody asked for: {headers['content-encoding']}")
        self.head = None
        self.chunks = Dechunker() if headers.get("transfer-encoding") == "chunked" else None
        return self._body(rest)

    def _body(self, data: bytes) -> Batch:
        text = self.chunks.feed(data) if self.chunks is not None else data
        found = [read_block(block) for block in self.events.feed(text)]
        self.at_border = self.events.at_border and (self.chunks is None or self.chunks.at_border)
        return Batch(
            tuple(event for event in found if isinstance(event, Stamp)),
            tuple(event for event in found if isinstance(event, Control)),
        )


@cache
def request(host: str, path: str) -> bytes:
    """What opens a stream."""
    return f"GET {path} HTTP/1.1\r\nHost: {host}\r\nAccept: text/event-stream\r\n\r\n".encode()
