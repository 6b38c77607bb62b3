"""Connections: everyone who is connected. Admission, heartbeats, who is stuck, whose ticket ends, and the drain.

Knows that connections can be spoken to, not in which protocol. What they read is the Hub's.
"""

from __future__ import annotations

import asyncio
import logging
import math
import random
import time
from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from itertools import chain, islice

from ..settings import Settings
from ..telemetry import Telemetry
from .hub import Hub
from .subscription import Subscriber
from .timer import Timer

SLICES = 30  # of the shortest heartbeat interval: 16,000 heartbeats at once would stall the loop
SWEEP_SECONDS = 0.5  # how often stuck connections are looked for
CLOSE_SECONDS = 5.0  # for goodbyes to be taken, within DRAIN_SECONDS
ANSWER_SECONDS = 1.0  # for goodbyes that were taken to be answered
ENDS_PER_SWEEP = 1000  # not more, or all whose time is up at once come back at once
# When DRAIN_SECONDS has room for it: a burden to nobody, and one client does not keep a Ctrl-C waiting.
LEAST_GOODBYES_PER_SECOND = 50
GOODBYES_A_TURN = 100  # of the loop

logger = logging.getLogger(__name__)


class Wheel:
    """Connections in slots. Each turn serves one slot, so each connection once per `steps` turns."""

    __slots__ = ("_at", "_next", "_slots", "steps")

    def __init__(self, steps: int) -> None:
        self.steps = steps
        self._slots: list[set[Subscriber]] = [set() for _ in range(steps)]
        self._at = 0
        self._next = 0

    def add(self, connection: Subscriber) -> int:
        """Return the slot, which `remove` wants back."""
        self._next = (self._next + 1) % self.steps
        self._slots[self._next].add(connection)
        return self._next

    def remove(self, connection: Subscriber, slot: int) -> None:
        self._slots[slot].discard(connection)

    def turn(self) -> list[Subscriber]:
        """Go on to the next slot and return those who are due."""
        self._at = (self._at + 1) % self.steps
        return list(self._slots[self._at])

    def __iter__(self) -> Iterator[Subscriber]:
        return chain.from_iterable(self._slots)


