"""One client of the load: a socket, a parser, a ledger. The clock is read once per read, before it is parsed."""

from __future__ import annotations

import asyncio
from array import array
from collections import Counter
from collections.abc import Callable
from time import monotonic_ns
from typing import NamedTuple, cast

from bench import cable, sse
from bench.ledger import Ledger
from bench.wire import Batch, Control, Memo, WireError


class Wire(NamedTuple):
    """How to open one transport of a target."""

    transport: str  # "sse" or "cable"
    host: str
    port: int
    path: str
    identifier: str = ""
    protocol: str = "actioncable-v1-json"
    ready: str = "verdict"  # the control after which an SSE client is sure to get what follows


class Tally:
    """What all clients of a process have seen together. Durations in ns, one per measured update."""

    def __init__(self) -> None:
        self.memo = Memo()
        self.measured_from = 1
        self.latencies = array("q")
        self.uncorrected = array("q")
        self.bytes = 0
        self.controls: Counter[str] = Counter()
        self.errors: Counter[str] = Counter()
        self.closed = 0
        self.first_ns = 0
        self.last_ns = 0
        self.on_measured: Callable[[], None] = lambda: None

    def begin(self, now: int) -> None:
        """The first measured update has come."""
        self.first_ns = now
        self.on_measured()


class Connection(asyncio.Protocol):
    """Base of both transports. `on_ready` is called once, when nothing can be missed any more;
    `on_lost` once when the connection ends, however it ends."""

    __slots__ = ("closing", "feed", "ledger", "on_lost", "on_ready", "tally", "transport")

    def __init__(self, wire: Wire, tally: Tally, first: int) -> None:
        self.tally = tally
        self.ledger = Ledger(first)
        self.transport: asyncio.Transport | None = None
        self.closing = False
        self.on_ready: Callable[[], None] | None = None
        self.on_lost: Callable[[], None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's do not inherit from asyncio's
        self.transport.write(self.opening())

    def opening(self) -> bytes:
        """The request that opens the transport."""
        raise NotImplementedError

    def control(self, control: Control) -> None:
        """Anything that is not an update."""
        raise NotImplementedError

    def data_received(self, data: bytes) -> None:
        now = monotonic_ns()
        try:
            updates, controls = self.feed(data)
        except WireError as error:
            self.fail(str(error))
            return
        if controls:
            for control in controls:
                self.tally.controls[control.name] += 1
                self.control(control)
        if updates:
            tally, see = self.tally, self.ledger.see
            measured = updates[-1].seq >= tally.measured_from
            if measured:
                if not tally.first_ns:
                    tally.begin(now)
                tally.bytes += len(data)
                tally.last_ns = now
            for seq, intended, sent in updates:
                see(seq)
                if measured and seq >= tally.measured_from:
                    tally.latencies.append(now - intended)
                    tally.uncorrected.append(now - sent)

    feed: Callable[[bytes], Batch]

    def ready(self) -> None:
        """The server has confirmed: from here on each update counts."""
        if self.on_ready is not None:
            told, self.on_ready = self.on_ready, None
            told()

    def fail(self, why: str) -> None:
        """The server broke the protocol: leave, and keep the reason."""
        self.tally.errors[why] += 1
        if self.transport is not None:
            self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.closing:
            self.tally.closed += 1
        if self.on_lost is not None:
            told, self.on_lost = self.on_lost, None
            told()

    def close(self) -> None:
        """Leave on purpose, at once."""
        self.closing = True
        if self.transport is not None:
            self.transport.abort()


class SseConnection(Connection):
    """A client of an event stream."""

    __slots__ = ("request", "signal")

    def __init__(self, wire: Wire, tally: Tally, first: int) -> None:
        super().__init__(wire, tally, first)
        self.request = sse.request(wire.host, wire.path)
        self.signal = wire.ready
        self.feed = sse.SseParser(tally.memo).feed

    def opening(self) -> bytes:
        return self.request

    def control(self, control: Control) -> None:
        if control.name == self.signal:
            self.ready()


class CableConnection(Connection):
    """A client with one subscription on an Action Cable."""

    __slots__ = ("wire",)

    def __init__(self, wire: Wire, tally: Tally, first: int) -> None:
        super().__init__(wire, tally, first)
        self.wire = wire
        self.feed = cable.CableParser(tally.memo, wire.identifier, wire.protocol).feed

    def opening(self) -> bytes:
        return cable.request(self.wire.host, self.wire.path, self.wire.protocol)

    def control(self, control: Control) -> None:
        if control.name == "confirm_subscription":
            self.ready()
        elif control.name == "welcome":
            self.write(cable.subscribe(self.wire.identifier))
        elif control.name == "ws_ping":
            self.write(cable.frame(cable.PONG, b""))
        elif control.name in ("reject_subscription", "disconnect"):
            self.fail(control.detail)

    def write(self, data: bytes) -> None:
        """Send a frame, unless the connection is on its way out."""
        if self.transport is not None and not self.transport.is_closing():
            self.transport.write(data)


def connection(wire: Wire, tally: Tally, first: int) -> Connection:
    """A client of the wire's transport."""
    return (SseConnection if wire.transport == "sse" else CableConnection)(wire, tally, first)
