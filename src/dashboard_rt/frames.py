"""Pure: updates to the bytes of a wire. Never awaits, never touches a socket or a clock.

A *wire* is how updates look to a group of connections that can share the same bytes: Server-Sent Events with or
without HTTP/1.1 chunks, or Action Cable frames of one identifier and subprotocol, framed for a raw socket or as
lines for `websocket.send`. One batch of updates is encoded once per wire, whatever the number of clients.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

import orjson
from websockets.frames import Frame, Opcode

from .types import Position, Transport, Update, Verdict

WRITE_BYTES = 65536  # one write carries at most this much, or one update
EXT_PROTOCOL = "actioncable-v1-ext-json"
BASE_PROTOCOL = "actioncable-v1-json"


def dumps(value: object) -> str:
    """JSON text on one line."""
    return orjson.dumps(value).decode()


# ---- Server-Sent Events (WHATWG HTML §9.2.5: event stream format)


def sse_event(
    data: str, *, event: str | None = None, position: Position | None = None, retry: int | None = None
) -> str:
    """One event; `data` is one line."""
    lines = []
    if retry is not None:
        lines.append(f"retry: {retry}")
    if event is not None:
        lines.append(f"event: {event}")
    if position is not None:
        lines.append(f"id: {position}")
    lines.append(f"data: {data}\n\n")
    return "\n".join(lines)


def sse_retry(milliseconds: int) -> str:
    """The reconnection time of this EventSource, alone in its block (dispatches nothing)."""
    return f"retry: {milliseconds}\n\n"


@lru_cache(maxsize=64)  # in a storm of reconnects thousands are told the same
def sse_verdict(verdict: Verdict, position: Position, replaying: int, missed: int | None) -> str:
    """The `verdict` event of protocol §1."""
    data = {"verdict": verdict, "position": str(position), "replaying": replaying, "missed": missed}
    return sse_event(dumps(data), event="verdict", position=position)


def sse_heartbeat(time: str, position: Position) -> str:
    """The `heartbeat` event: `time` is RFC 3339."""
    return sse_event(dumps({"time": time, "position": str(position)}), event="heartbeat", position=position)


def sse_goodbye(reason: str, retry_ms: int) -> str:
    """The `goodbye` event, behind the client's own time to come back."""
    return sse_event(dumps({"reason": reason, "retry_ms": retry_ms}), event="goodbye", retry=retry_ms)


class SseWire:
    """Events as bytes, in one HTTP/1.1 chunk a batch (RFC 9112 §7.1) or as they are."""

    __slots__ = ("chunked",)
    transport = Transport.SSE
    overhead = 64

    def __init__(self, chunked: bool) -> None:
        self.chunked = chunked

    def encode(self, updates: Sequence[Update], epoch: str) -> bytes:
        """A batch of updates as one write."""
        return self.wrap("".join([f"id: {epoch}-{update.id}\ndata: {update.text}\n\n" for update in updates]))

    def wrap(self, events: str) -> bytes:
        """Ready events as one write."""
        payload = events.encode()
        return b"%x\r\n%b\r\n" % (len(payload), payload) if self.chunked else payload

    @property
    def end(self) -> bytes:
        """What ends the response body cleanly; without chunks the end of the connection does."""
        return b"0\r\n\r\n" if self.chunked else b""


SSE_CHUNKED = SseWire(chunked=True)
SSE_IDENTITY = SseWire(chunked=False)


# ---- Action Cable


class CableWire(NamedTuple):
    """Data frames of one identifier. `raw`: RFC 6455 frames; otherwise one line per `websocket.send`."""

    identifier: str
    ext: bool
    raw: bool

    @property
    def transport(self) -> Transport:
        """Which of the two this is, for counters."""
        return Transport.CABLE

    @property
    def overhead(self) -> int:
        """Bytes that an update may need around its text."""
        return len(_cable_head(self.identifier).encode()) + 256

    def encode(self, updates: Sequence[Update], epoch: str) -> bytes:
        """A batch of updates as one write; the extended protocol adds `stream_id`, `epoch`, `offset`."""
        head = _cable_head(self.identifier)
        if not self.ext:
            return b"".join([cable_frame(f"{head}{update.text}}}", self.raw) for update in updates])
        tail = f',"stream_id":{dumps(updates[0].stream)},"epoch":{dumps(epoch)},"offset":' if updates else ""
        return b"".join([cable_frame(f"{head}{u.text}{tail}{u.id}}}", self.raw) for u in updates])

    def answer(self, update: Update) -> bytes:
        """One update as the answer to a `refresh`: without its place in the stream, so that no cursor moves."""
        return cable_frame(f"{_cable_head(self.identifier)}{update.text}}}", self.raw)


@lru_cache(
    maxsize=64
)  # thousands of clients say the same identifier: they share the object, and with it its text
def cable_wire(identifier: str, ext: bool, raw: bool) -> CableWire:
    """The wire of these three."""
    return CableWire(identifier, ext, raw)


@lru_cache(maxsize=64)
def _cable_head(identifier: str) -> str:
    return f'{{"identifier":{dumps(identifier)},"message":'


def cable_frame(text: str, raw: bool) -> bytes:
    """One text frame (RFC 6455 §5.2, unmasked as servers send), or one line."""
    payload = text.encode()
    return Frame(Opcode.TEXT, payload).serialize(mask=False) if raw else payload + b"\n"


@lru_cache(maxsize=64)  # welcomes, confirms and pings, the same for thousands
def control_frame(text: str, raw: bool) -> bytes:
    """A frame that is no update."""
    return cable_frame(text, raw)


WELCOME = '{"type":"welcome"}'
PONG = '{"type":"pong"}'


def cable_ping(unix_seconds: int) -> str:
    """The ping that keeps stock clients from calling the connection stale."""
    return f'{{"type":"ping","message":{unix_seconds}}}'


@lru_cache(maxsize=64)  # as above
def cable_reply(kind: str, identifier: str, **more: object) -> str:
    """confirm_subscription, reject_subscription, confirm_history, reject_history."""
    return dumps({"identifier": identifier, "type": kind, **more})


def cable_disconnect(reason: str, reconnect: bool, retry_in: int | None = None) -> str:
    """The last frame before a close; `retry_in` in ms is ours, stock clients ignore it."""
    message: dict[str, object] = {"type": "disconnect", "reason": reason, "reconnect": reconnect}
    if retry_in is not None:
        message["retry_in"] = retry_in
    return dumps(message)


Wire = SseWire | CableWire


def pieces(updates: Sequence[Update], overhead: int) -> Iterator[Sequence[Update]]:
    """Cut a batch so that each piece encodes to at most WRITE_BYTES, or is one update.

    `overhead` is what the wire needs around each text, in bytes. Counted in characters times the widest UTF-8
    form only where it matters: ASCII, the common case, is exact.
    """
    start, size = 0, 0
    for index, (_, _, text) in enumerate(updates):
        cost = overhead + (len(text) if text.isascii() else len(text.encode()))
        if size + cost > WRITE_BYTES and index > start:
            yield updates[start:index]
            start, size = index, 0
        size += cost
    if start < len(updates):
        yield updates[start:]
