"""Server-sent events, from bytes to updates: a response head, then event blocks. Pure: no socket, no clock.

Source: WHATWG HTML section 9.2.6 (event streams).
"""

from __future__ import annotations

import orjson

from bench.load import payload
from bench.load.chunked import Dechunker
from bench.load.payload import Stamp
from bench.load.wire import NOTHING, Batch, Control, Memo, Wire, WireError, read_head


class EventStream:
    """Splits text into event blocks; understands LF, CRLF and CR."""

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


class Reading:
    """Collects what the blocks of one read hold. `envelope`: the keys that lead to the update in an event's JSON."""

    def __init__(self, envelope: tuple[str, ...]) -> None:
        self.envelope = envelope
        self.updates: list[Stamp] = []
        self.controls: list[Control] = []
        self.position: str | None = None

    def block(self, block: bytes) -> None:
        """Enter one event block; raises WireError."""
        name, lines = b"message", []
        for row in block.split(b"\n"):
            field, _, value = row.partition(b":")
            value = value.removeprefix(b" ")
            if field == b"data":
                lines.append(value)
            elif field == b"event":
                name = value or b"message"
            elif field == b"id" and b"\0" not in value:
                self.position = value.decode(errors="replace")
            elif field == b"retry" and value.isdigit():
                self.controls.append(Control("retry", value.decode()))
        if lines:
            self._dispatch(name, b"\n".join(lines))

    def _dispatch(self, name: bytes, data: bytes) -> None:
        if name != b"message":
            self.controls.append(Control(name.decode(errors="replace"), data.decode(errors="replace")))
            return
        try:
            stamp = payload.read(payload.within(orjson.loads(data), self.envelope))
        except orjson.JSONDecodeError:
            raise WireError(f"an update that is not JSON: {data[:60]!r}") from None
        if stamp is None:
            self.controls.append(Control("foreign", data.decode()))
        else:
            self.updates.append(stamp)

    def batch(self) -> Batch:
        """All of it."""
        return Batch(tuple(self.updates), tuple(self.controls), self.position)


class SseParser:
    """One connection's bytes, from the response head on, which is a control `open`; the end of a body is `end`."""

    __slots__ = ("at_border", "chunks", "envelope", "events", "head", "memo")

    def __init__(self, memo: Memo, envelope: str = "") -> None:
        self.memo = memo
        self.envelope = tuple(filter(None, envelope.split(".")))
        self.head: bytes | None = b""
        self.chunks: Dechunker | None = None
        self.events = EventStream()
        self.at_border = False

    def feed(self, data: bytes) -> Batch:
        """What these bytes complete; raises WireError."""
        if self.at_border:
            known = self.memo.known.get(data)
            if known is not None:
                self.memo.hits += 1
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
        self.chunks = Dechunker() if headers.get("transfer-encoding", "").lower() == "chunked" else None
        batch = self._body(rest)
        return batch._replace(controls=(Control("open", "none"), *batch.controls))

    def _body(self, data: bytes) -> Batch:
        chunks, reading = self.chunks, Reading(self.envelope)
        for block in self.events.feed(data if chunks is None else chunks.feed(data)):
            reading.block(block)
        self.at_border = self.events.at_border and (chunks is None or chunks.at_border)
        if chunks is not None and chunks.ended:
            reading.controls.append(Control("end", ""))
        return reading.batch()


def request(wire: Wire, position: str = "") -> bytes:
    """What opens a stream, behind `position` when there is one."""
    rows = (f"Last-Event-ID: {position}",) if position else ()
    return wire.request("Accept: text/event-stream", *rows)
