"""Audience: everyone who is connected. Who may come in, when each gets a heartbeat, who is stuck, how all leave.

Knows that clients can be spoken to, not in which protocol; what they read is the Hub's business.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable, Hashable, Iterator
from datetime import UTC, datetime
from functools import partial
from itertools import chain
from typing import Protocol

from .heartbeat import SLICES, Timer, Wheel
from .hub import Hub
from .settings import Settings
from .subscription import Group, Session, Subscription
from .telemetry import Telemetry
from .types import Transport, Verdict

EARLY = 6  # a ping may go along with an update for the last such part of its interval: a write less
SWEEP_SECONDS = 0.5  # how often the stuck are looked at
LAST_WORDS_SECONDS = 5.0  # for the goodbyes to arrive and be answered, within DRAIN_SECONDS
GOODBYES_PER_SECOND = (
    2000  # a drain is not faster than that, so that the clients do not all come back at once
)


class Member(Session, Protocol):
    """What is asked of a client."""

    slot: int  # of its heartbeat wheel; below zero: not admitted

    def beat(self) -> None:
        """Time for a heartbeat."""

    def heartbeat(self) -> bytes:
        """What `beat` writes."""

    def goodbye(self, reason: str, retry_ms: int) -> None:
        """Say the last word, then end cleanly."""


class Audience:
    """All clients of one process."""

    def __init__(self, hub: Hub, settings: Settings, telemetry: Telemetry) -> None:
        self.hub = hub
        self._settings = settings
        self._telemetry = telemetry
        self._period = min(settings.cable_ping, settings.sse_heartbeat) / SLICES
        self._wheels: dict[Transport, Wheel[Member]] = {
            Transport.SSE: Wheel(round(settings.sse_heartbeat / self._period)),
            Transport.CABLE: Wheel(round(settings.cable_ping / self._period)),
        }
        self._open = {t: telemetry.connections.labels(t) for t in Transport}
        self._opened = {(t, v): telemetry.opened.labels(t, v) for t in Transport for v in Verdict}
        self._addresses: Counter[str] = Counter()
        self._address_of: dict[Member, str] = {}
        self._leaving: dict[Session, float] = {}
        self._soon: set[Member] | None = set()  # whose ping may go along in this tick; None: not known yet
        self._empty = asyncio.Event()
        self._timer: Timer | None = None
        self._next_sweep = 0.0
        self.count = 0
        self.draining = False
        self.said: dict[Hashable, bytes] = {}  # heartbeats encoded in this tick, for all who get the same one
        hub.pinged = self.pinged

    def start(self) -> None:
        """Start the one timer."""
        self._timer = Timer(self._period, self._tick)

    # ---- coming and going

    def refusal(self, address: str | None) -> str | None:
        """Why a client from `address` cannot come in now (`full`, `server_restart`), or None."""
        if self.draining:
            return "server_restart"
        most = self._settings.max_clients_per_address
        if self.count >= self._settings.max_clients or (
            most is not None and address is not None and self._addresses[address] >= most
        ):
            return "full"
        return None

    def admit(self, client: Member, address: str | None) -> None:
        """Count a client in and give it its place among the heartbeats."""
        self.count += 1
        self._empty.clear()
        client.slot = self._wheels[client.transport].add(client)
        self._open[client.transport].inc()
        if self._settings.max_clients_per_address is not None and address is not None:
            self._address_of[client] = address
            self._addresses[address] += 1

    def opened(self, client: Member, verdict: Verdict) -> None:
        """A verdict was told."""
        self._opened[client.transport, verdict].inc()

    def leave(self, client: Member, reason: str) -> None:
        """Count a client out and let go of everything it held."""
        for subscription in list(client.subscriptions()):
            self.hub.unsubscribe(subscription)
        self.hub.forget(client)
        self._leaving.pop(client, None)
        if client.slot < 0:
            return
        self._wheels[client.transport].remove(client, client.slot)
        if self._soon:
            self._soon.discard(client)
        client.slot = -1
        self.count -= 1
        self._open[client.transport].dec()
        self._telemetry.closed.labels(client.transport, reason).inc()
        self._forget_address(client)
        if not self.count:
            self._empty.set()

    def _forget_address(self, client: Member) -> None:
        address = self._address_of.pop(client, None)
        if address is not None:
            self._addresses[address] -= 1
            if not self._addresses[address]:
                del self._addresses[address]

    def leaving(self, client: Member) -> None:
        """The last word is said: whoever does not take it within SEND_TIMEOUT is cut."""
        self._leaving[client] = asyncio.get_running_loop().time() + self._settings.send_timeout

    def is_leaving(self, client: Member) -> bool:
        """Whether its last word is said."""
        return client in self._leaving

    def retry_ms(self) -> int:
        """A client's own time to come back, in ms."""
        return random.randint(self._settings.retry_min, self._settings.retry_max)

    def __iter__(self) -> Iterator[Member]:
        return chain.from_iterable(self._wheels.values())

    # ---- the timer

    def _tick(self, late: float) -> None:
        self._telemetry.loop_lag_seconds.set(late)
        self.said.clear()
        self._soon = None
        for wheel in self._wheels.values() if self.count else ():
            for client in wheel.turn():
                self._attempt("audience.beat", client, client.beat)
        now = asyncio.get_running_loop().time()
        if now >= self._next_sweep:
            self._next_sweep = now + SWEEP_SECONDS
            self._sweep(now)

    def pinged(self, group: Group) -> tuple[list[Subscription], bytes]:
        """Readers of a cable group to whom a ping, due soon, is written ahead of an update now; and that ping.

        A write costs what it costs however much it carries, and at an update a second every fourth is a ping. SSE's
        heartbeats are too rare for that, and name a position that an update moves.
        """
        wheel = self._wheels[Transport.CABLE]
        if group.wire.transport is not Transport.CABLE:
            return [], b""
        if self._soon is None:
            self._soon = wheel.soon(wheel.steps // EARLY)
        along = {
            client: subscription
            for client in self._soon
            for subscription in client.subscriptions()
            if subscription.group is group
        }
        for client in along:
            wheel.served(client)
        self._soon -= along.keys()
        return list(along.values()), next(iter(along)).heartbeat() if along else b""

    def _attempt(self, what: str, client: Member, say: Callable[[], None]) -> None:
        """One broken connection must not cost the others their heartbeat or their goodbye."""
        try:
            say()
        except Exception as error:  # noqa: BLE001  whatever it was: this client is cut, the next one has its turn
            self._telemetry.swallow(what, error)
            client.sink.abort()

    def _sweep(self, now: float) -> None:
        """Cut those whose buffer has not moved for SEND_TIMEOUT; a slow reader that still reads may stay."""
        for client, (since, size) in list(self.hub.stuck.items()):
            left = client.sink.get_write_buffer_size()
            if left < size:
                self.hub.stuck[client] = (now, left)
            elif now - since >= self._settings.send_timeout:
                self._cut(client)
        for client, deadline in list(self._leaving.items()):
            if now >= deadline:
                self._cut(client)

    def _cut(self, client: Session) -> None:
        self._telemetry.aborted.labels(client.transport).inc()
        self._leaving.pop(client, None)
        self.hub.forget(client)
        client.sink.abort()

    def heartbeat_time(self) -> str:
        """Now, as RFC 3339 in UTC."""
        return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")

    def unix_seconds(self) -> int:
        """Now, as whole Unix seconds."""
        return int(time.time())

    # ---- the drain

    async def drain(self) -> None:
        """Say goodbye to each client at its own moment, with its own time to come back; then cut who is left."""
        self.draining = True
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._settings.drain_seconds
        await self._say_goodbye(list(self))
        try:
            async with asyncio.timeout_at(min(deadline, loop.time() + LAST_WORDS_SECONDS)):
                await self._all_gone()
        except TimeoutError:
            for client in list(self):
                self._cut(client)

    async def _say_goodbye(self, clients: list[Member]) -> None:
        random.shuffle(clients)
        spread = self._settings.drain_seconds / 2  # the rest of the time is for the last bytes to leave
        batch = max(1, round(max(GOODBYES_PER_SECOND, len(clients) / max(spread, 0.01)) / 100))
        for start in range(0, len(clients), batch):
            for client in clients[start : start + batch]:
                goodbye = partial(client.goodbye, "server_restart", self.retry_ms())
                self._attempt("audience.goodbye", client, goodbye)
            await asyncio.sleep(0.01)

    async def _all_gone(self) -> None:
        while self.count:
            await self._empty.wait()

    def stop(self) -> None:
        """No more heartbeats."""
        if self._timer is not None:
            self._timer.stop()
