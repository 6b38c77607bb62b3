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

from bench import cable, histogram, source, sse
from bench.connection import Wire
from bench.errors import Environment
from bench.wire import Batch, Memo

STALL_SECONDS = 10.0


class Rush:
    """One storm of `count` clients, at most `in_flight` of them without their first update."""

    def __init__(self, wire: Wire, sources: list[str], count: int, in_flight: int) -> None:
        self.wire = wire
        self.sources = sources
        self.count = count
        self.in_flight = in_flight
        self.memo = Memo()
        self.poll = select.epoll()
        self.waiting: dict[int, tuple[socket.socket, sse.SseParser | cable.CableParser, int]] = {}
        self.arrived: list[socket.socket] = []
        self.times = array("q")

    def run(self) -> dict[str, Any]:
        """Connect all, drop all; answers seconds, the client's CPU share, and the times to the first update."""
        started, cpu = time.monotonic_ns(), time.process_time_ns()
        try:
            self._until_all_arrived()
            wall, spent = time.monotonic_ns() - started, time.process_time_ns() - cpu
        finally:
            self._drop()
        return {
            "seconds": wall / 1e9,
            "cpu_share": spent / wall,
            "first_update": histogram.of(self.times).summary(),
        }

    def _until_all_arrived(self) -> None:
        begun = 0
        while len(self.arrived) < self.count:
            while begun < self.count and len(self.waiting) < self.in_flight:
                self._connect(begun)
                begun += 1
            events = self.poll.poll(STALL_SECONDS)
            if not events:
                raise Environment(f"{len(self.waiting)} clients heard nothing for {STALL_SECONDS:.0f} s")
            for number, _ in events:
                self._read(number)

    def _connect(self, index: int) -> None:
        started = time.monotonic_ns()
        sock = source.connected(self.wire.host, self.wire.port, source.of(index, self.sources))
        sock.send(self._request())
        self.waiting[sock.fileno()] = (sock, self._parser(), started)
        self.poll.register(sock.fileno(), select.EPOLLIN)

    def _request(self) -> bytes:
        if self.wire.transport == "sse":
            return sse.request(self.wire.host, self.wire.path)
        return cable.request(self.wire.host, self.wire.path, self.wire.protocol)

    def _parser(self) -> sse.SseParser | cable.CableParser:
        if self.wire.transport == "sse":
            return sse.SseParser(self.memo)
        return cable.CableParser(self.memo, self.wire.identifier, self.wire.protocol)

    def _read(self, number: int) -> None:
        sock, parser, started = self.waiting[number]
        data = sock.recv(65536)
        if not data:
            raise Environment("the server closed a connection in the storm")
        batch = parser.feed(data)
        if batch.updates:
            self.times.append(time.monotonic_ns() - started)
            self.poll.unregister(number)
            del self.waiting[number]
            self.arrived.append(sock)
        elif _welcomed(batch):
            sock.send(cable.subscribe(self.wire.identifier))

    def _drop(self) -> None:
        for sock in [*self.arrived, *(entry[0] for entry in self.waiting.values())]:
            sock.close()
        self.poll.close()


def _welcomed(batch: Batch) -> bool:
    return any(control.name == "welcome" for control in batch.controls)