class Connections:
    """All connections of one process.

    `heartbeats` has the seconds between the heartbeats of each transport, by its label; `clock` returns Unix
    seconds. `heartbeat_cache` holds heartbeats encoded in this tick, for all connections that get the same bytes.
    """

    def __init__(
        self,
        hub: Hub,
        heartbeats: Mapping[str, float],
        settings: Settings,
        telemetry: Telemetry,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.hub = hub
        self.clock = clock
        self.count = 0  # of all open sockets
        self._refused: set[Subscriber] = set()  # told to go; until they do their sockets are open
        self.draining = False
        self.heartbeat_cache: dict[Hashable, bytes] = {}
        self._settings = settings
        self._telemetry = telemetry
        self._period = min(heartbeats.values()) / SLICES
        self._wheels = {
            label: Wheel(max(1, round(seconds / self._period))) for label, seconds in heartbeats.items()
        }
        self._open = {label: telemetry.connections.labels(label) for label in heartbeats}
        self._addresses: Counter[str] = Counter()
        self._address_of: dict[Subscriber, str] = {}
        self._closing: dict[Subscriber, float] = {}  # said goodbye to; when they are cut
        # Those whose ticket ends, by the whole second (Unix) in which it does; the others cost nothing here.
        self._ending: dict[int, set[Subscriber]] = {}
        self._end_of: dict[Subscriber, int] = {}
        self._next_end = math.inf
        self._empty = asyncio.Event()
        self._drain: asyncio.Task[None] | None = None
        self._timer: Timer | None = None
        self._next_sweep = 0.0

    def start(self) -> None:
        """Start heartbeats and sweeps."""
        self._timer = Timer(self._period, self._on_tick)

    def stop(self) -> None:
        """Stop heartbeats and sweeps."""
        if self._timer is not None:
            self._timer.stop()

    @property
    def transports(self) -> tuple[str, ...]:
        """The labels of the transports."""
        return tuple(self._wheels)

    def __iter__(self) -> Iterator[Subscriber]:
        return chain(chain.from_iterable(self._wheels.values()), self._refused)

    # ---- admission

    def refusal(self, address: str | None) -> str | None:
        """Return why a client from `address` cannot come in now (`full`, `server_restart`), or None."""
        if self.draining:
            return "server_restart"
        most = self._settings.max_clients_per_address
        admitted = self.count - len(self._refused)
        if admitted >= self._settings.max_clients or (
            most is not None and address is not None and self._addresses[address] >= most
        ):
            return "full"
        return None

    def add(self, connection: Subscriber, address: str | None) -> None:
        """Count a connection in and give it its place among the heartbeats."""
        self._count_in(connection)
        connection.slot = self._wheels[connection.transport].add(connection)
        if self._settings.max_clients_per_address is not None and address is not None:
            self._address_of[connection] = address
            self._addresses[address] += 1

    def add_refused(self, connection: Subscriber) -> None:
        """Count a connection in that is told to go at once. It gets no heartbeats and takes no client's place."""
        self._count_in(connection)
        self._refused.add(connection)

    def _count_in(self, connection: Subscriber) -> None:
        self.count += 1
        self._empty.clear()
        self._open[connection.transport].inc()

    def remove(self, connection: Subscriber, reason: str) -> None:
        """Count a connection out and let go of everything it held. `reason` is a label of the counter."""
        for subscription in list(connection.subscriptions()):
            self.hub.unsubscribe(subscription)
        self.hub.forget(connection)
        self._closing.pop(connection, None)
        if connection in self._refused:
            self._refused.remove(connection)
        elif connection.slot >= 0:
            self._wheels[connection.transport].remove(connection, connection.slot)
            connection.slot = -1
        else:
            return
        self.count -= 1
        self._open[connection.transport].dec()
        self._telemetry.closed.labels(connection.transport, reason).inc()
        self._forget_address(connection)
        self._forget_end(connection)
        if not self.count:
            self._empty.set()

    def _forget_address(self, connection: Subscriber) -> None:
        address = self._address_of.pop(connection, None)
        if address is not None:
            self._addresses[address] -= 1
            if not self._addresses[address]:
                del self._addresses[address]

    def end_at(self, connection: Subscriber, unix_seconds: float) -> None:
        """Say goodbye, `token_expired`, at a time. Does nothing for a connection that is gone already."""
        if connection.slot < 0:
            return
        second = math.ceil(unix_seconds)
        self._end_of[connection] = second
        self._ending.setdefault(second, set()).add(connection)
        self._next_end = min(self._next_end, second)

    def _forget_end(self, connection: Subscriber) -> None:
        second = self._end_of.pop(connection, None)
        if second is not None:
            self._ending[second].discard(connection)
            if not self._ending[second]:
                del self._ending[second]

    def closing(self, connection: Subscriber) -> None:
        """Note that goodbye was said: a connection that does not take it within SEND_TIMEOUT is cut."""
        self._closing[connection] = asyncio.get_running_loop().time() + self._settings.send_timeout

    def is_closing(self, connection: Subscriber) -> bool:
        return connection in self._closing

    def retry_ms(self) -> int:
        """Draw one client's time to come back, in ms: each another, or all come back at once."""
        least, most = self._settings.retry_min, self._settings.retry_max
        return least + int(random.random() * (most - least + 1))  # randint takes five times as long

    # ---- the timer

    def _on_tick(self, late: float) -> None:
        self._telemetry.loop_lag_seconds.set(late)
        self.heartbeat_cache.clear()
        for wheel in self._wheels.values() if self.count else ():
            for connection in wheel.turn():
                self.hub.attempt("connections.heartbeat", connection, connection.send_heartbeat)
        now = asyncio.get_running_loop().time()
        if now >= self._next_sweep:
            self._next_sweep = now + SWEEP_SECONDS
            self._sweep(now)

    def _sweep(self, now: float) -> None:
        """Cut those whose buffer has not shrunk for SEND_TIMEOUT. A slow reader that still reads may stay."""
        for connection, (since, size) in list(self.hub.stalled.items()):
            left = connection.sink.get_write_buffer_size()
            if left < size:
                self.hub.stalled[connection] = (now, left)
            elif now - since >= self._settings.send_timeout:
                self._cut(connection)
        for connection, deadline in list(self._closing.items()):
            if now >= deadline:
                self._cut(connection)
        if self.clock() >= self._next_end:
            self._end_expired()

    def _end_expired(self) -> None:
        """Say goodbye to those whose ticket has ended; of very many to some, and to the others in the next sweeps."""
        now, left = self.clock(), ENDS_PER_SWEEP
        for second in sorted(second for second in self._ending if second <= now):
            for connection in list(islice(self._ending[second], left)):
                left -= 1
                self._forget_end(connection)
                goodbye = partial(connection.goodbye, "token_expired", self.retry_ms())
                self.hub.attempt("connections.expiry", connection, goodbye)
        self._next_end = min(self._ending, default=math.inf)

    def _cut(self, connection: Subscriber) -> None:
        self._telemetry.aborted.labels(connection.transport).inc()
        self._closing.pop(connection, None)
        self.hub.forget(connection)
        connection.sink.abort()

    # ---- the drain

    async def drain(self) -> None:
        """Say goodbye to each connection at its own moment, with its own time to come back; then cut who is left.

        A second caller waits for the first one's drain.
        """
        self.draining = True
        if self._drain is None:
            self._drain = asyncio.get_running_loop().create_task(self._drain_all())
        await asyncio.shield(self._drain)

    async def _drain_all(self) -> None:
        loop = asyncio.get_running_loop()
        began, connected = loop.time(), self.count
        deadline = began + self._settings.drain_seconds
        told = await self._say_goodbye(list(self))
        deadline = min(deadline, loop.time() + CLOSE_SECONDS)
        await self._until_empty(min(deadline, loop.time() + ANSWER_SECONDS))
        silent: set[Subscriber] = set()
        while self.count and loop.time() < deadline:
            # They have it all and do not answer: a hung page, or a TLS peer that says nothing at the end.
            for connection in list(self):
                if not connection.sink.get_write_buffer_size():
                    silent.add(connection)
                    connection.sink.abort()
            await self._until_empty(min(deadline, loop.time() + 0.1))
        cut = sum(connection not in silent for connection in self)
        self.cut_all()
        if connected:
            logger.info(
                "Drained in %.1f s: %d of %d clients were told to come back, %d of them did not answer; %d were cut.",
                loop.time() - began,
                told,
                connected,
                len(silent),
                cut,
            )

    async def _until_empty(self, deadline: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout_at(deadline):
                while self.count:
                    await self._empty.wait()

    def cut_all(self) -> None:
        """End every connection now."""
        for connection in list(self):
            self._cut(connection)

    async def _say_goodbye(self, connections: list[Subscriber]) -> int:
        """Spread the goodbyes over time, and return how many were said.

        Who is told later is told to stay away for longer, so that equally many come back in each second. With times
        drawn at random the busiest second would see up to twice the mean: whole seconds of both ranges overlap.
        """
        loop = asyncio.get_running_loop()
        random.shuffle(connections)  # who is told first is nobody's privilege
        # The other half of the time is for the last bytes to leave.
        spread = min(self._settings.drain_seconds / 2, len(connections) / LEAST_GOODBYES_PER_SECOND)
        least, most = self._settings.retry_min, self._settings.retry_max
        began, told = loop.time(), 0
        for number, connection in enumerate(connections):
            share = (number + random.random()) / len(connections)
            wait = began + share * spread - loop.time()
            if wait > 0 or number % GOODBYES_A_TURN == 0:
                await asyncio.sleep(max(wait, 0))
            if not self.count:
                break
            told += self._told_to_go(connection, least + round(share * (most - least)))
        return told

    def _told_to_go(self, connection: Subscriber, retry_ms: int) -> bool:
        if self.is_closing(connection):
            return False
        goodbye = partial(connection.goodbye, "server_restart", retry_ms)
        self.hub.attempt("connections.goodbye", connection, goodbye)
        return self.is_closing(connection)
