"""One connection of one client: a line and a parser. When a read arrived is the receiver's business."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable
from time import monotonic_ns

from bench.load import cable, frames, signals, sse
from bench.load.receiver import Line
from bench.load.signals import Goodbye, Verdict
from bench.load.subscriber import Subscriber
from bench.load.wire import Batch, Control, Wire, WireError


class Connection(ABC):
    """Base of both transports.

    `settled` is done once the connection is ready (nothing can be missed any more) or has ended. `ready_ns` and
    `goodbye_ns` are when it became ready and when the server said goodbye, 0 before. `on_end` is called once when it
    ends, unless we closed it; `on_update` once, with the moment of the first update behind `ready`.
    """

    __slots__ = (
        *(
            "feed",
            "goodbye",
            "goodbye_ns",
            "is_ready",
            "leaving",
            "ledger",
            "on_end",
            "on_update",
            "ready_ns",
        ),
        *("resumed", "retry_ms", "settled", "subscriber", "tally", "transport", "verdict", "wire"),
    )
    feed: Callable[[bytes], Batch]

    def __init__(self, wire: Wire, subscriber: Subscriber, resumes: bool = False) -> None:
        self.wire = wire
        self.subscriber = subscriber
        self.tally, self.ledger = subscriber.tally, subscriber.ledger
        self.resumed = subscriber.position if resumes else ""
        self.transport: Line | None = None
        self.settled: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.is_ready = self.leaving = False
        self.ready_ns = self.goodbye_ns = 0
        self.verdict: Verdict | None = None
        self.goodbye: Goodbye | None = None
        self.retry_ms: int | None = None
        self.on_end: Callable[[Connection], None] | None = None
        self.on_update: Callable[[int], None] | None = None

    def connection_made(self, line: Line) -> None:
        """Ask for the stream."""
        self.transport = line
        line.write(self.opening())

    @abstractmethod
    def opening(self) -> bytes:
        """The request that opens the transport."""

    @abstractmethod
    def control(self, control: Control) -> None:
        """Anything that is not an update."""

    def received(self, data: bytes, now: int) -> None:
        """Bytes that arrived at `now`, CLOCK_MONOTONIC in ns."""
        try:
            updates, controls, position = self.feed(data)
        except WireError as error:
            self.fail(str(error))
            return
        tally = self.tally
        tally.reads += 1
        if controls:
            for control in controls:
                self._note(control, now)
        if updates:
            tally.take(updates, self.ledger, now, len(data))
            if self.on_update is not None:
                self._updated(now)
        if position is not None:
            self.subscriber.position = position

    def _note(self, control: Control, now: int) -> None:
        self.tally.note(control.name, now)
        if control.name == "open":
            self.tally.extensions.add(control.detail)
        self.control(control)

    def _updated(self, now: int) -> None:
        if self.is_ready and self.on_update is not None:
            told, self.on_update = self.on_update, None
            told(now)

    def ready(self) -> None:
        """The server has confirmed: from here on each update counts."""
        self.is_ready = True
        self.ready_ns = self.ready_ns or monotonic_ns()
        self._settle()

    def part(self, control: Control) -> None:
        """The server said that it will end this connection."""
        self.goodbye, self.goodbye_ns = signals.goodbye(control), monotonic_ns()

    def fail(self, why: str) -> None:
        """The server broke the protocol or refused: leave, and keep the reason."""
        self.tally.errors[why] += 1
        if self.transport is not None:
            self.transport.abort()

    def connection_lost(self, error: Exception | None) -> None:
        """The end."""
        self.is_ready = False
        self._settle()
        if self.on_end is not None and not self.leaving:
            told, self.on_end = self.on_end, None
            told(self)

    def _settle(self) -> None:
        if not self.settled.done():
            self.settled.set_result(None)

    def close(self) -> None:
        """Leave on purpose, at once."""
        self.leaving, self.is_ready = True, False
        if self.transport is not None:
            self.transport.abort()


class SseConnection(Connection):
    """A client of an event stream."""

    __slots__ = ()

    def __init__(self, wire: Wire, subscriber: Subscriber, resumes: bool = False) -> None:
        super().__init__(wire, subscriber, resumes)
        self.feed = sse.SseParser(self.tally.memo, wire.envelope).feed

    def opening(self) -> bytes:
        return sse.request(self.wire, self.resumed)

    def control(self, control: Control) -> None:
        if control.name == "verdict":
            self.verdict = signals.verdict(control)
        elif control.name == "retry":
            self.retry_ms = int(control.detail)
        elif control.name == "goodbye":
            self.part(control)
        elif control.name == "end" and self.transport is not None:
            self.transport.close()  # the response is over; a kept-alive connection is of no use to a stream
        if control.name == self.wire.ready:
            self.ready()


class CableConnection(Connection):
    """A client with one subscription on an Action Cable."""

    __slots__ = ()

    def __init__(self, wire: Wire, subscriber: Subscriber, resumes: bool = False) -> None:
        super().__init__(wire, subscriber, resumes)
        self.feed = cable.CableParser(self.tally.memo, wire).feed

    def opening(self) -> bytes:
        return cable.request(self.wire)

    def control(self, control: Control) -> None:
        if control.name == "confirm_subscription":
            self.verdict = signals.verdict(control)
            self.ready()
        elif control.name == "welcome":
            self.write(cable.subscribe(self.wire.identifier, self.resumed))
        elif control.name == "ws_ping":
            self.write(frames.frame(frames.PONG, control.detail.encode("latin-1")))
        elif control.name == "disconnect":
            self.part(control)
        elif control.name == "close":
            self._answer_close()
        elif control.name == "reject_subscription":
            self.fail(control.detail)

    def _answer_close(self) -> None:
        """RFC 6455 section 5.5.1: a close frame is answered, and then the connection is over."""
        self.write(frames.frame(frames.CLOSE, b""))
        if self.transport is not None:
            self.transport.close()

    def write(self, data: bytes) -> None:
        """Send a frame, unless the connection is on its way out."""
        if self.transport is not None and not self.transport.is_closing():
            self.transport.write(data)


def connection(wire: Wire, subscriber: Subscriber, resumes: bool = False) -> Connection:
    """A new connection of the wire's transport; with `resumes` from the position that its client has reached."""
    return (SseConnection if wire.is_sse else CableConnection)(wire, subscriber, resumes)
