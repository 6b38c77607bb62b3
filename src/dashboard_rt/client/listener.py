"""One client that follows a stream: it reconnects after its last position (docs/protocol.md §1), with backoff.

Knows neither transport's encoding nor how results are printed.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import AbstractAsyncContextManager, AsyncExitStack, aclosing
from random import Random
from typing import NamedTuple

from ..types import Position
from .cable import open_cable
from .connection import ConnectOptions, Event, EventKind, OpenConnection, TransportName
from .failures import ConnectionFailed, FailureReason, stuck_failure
from .report import Printer, RunStats, SequenceChecker
from .sse import open_sse
from .target import Target

BACKOFF_BASE_SECONDS, BACKOFF_CAP_SECONDS = 1.0, 30.0
HEALTHY_SECONDS = 10.0  # a connection that lasted this long resets the backoff
MAX_FIRST_ATTEMPTS = 3  # a client that received nothing in these gives up: no server runs there
# Connections in a row that opened, brought no update and soon broke alike: what comes next is what breaks them. Long
# enough, at up to 30 s between them, for a server that is started again and again to come up.
MAX_STUCK = 10
STUCK_REASONS = (FailureReason.DROPPED, FailureReason.BROKEN)
MAX_CONNECTING = 64  # below a listen backlog of 128: when it overflows, the kernel's SYN retries are measured


class ClientOptions(NamedTuple):
    """What each client of a run does; see ConnectOptions for `timeout` and `position`."""

    transport: TransportName
    target: Target
    timeout: float
    reconnect: bool = True
    position: Position | None = None


def backoff(failures: int, retry: float | None, random: Random) -> float:
    """Return the seconds to wait: full jitter up to 1, 2, 4 … 30 s, and never less than `retry` seconds.

    `retry` is what the server asked for. It is jittered already (docs/protocol.md §1), so that clients of a
    restarted server do not come back together.
    """
    # The exponent is bounded: a client that fails for days must not compute a number of thousands of digits.
    ceiling = min(BACKOFF_CAP_SECONDS, BACKOFF_BASE_SECONDS * 2 ** min(failures, 16))
    return max(retry or 0.0, random.uniform(0, ceiling))


def open_connection(
    transport: TransportName, target: Target, options: ConnectOptions
) -> AbstractAsyncContextManager[OpenConnection]:
    """Connect over `transport`; entering the context raises `ConnectionFailed`."""
    connect = open_sse if transport is TransportName.SSE else open_cable
    return connect(target, options)


class Listener:
    """One client; `number` identifies it in the output."""

    def __init__(self, number: int, options: ClientOptions, stats: RunStats, printer: Printer) -> None:
        self.number = number
        self.options = options
        self.stats = stats
        self.printer = printer
        self.checker = SequenceChecker(options.position)
        self._random = Random()
        self._retry: float | None = None
        self._may_reconnect = True
        self._reached = False
        self._away = False
        self._received_update = False  # by the present connection
        self._stuck = 0

    async def run(self, connect_slots: asyncio.Semaphore) -> None:
        """Follow the stream, and reconnect, until it is pointless; otherwise until cancelled.

        It ends when the server asks not to reconnect, when a failure is permanent, or when the first attempts
        received nothing. `connect_slots` bounds how many clients connect at the same time.
        """
        failures = 0
        while True:
            started_at = time.monotonic()
            failure = await self._attempt(connect_slots)
            healthy = time.monotonic() - started_at >= HEALTHY_SECONDS
            failures = 1 if healthy else failures + 1
            self._count_stuck(failure, healthy)
            if self._is_finished(failure, failures):
                return
            self._set_away(True)
            wait = backoff(failures - 1, self._retry, self._random)
            self.printer.waiting(self.number, wait, self.checker.position)
            await asyncio.sleep(wait)
            self.stats.reconnects += 1

    async def _attempt(self, connect_slots: asyncio.Semaphore) -> ConnectionFailed | None:
        try:
            await self._follow(connect_slots)
        except ConnectionFailed as failure:
            self.stats.record_failure(failure)
            self.printer.failed(self.number, failure)
            return failure
        return None

    async def _follow(self, connect_slots: asyncio.Semaphore) -> None:
        """Connect once, and receive events until the connection ends."""
        options = ConnectOptions(self.options.timeout, self.checker.position)
        async with AsyncExitStack() as stack:
            async with connect_slots:
                connection = await stack.enter_async_context(
                    open_connection(self.options.transport, self.options.target, options)
                )
            events = await stack.enter_async_context(aclosing(connection.events))
            self.stats.timings.append(connection.timing)
            self.stats.connected += 1
            stack.callback(self._disconnected)
            self._retry = None  # what the server asked for before this connection is done
            self._received_update = False
            self.printer.connected(self.number, connection)
            async for event in events:
                self._receive(event)

    def _disconnected(self) -> None:
        self.stats.connected -= 1

    def _set_away(self, away: bool) -> None:
        if self._reached:  # clients that never received anything are missing from `reached` already
            self.stats.away += away - self._away
            self._away = away

    def _receive(self, event: Event) -> None:
        if event.retry is not None:
            self._retry = event.retry
        if event.kind in (EventKind.VERDICT, EventKind.UPDATE):
            self.stats.reached += not self._reached
            self._reached = True
            self._set_away(False)
        self._may_reconnect = event.may_reconnect
        self._received_update |= event.kind is EventKind.UPDATE
        fault = self.stats.record_event(event, self.checker)
        self.printer.received(self.number, event, fault)

    def _count_stuck(self, failure: ConnectionFailed | None, healthy: bool) -> None:
        stuck = failure is not None and failure.reason in STUCK_REASONS
        self._stuck = self._stuck + 1 if stuck and not healthy and not self._received_update else 0
        if self._stuck >= MAX_STUCK and self.options.reconnect:
            self.printer.failed(self.number, stuck_failure(self._stuck, self.checker.position))

    def _is_finished(self, failure: ConnectionFailed | None, failures: int) -> bool:
        never_reached = not self._reached and failures >= MAX_FIRST_ATTEMPTS
        pointless = failure is not None and (failure.permanent or never_reached or self._stuck >= MAX_STUCK)
        if self.options.reconnect and self._may_reconnect and not pointless:
            return False
        self.stats.gave_up += failure is not None or not self._may_reconnect
        return True


async def run_listeners(clients: int, options: ClientOptions, stats: RunStats, printer: Printer) -> None:
    """Run `clients` listeners until all of them have ended."""
    connect_slots = asyncio.Semaphore(MAX_CONNECTING)
    async with asyncio.TaskGroup() as group:
        for number in range(1, clients + 1):
            group.create_task(Listener(number, options, stats, printer).run(connect_slots))
