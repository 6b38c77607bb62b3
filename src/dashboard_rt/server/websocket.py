"""A WebSocket after its handover, and how the input of all WebSockets is parsed in portions.

One read brings up to 256 KiB, which may be 43,000 frames. A portion is parsed at once; the rest waits as bytes, and
its connection is not read from, until its turn comes in the queue that all WebSockets of a server share. So what others
wait for a flood is bounded by a portion, however many send one.

Knows RFC 6455 through the sans-I/O parser of `websockets`, and nothing of uvicorn, Action Cable or the hub.
"""

from __future__ import annotations

import asyncio
import logging
from abc import abstractmethod
from collections.abc import Callable
from itertools import islice
from typing import Any

from websockets.frames import CloseCode, Frame, Opcode
from websockets.protocol import Event, Protocol, Side, State
from websockets.streams import StreamReader

from ..transports.connection import MessageConnection
from .limits import FRAMES

MAX_MESSAGE = 65536
PORTION = 512  # bytes; at most 85 frames
PORTIONS_A_TURN = 2  # of the loop, for all connections together: below a millisecond of frames
FEW = 16  # frames of a read that are parsed on at once: a long message has few
FRAMES_A_TURN = 500  # that are parsed as they come, of reads with several; all others wait for their turn
ALLOWANCE = 50_000  # frames: more than one read can bring
ALLOWANCE_PER_SECOND = 100  # clients send a frame every few seconds
MAX_DROPPED = 1 << 20  # bytes behind the end of a connection; a peer that is still sending then has to wait

quiet_logger = logging.getLogger("dashboard_rt.websocket")
quiet_logger.setLevel(logging.WARNING)  # websockets logs "connection closed" for each one


class InboundQueue:
    """The WebSockets of a server whose input waits. `open` counts those that were handed over.

    `frames_left` may be parsed in this turn of the loop without waiting: one turn reads from all connections, so that
    a short read of each would be as much as one connection's flood.
    """

    def __init__(self, count: Callable[[str], None]) -> None:
        self.open = 0
        self.frames_left = FRAMES_A_TURN
        self.count = count
        self.loop = asyncio.get_running_loop()
        self._waiting: dict[PortionedInput, None] = {}  # in order, none twice
        self._scheduled = False

    def add(self, connection: PortionedInput) -> None:
        self._waiting[connection] = None
        self._schedule()

    def discard(self, connection: PortionedInput) -> None:
        self._waiting.pop(connection, None)

    def spend(self, frames: int) -> None:
        """Take frames off what may be parsed in this turn."""
        self.frames_left -= frames
        self._schedule()

    def _schedule(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            self.loop.call_soon(self._turn)

    def _turn(self) -> None:
        self._scheduled = False
        self.frames_left = FRAMES_A_TURN
        for connection in list(islice(self._waiting, PORTIONS_A_TURN)):
            del self._waiting[connection]
            connection.parse_next()
        if self._waiting:
            self._schedule()


class PortionedInput:
    """A WebSocket that is fed in portions.

    `unparsed` are the bytes that wait: empty for nearly all connections nearly always, and None once the connection
    has ended for us, so that what it still sends is dropped. `allowance` are the frames that it may send before it is
    looked at how long that took, which `since` says; both are touched only by who sends several at once.
    """

    __slots__ = ("allowance", "inbound", "since", "unparsed")
    inbound: InboundQueue
    unparsed: bytearray | bytes | None
    allowance: int
    since: float

    @abstractmethod
    def parse(self, portion: bytes) -> int:
        """Parse and handle; return the number of frames."""

    @abstractmethod
    def may_parse(self) -> bool:
        """Return whether the next frames can be handled: their answers have room."""

    @abstractmethod
    def hold(self) -> None:
        """Read no more for now."""

    @abstractmethod
    def release(self) -> None:
        """Read on."""

    @abstractmethod
    def refuse(self) -> None:
        """Close with 1008."""

    def take(self, data: bytes) -> None:
        """Take what was read: a short read is parsed as it comes."""
        if self.unparsed:
            self.unparsed += data
        elif self.unparsed is None:
            self._drop(len(data))
        elif len(data) > PORTION or self.inbound.frames_left <= 0 or not self.may_parse():
            self._take_portions(data)
        else:
            frames = self.parse(data)
            if frames > 1:
                self._spend(frames)

    def _take_portions(self, data: bytes) -> None:
        at = frames = 0
        while at < len(data) and frames <= FEW and self._may_go_on():
            frames += self.parse(data[at : at + PORTION])
            at += PORTION
        self._spend(frames)
        if at < len(data) and self.unparsed is not None:
            self.unparsed = bytearray(data[at:])
            self.hold()
            self.go_on()

    def _may_go_on(self) -> bool:
        return self.inbound.frames_left > 0 and self.unparsed is not None and self.may_parse()

    def go_on(self) -> None:
        """Parse what waits, when its turn comes; called whenever it may be parsed again."""
        if self.unparsed and self.may_parse():
            self.inbound.add(self)

    def parse_next(self) -> None:
        """Parse one portion of what waits, and queue up again for the rest."""
        if not self.unparsed or not self.may_parse():
            return  # `go_on` follows
        portion = bytes(self.unparsed[:PORTION])
        del self.unparsed[:PORTION]  # type: ignore[union-attr]  # a bytearray's front: nothing is moved
        self._spend(self.parse(portion))
        if self.unparsed:
            self.go_on()
        elif self.may_parse():
            self.release()

    def _spend(self, frames: int) -> None:
        """Take frames off the turn and the allowance, and refuse a connection that has none left."""
        if frames > 1:
            self.inbound.spend(frames)
        if self.allowance == ALLOWANCE:
            self.since = self.inbound.loop.time()
        self.allowance -= frames
        if self.allowance > 0 or self.unparsed is None:
            return
        now = self.inbound.loop.time()
        self.allowance = min(ALLOWANCE, self.allowance + int((now - self.since) * ALLOWANCE_PER_SECOND))
        self.since = now
        if self.allowance <= 0:
            self.inbound.count(FRAMES)
            self.drop_input()
            self.refuse()

    def drop_input(self) -> None:
        """Drop what waits and what still comes: the connection has ended, or is about to."""
        self.inbound.discard(self)
        self.unparsed = None
        self.allowance = MAX_DROPPED

    def _drop(self, size: int) -> None:
        self.allowance -= size
        if self.allowance < 0:
            self.hold()


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
