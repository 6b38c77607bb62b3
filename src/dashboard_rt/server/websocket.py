"""A WebSocket after its handover: the sans-I/O parser of `websockets` between a transport and a connection.

Knows RFC 6455 through that parser, and nothing of uvicorn, Action Cable or the hub.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from websockets.frames import CloseCode, Frame, Opcode
from websockets.protocol import Event, Protocol, Side, State
from websockets.streams import StreamReader

from ..transports.connection import MessageConnection
from .inbound import ALLOWANCE, InboundQueue, PortionedInput

MAX_MESSAGE = 65536

quiet_logger = logging.getLogger("dashboard_rt.websocket")
quiet_logger.setLevel(logging.WARNING)  # websockets logs "connection closed" for each one


class OpenProtocol(Protocol):
    """websockets' parser of an open connection, sharing as class attributes what all connections start with.

    The constructor of `Protocol` draws a random id for each connection's log lines, which costs as much as a whole
    subscribe. So it runs once, below, and every instance gets only the attributes that differ.
    """

    def __init__(self) -> None:
        self.reader = StreamReader()
        self.events: list[Event] = []
        self.writes: list[bytes] = []
        self.parser = self.parse()
        next(self.parser)  # runs to where it waits for bytes

    def recv_frame(self, frame: Frame) -> None:
        """Process a frame. A close may come between the fragments of a message (RFC 6455 §5.4: control frames may)."""
        if frame.opcode is Opcode.CLOSE:
            self.current_size = None  # or websockets would call the message incomplete, and the close a fault
        super().recv_frame(frame)


PER_CONNECTION = frozenset({"reader", "events", "writes", "parser"})
for _name, _value in vars(
    Protocol(Side.SERVER, state=State.OPEN, max_size=MAX_MESSAGE, logger=quiet_logger)
).items():
    if _name not in PER_CONNECTION:
        setattr(OpenProtocol, _name, _value)


class HandedOverWebSocket(PortionedInput, asyncio.Protocol):
    """What stays of a WebSocket after its handover. The MessageSocket of its connection."""

    __slots__ = ("_connection", "_frames", "_message", "_protocol", "_transport")

    def __init__(
        self, connection: MessageConnection, transport: Any, protocol: Protocol, inbound: InboundQueue
    ) -> None:
        self._connection = connection
        self._transport = transport
        self._protocol = protocol
        self._message: bytearray | None = None  # so far, of a text in fragments; None also for a binary one
        self._frames: list[Frame] | None = None  # parsed, and left over when the connection's buffer was full
        self.unparsed: bytearray | bytes | None = b""
        self.allowance = ALLOWANCE
        self.inbound = inbound
        inbound.open += 1

    data_received = PortionedInput.take

    # ---- PortionedInput

    def may_parse(self) -> bool:
        return not self._connection.paused

    def parse(self, portion: bytes) -> int:
        """Parse and pass on; the parser answers pings and close frames at once."""
        self._protocol.receive_data(portion)
        self._flush()
        frames: Any = self._protocol.events_received()
        self._pass_on(frames)
        return len(frames)

    def hold(self) -> None:
        self._transport.pause_reading()

    def release(self) -> None:
        if not self._transport.is_closing():
            self._transport.resume_reading()

    def refuse(self) -> None:
        self._protocol.fail(CloseCode.POLICY_VIOLATION, "too many frames")
        self._flush()

    def _pass_on(self, frames: list[Frame]) -> None:
        """Pass messages on in order. Once the connection's buffer is full the rest waits, or answers would pile up."""
        for place, frame in enumerate(frames):
            if self._connection.paused:
                self._frames = frames[place:]
                return
            self._take_frame(frame)

    def _take_frame(self, frame: Frame) -> None:
        if self._protocol.state is not State.OPEN:
            return
        if frame.opcode is Opcode.BINARY:
            self._message = None
            self._connection.on_binary()
        elif frame.opcode is Opcode.TEXT:
            self._message = bytearray(frame.data)
        elif frame.opcode is Opcode.CONT and self._message is not None:
            self._message += frame.data
        else:
            return
        if frame.fin and self._message is not None:
            message, self._message = self._message, None
            self._decode(message)

    def _decode(self, data: bytearray) -> None:
        try:
            text = data.decode()
        except UnicodeDecodeError:
            self._protocol.fail(CloseCode.INVALID_DATA, "a text message must be UTF-8")
            self._flush()
        else:
            self._connection.on_text(text)

    def _flush(self) -> None:
        """Write what the parser wants written. Its empty string means: nothing more follows (RFC 6455 §7.1.1)."""
        writes = self._protocol.data_to_send()
        if not writes:
            return
        self._transport.write(b"".join(writes))
        if writes[-1] == b"":
            self._end()

    def _end(self) -> None:
        # A peer that sent its close frame has been answered: done. One that broke the protocol may still be sending,
        # and closing on unread bytes would reset the connection before the peer has read why.
        self.drop_input()
        self._connection.on_closing()
        if self._protocol.parser_exc is None and self._protocol.close_rcvd is not None:
            self._transport.close()
        elif self._transport.can_write_eof():
            self._transport.write_eof()
        else:
            self._transport.close()

    def close(self, code: int) -> None:
        """Send a close frame; the connection ends when the peer has answered."""
        if self._protocol.state is State.OPEN:
            self._protocol.send_close(code)
            self._flush()
            self._connection.on_closing()

    # ---- asyncio.Protocol

    def pause_writing(self) -> None:
        """Stop reading too: answers and pongs would pile up behind what cannot be written."""
        self._transport.pause_reading()
        self._connection.pause_writing()

    def resume_writing(self) -> None:
        self._connection.resume_writing()
        if self._frames is not None and not self._connection.paused:
            frames, self._frames = self._frames, None
            self._pass_on(frames)
        if self._connection.paused:
            return
        if self.unparsed:
            self.go_on()
        else:
            self.release()

    def connection_lost(self, exc: Exception | None) -> None:
        self.inbound.open -= 1
        self.drop_input()
        clean = self._protocol.close_rcvd is not None
        self._protocol.parser.close()  # a generator that refers back to its object: a reference cycle
        self._connection.lost("closed" if clean else "lost" if exc is None else "error")
