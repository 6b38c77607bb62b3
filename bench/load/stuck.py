"""Clients that stop reading on purpose, and when the server cut each."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Sequence
from typing import Any

from bench.errors import Environment
from bench.load import sockdiag
from bench.load.sockdiag import Address
from bench.load.subscriber import Subscriber
from bench.load.tally import Tally

LOOK_SECONDS = 0.05


class Stuck:
    """One who does not read cannot notice either that it was cut, so the kernel is asked for the server's end."""

    def __init__(self) -> None:
        self.tally = Tally()  # what they still receive is entered here, and not reported
        self.tally.measure(sys.maxsize)
        self.held: list[Subscriber] = []
        self.ends: list[tuple[Address, Address]] = []
        self.cut_ns: list[int] = []  # 0 while it is not cut
        self.since_ns = 0
        self.watch: asyncio.Task[None] | None = None

    def stop(self, subscribers: Sequence[Subscriber]) -> None:
        """They read no more, from now on; raises Environment when one is not connected or the kernel cannot say."""
        for subscriber in subscribers:
            self._stop(subscriber)
        self.since_ns = time.monotonic_ns()
        self.watch = asyncio.create_task(self._look())

    def _stop(self, subscriber: Subscriber) -> None:
        connection = subscriber.connection
        if connection is None or connection.transport is None or not connection.is_ready:
            raise Environment(
                f"client {subscriber.index} is not connected: open the clients before they stick"
            )
        transport = connection.transport
        ends = transport.ends()
        if not sockdiag.established(*ends):
            raise Environment("the kernel does not tell the state of its sockets: run `modprobe tcp_diag`")
        subscriber.set_aside(self.tally)
        transport.pause_reading()
        self.held.append(subscriber)
        self.ends.append(ends)
        self.cut_ns.append(0)

    async def _look(self) -> None:
        while not all(self.cut_ns):
            await asyncio.sleep(LOOK_SECONDS)
            for number, ends in enumerate(self.ends):
                if not self.cut_ns[number] and not sockdiag.established(*ends):
                    self.cut_ns[number] = time.monotonic_ns()

    def release(self) -> None:
        """They read again; what they missed they miss, and they stay out of the books."""
        self.end()
        for subscriber in self.held:
            transport = subscriber.connection.transport if subscriber.connection else None
            if transport is not None and not transport.is_closing():
                transport.resume_reading()

    def end(self) -> None:
        """Look no more."""
        if self.watch is not None:
            self.watch.cancel()

    def report(self) -> list[dict[str, Any]]:
        """Each with its number and the seconds after which the server cut it; None while it has not."""
        seconds = ((at - self.since_ns) / 1e9 if at else None for at in self.cut_ns)
        pairs = zip(self.held, seconds, strict=True)
        return [{"client": one.index, "seconds": after} for one, after in pairs]
