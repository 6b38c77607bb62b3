"""A connect storm: many clients at once, each from connect(2) to its first update, on bare epoll.

Why not the connections of connection.py: an event loop's transport costs more to set up than the floor needs to
accept one, so the storm would measure the client. Same parsers, 25 us a client.
"""

from __future__ import annotations

import select
import socket
import time
from array import array
from typing import Any

from bench.errors import Environment
from bench.load import cable, frames, source, sse
from bench.load.wire import Batch, Memo, Wire
from bench.statistics import histogram

STALL_SECONDS = 10.0
CONNECTS_AT_A_TIME = 8  # then those that are there are read: else the first would wait for the last
# What a client waits for, in words.
WANTED = {
    "update": "first update: if the server greets nobody with one, say --until confirmation",
    "ready": "confirmation",
}
REFUSALS = ("reject_subscription", "disconnect", "goodbye", "close", "end")


class Guest:
    """One client on its way in. Moments in ns; 0 before they come."""

    __slots__ = ("first_byte_ns", "parser", "sock", "started_ns")

    def __init__(
        self, sock: socket.socket, parser: sse.SseParser | cable.CableParser, started_ns: int
    ) -> None:
        self.sock = sock
        self.parser = parser
        self.started_ns = started_ns
        self.first_byte_ns = 0


class Rush:
    """One storm of `count` clients, at most `in_flight` of them on their way in. `until`: a client has arrived at its
    first "update", or when it is "ready" (on a stream that does not begin with its newest state)."""

    def __init__(
        self, wire: Wire, sources: list[str], count: int, in_flight: int, until: str = "update"
    ) -> None:
        if until not in WANTED:
            raise Environment(f'a storm lasts until "update" or "ready", not {until!r}')
        self.wire = wire
        self.sources = sources
        self.count = count
        self.in_flight = in_flight
        self.until = until
        self.memo = Memo()
        self.extensions: set[str] = set()
        self.poll = select.epoll()
        self.begun = 0
        self.connecting: dict[int, Guest] = {}
        self.waiting: dict[int, Guest] = {}
        self.arrived: list[socket.socket] = []
        self.accepted, self.first_byte = array("q"), array("q")
        self.ready, self.first_update = array("q"), array("q")

    def run(self) -> dict[str, Any]:
        """Connect all, and keep them until `drop`; answers seconds, the client's CPU share, and the times from
        connect(2) to accepted, to the first byte, to ready and to the first update. Raises Environment, WireError and
        OSError."""
        started, cpu = time.monotonic_ns(), time.process_time_ns()
        try:
            self._until_all_arrived()
            wall, spent = time.monotonic_ns() - started, time.process_time_ns() - cpu
        except BaseException:
            self.drop()
            raise
        times = ("accepted", "first_byte", "ready", "first_update")
        return {
            "seconds": wall / 1e9,
            "cpu_share": spent / wall,
            "extensions": sorted(self.extensions),
            **{name: histogram.of(getattr(self, name)).summary() for name in times},
        }

    def _until_all_arrived(self) -> None:
        while len(self.arrived) < self.count:
            more = self._begin_some()
            events = self.poll.poll(0 if more else STALL_SECONDS)
            if not events and not more:
                silent = len(self.waiting) + len(self.connecting)
                raise Environment(
                    f"{silent} clients heard nothing for {STALL_SECONDS:.0f} s "
                    f"and have not got their {WANTED[self.until]}"
                )
            for number, _ in events:
                if number in self.connecting:
                    self._complete(number)
                else:
                    self._read(number)

    def _begin_some(self) -> bool:
        """Begin as many as may be; True when more could."""
        for _ in range(CONNECTS_AT_A_TIME):
            if self.begun == self.count or len(self.waiting) + len(self.connecting) >= self.in_flight:
                return False
            self._begin(self.begun)
            self.begun += 1
        return True

    def _begin(self, index: int) -> None:
        sock = source.bound(source.of(index, self.sources))
        guest = Guest(sock, self._parser(), time.monotonic_ns())
        if source.begin(sock, self.wire.host, self.wire.port):
            self._accepted(guest)
            self.poll.register(sock.fileno(), select.EPOLLIN)
        else:
            self.connecting[sock.fileno()] = guest
            self.poll.register(sock.fileno(), select.EPOLLOUT)

    def _complete(self, number: int) -> None:
        guest = self.connecting.pop(number)
        source.complete(guest.sock)
        self._accepted(guest)
        self.poll.modify(number, select.EPOLLIN)

    def _accepted(self, guest: Guest) -> None:
        self.accepted.append(time.monotonic_ns() - guest.started_ns)
        guest.sock.send(sse.request(self.wire) if self.wire.is_sse else cable.request(self.wire))
        self.waiting[guest.sock.fileno()] = guest

    def _parser(self) -> sse.SseParser | cable.CableParser:
        if self.wire.is_sse:
            return sse.SseParser(self.memo, self.wire.envelope)
        return cable.CableParser(self.memo, self.wire)

    def _read(self, number: int) -> None:
        guest = self.waiting[number]
        data = guest.sock.recv(65536)
        now = time.monotonic_ns() - guest.started_ns
        if not data:
            raise Environment("the server closed a connection in the storm")
        if not guest.first_byte_ns:
            guest.first_byte_ns = now
            self.first_byte.append(now)
        if self._has_arrived(guest, guest.parser.feed(data), now):
            self.poll.unregister(number)
            self.arrived.append(self.waiting.pop(number).sock)

    def _has_arrived(self, guest: Guest, batch: Batch, now: int) -> bool:
        ready = False
        for control in batch.controls:
            if control.name in REFUSALS:
                raise Environment(f"the server turned a client away: {control.name} {control.detail}")
            ready = ready or control.name == (self.wire.ready if self.wire.is_sse else "confirm_subscription")
            self._respond(guest, control.name, control.detail)
        if ready:
            self.ready.append(now)
        if batch.updates:
            self.first_update.append(now)
        return bool(batch.updates) or (ready and self.until == "ready")

    def _respond(self, guest: Guest, name: str, detail: str) -> None:
        if name == "open":
            self.extensions.add(detail)
        elif name == "welcome":
            guest.sock.send(cable.subscribe(self.wire.identifier))
        elif name == "ws_ping":
            guest.sock.send(frames.frame(frames.PONG, detail.encode("latin-1")))

    def drop(self) -> None:
        """All of them leave."""
        guests = (*self.connecting.values(), *self.waiting.values())
        for sock in [*self.arrived, *(guest.sock for guest in guests)]:
            sock.close()
        self.arrived.clear()
        self.poll.close()
