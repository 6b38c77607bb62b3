"""WebSocketLink: what stays of a WebSocket after its handover: a sans-I/O parser between transport and client.

Knows RFC 6455 through that parser and nothing of uvicorn, Action Cable or the hub.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import Any, Protocol

from websockets.frames import CloseCode, Frame, Opcode
from websockets.protocol import Event, Side, State
from websockets.protocol import Protocol as Rfc6455
from websockets.streams import StreamReader

MAX_MESSAGE = 65536

quiet = logging.getLogger("dashboard_rt.websocket")
quiet.setLevel(logging.WARNING)  # websockets says "connection closed" for each one


class OpenWebSocket(Rfc6455):
    """websockets' parser of an open connection. What all connections begin with is the class's, below.

    Its constructor draws a random id for each connection's log lines, which costs as much as a whole subscribe.
    """

    def __init__(self) -> None:
        self.reader = StreamReader()
        self.events: list[Event] = []
        self.writes: list[bytes] = []
        self.parser = self.parse()
        next(self.parser)  # to where it waits for bytes


OWN = frozenset({"reader", "events", "writes", "parser"})
for _name, _value in vars(Rfc6455(Side.SERVER, state=State.OPEN, max_size=MAX_MESSAGE, logger=quiet)).items():
    if _name not in OWN:
        setattr(OpenWebSocket, _name, _value)


class Messages(Protocol):
    """What takes over a WebSocket."""

    sink: Any
    link: Any
    paused: bool

    def received(self, text: str) -> None:
        """A text message came."""

    def received_binary(self) -> None:
        """A binary message came."""

    def pause_writing(self) -> None:
        """The transport's buffer is full."""

    def resume_writing(self) -> None:
        """The transport's buffer has room."""

    def lost(self, reason: str) -> None:
        """The connection is gone."""

    def ending(self) -> None:
        """A close frame was sent; the peer has SEND_TIMEOUT to go."""


class WebSocketLink(asyncio.Protocol):
    """What stays of a WebSocket after its handover: websockets' sans-I/O parser between a transport and a client."""

    __slots__ = ("_backlog", "_client", "_conn", "_parts", "_transport")

    def __init__(self, client: Messages, transport: Any, conn: Rfc6455) -> None:
        self._client = client
        self._transport = transport
        self._conn = conn
        self._parts: bytearray | None = None  # of a message that goes on; None also while a binary one runs
        self._backlog: deque[Frame] | None = None  # came in one segment with what filled our buffer

    def data_received(self, data: bytes) -> None:
        """Bytes of the client; pongs and close frames are answered at once."""
        self._conn.receive_data(data)
        self._flush()
        events = self._conn.events_received()
        if self._backlog is not None:
            self._backlog.extend(events)  # type: ignore[arg-type]
        else:
            self._take(deque(events))  # type: ignore[arg-type]

    def _take(self, frames: deque[Frame]) -> None:
        """Messages in order; once the client's buffer is full the rest waits, or answers would pile up."""
        self._backlog = frames
        while frames and not self._client.paused:
            self._take_frame(frames.popleft())
        self._backlog = frames if frames else None

    def _take_frame(self, frame: Frame) -> None:
        if self._conn.state is not State.OPEN:
            return
        if frame.opcode is Opcode.BINARY:
            self._parts = None
            self._client.received_binary()
        elif frame.opcode is Opcode.TEXT:
            self._parts = bytearray(frame.data)
        elif frame.opcode is Opcode.CONT and self._parts is not None:
            self._parts += frame.data
        else:
            return
        if frame.fin and self._parts is not None:
            parts, self._parts = self._parts, None
            self._decode(parts)

    def _decode(self, data: bytearray) -> None:
        try:
            text = data.decode()
        except UnicodeDecodeError:
            self._conn.fail(CloseCode.INVALID_DATA, "a text message must be UTF-8")
            self._flush()
        else:
            self._client.received(text)

    def _flush(self) -> None:
        """Write what the parser wants written; its empty string means that no more will follow (RFC 6455 §7.1.1)."""
        writes = self._conn.data_to_send()
        if not writes:
            return
        self._transport.write(b"".join(writes))
        if writes[-1] == b"":
            self._end()

    def _end(self) -> None:
        # A peer that spoke its close frame is answered: done. One that broke the protocol may still be sending, and
        # closing on unread bytes would reset the connection before it has read why.
        self._client.ending()
        if self._conn.parser_exc is None and self._conn.close_rcvd is not None:
            self._transport.close()
        elif self._transport.can_write_eof():
            self._transport.write_eof()
        else:
            self._transport.close()

    def close(self, code: int) -> None:
        """Send a close frame; the connection ends when the peer has answered."""
        if self._conn.state is State.OPEN:
            self._conn.send_close(code)
            self._flush()
            self._client.ending()

    def pause_writing(self) -> None:
        """asyncio's; nothing is read either, or answers and pongs pile up behind what cannot be written."""
        self._transport.pause_reading()
        self._client.pause_writing()

    def resume_writing(self) -> None:
        """asyncio's."""
        self._client.resume_writing()
        if self._backlog:
            self._take(self._backlog)
        if not self._client.paused and not self._transport.is_closing():
            self._transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        """asyncio's: the end."""
        clean = self._conn.close_rcvd is not None
        self._conn.parser.close()  # a generator that refers back to its object
        self._client.lost("closed" if clean else "lost" if exc is None else "error")
