"""What the broadcaster backends of Redis and PostgreSQL share: a listener that comes back after anything.

The stock backends of broadcaster hang for ever once their connection is lost (docs/architecture.md, facts). This one
connects anew, and says so in the order of the messages: `Gap` when it is subscribed, because messages may have been
missed before, `Lost` when it is not any more. Knows no notification: messages are text.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from broadcaster import BroadcastBackend, Event

from ..telemetry import Telemetry

OPEN_SECONDS = 3.0  # to connect and subscribe
QUIET_SECONDS = 2.0  # without a message, after which a sign of life is demanded
PATIENCE_SECONDS = 3.0  # for that sign: a frozen server closes nothing, so only this tells
PUBLISH_SECONDS = 2.0
BACKOFF_BASE = 0.05  # seconds
BACKOFF_CAP = 1.0
HEALTHY_SECONDS = 5.0  # that a connection has to last for the next attempt to count as the first
REFUSED_SECONDS = 10.0  # between attempts where only a person can help
MAX_WAITING_BYTES = 16 * 1024 * 1024  # of messages that are received and not taken
EVENT_BYTES = 256  # of memory that each takes beside its text

logger = logging.getLogger(__name__)


class Gap(Event):
    """The channel is subscribed from now on; messages before may have been missed."""


class Lost(Event):
    """The channel is not heard any more, until the next `Gap`."""


class Fault(Exception):
    """Why there is no connection, in words for a person. `lasting`: trying again will not help by itself."""

    def __init__(self, reason: str, *, lasting: bool = False) -> None:
        super().__init__(reason)
        self.lasting = lasting


class Inbox:
    """Events that wait for broadcaster, bounded: what does not fit is dropped with all before it, for one `Gap`."""

    def __init__(self, telemetry: Telemetry) -> None:
        self._overruns = telemetry.broker_overruns
        self._events: deque[Event] = deque()
        self._size = 0
        self._arrived = asyncio.Event()

    def put(self, event: Event) -> None:
        self._size += EVENT_BYTES + len(event.message)
        if self._size > MAX_WAITING_BYTES:
            self._overruns.inc()
            self._events.clear()
            self._size = EVENT_BYTES
            event = Gap(event.channel, "")
        self._events.append(event)
        self._arrived.set()

    def __len__(self) -> int:
        return len(self._events)

    async def get(self) -> Event:
        while not self._events:
            self._arrived.clear()
            await self._arrived.wait()
        event = self._events.popleft()
        self._size -= EVENT_BYTES + len(event.message)
        return event


class ReconnectingListener(ABC):
    """One channel, heard over a connection that is made anew whenever it is lost. Subclasses say how.

    `service` is what it is called in log lines, without a password.
    """

    def __init__(self, service: str) -> None:
        self.service = service
        self._heard = 0  # signs of life so far

    # ---- what a service has to offer

    @abstractmethod
    async def open(self, channel: str) -> None:
        """Connect and subscribe; return when that is confirmed. Raises anything."""

    @abstractmethod
    async def read(self) -> None:
        """Call `received` for each message, until the connection is lost: then raise."""

    @abstractmethod
    async def probe(self) -> None:
        """Return once the server has shown, over the same connection, that it lives."""

    @abstractmethod
    async def close(self) -> None:
        """Drop the connection that listens, whatever its state, without waiting for the server."""

    @abstractmethod
    def explain(self, error: Exception) -> Fault:
        """Say what is wrong, and what to do where that helps."""

    # ---- what becomes of what is heard

    @abstractmethod
    def on_subscribed(self) -> None:
        """The channel is heard from now on; messages before may have been missed."""

    @abstractmethod
    def on_lost(self) -> None:
        """The channel is not heard any more."""

    @abstractmethod
    def on_fault(self, fault: Fault) -> None:
        """An attempt failed, or a connection was lost."""

    # ---- listening

    def alive(self) -> None:
        """Note a sign of life of the server."""
        self._heard += 1

    async def listen_to(self, channel: str) -> None:
        """Listen until cancelled. The connections are made one after the other, each by a new attempt."""
        attempt = 0
        while True:
            opened = time.monotonic()
            try:
                async with asyncio.timeout(OPEN_SECONDS):
                    await self.open(channel)
                await self._hear()
            except Exception as error:  # noqa: BLE001  whatever it meets, the next attempt may do better
                fault = self.explain(error)
                self.on_fault(fault)
            finally:
                await self.close()
            # Only after a while of health: a connection that is cut as soon as it is there must not be made at once.
            attempt = attempt + 1 if time.monotonic() < opened + HEALTHY_SECONDS else 0
            await asyncio.sleep(REFUSED_SECONDS if fault.lasting else backoff(attempt, random.uniform))

    async def _hear(self) -> None:
        self.on_subscribed()
        try:
            await first_failure(self.read(), self._watch())
        finally:
            self.on_lost()

    async def _watch(self) -> None:
        """Demand a sign of life whenever nothing came for QUIET_SECONDS. Raises TimeoutError when there is none."""
        while True:
            before = self._heard
            await asyncio.sleep(QUIET_SECONDS)
            if self._heard == before:
                async with asyncio.timeout(PATIENCE_SECONDS):
                    await self.probe()


class ReconnectingBackend(ReconnectingListener, BroadcastBackend):
    """A listener as broadcaster wants it, which publishes too."""

    # BroadcastBackend.__init__ only raises.
    def __init__(self, service: str, telemetry: Telemetry) -> None:
        ReconnectingListener.__init__(self, service)
        self._telemetry = telemetry
        self._inbox = Inbox(telemetry)
        self._outage = Outage(
            service, "Until it is back, updates of other processes come at the pace of POLL_SECONDS."
        )
        self._channel = ""
        self._listener: asyncio.Task[None] | None = None

    @abstractmethod
    async def send(self, channel: str, messages: Sequence[bytes]) -> None:
        """Publish in order, in one round trip, over a connection that is opened when there is none. Raises anything."""

    @abstractmethod
    async def close_sender(self) -> None:
        """Drop that connection."""

    # ---- what broadcaster calls

    async def connect(self) -> None:
        """Do nothing: the connection is made when a channel is wanted."""

    async def disconnect(self) -> None:
        await self.close_sender()

    async def subscribe(self, group: str) -> None:
        """Begin to listen, and return at once: `Gap` tells when the channel is heard."""
        if self._listener is not None:
            raise RuntimeError(f"This backend hears one channel at a time, and that is {self._channel!r}.")
        self._channel = group
        loop = asyncio.get_running_loop()
        self._listener = loop.create_task(self.listen_to(group), name="broker listener")

    async def unsubscribe(self, group: str) -> None:
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.cancel()
            await asyncio.wait([listener])

    async def publish(self, channel: str, message: Sequence[bytes]) -> None:
        """Send one message or several. Raises Fault when it is not certain that the service has them."""
        try:
            async with asyncio.timeout(PUBLISH_SECONDS):
                await self.send(channel, message)
        except Exception as error:
            await self.close_sender()
            raise self.explain(error) from error

    async def next_published(self) -> Event:
        """Return the next event, one in each turn of the loop.

        broadcaster's own loop never yields and its queues have no bounds: without this a burst would be moved to
        where nothing counts it, and be delivered in one turn. An empty inbox is waited for, which yields anyway.
        """
        if self._inbox:
            await asyncio.sleep(0)
        return await self._inbox.get()

    # ---- what is heard

    def received(self, message: bytes | str) -> None:
        """Take a message. What is not UTF-8 is counted and dropped."""
        self.alive()
        try:
            text = message if isinstance(message, str) else message.decode()
        except UnicodeDecodeError:
            self.poisoned("encoding", "it is not UTF-8")
            return
        self._inbox.put(Event(self._channel, text))

    def poisoned(self, reason: str, detail: str) -> None:
        """Count a message that cannot be used, and log the first of its kind: who sends one sends more."""
        counter = self._telemetry.broker_poison.labels(reason)
        if not counter.value:
            logger.warning(
                "%s: a message on the channel %s was skipped: %s. More of them are only counted.",
                *(self.service, self._channel, detail),
            )
        counter.inc()

    def on_subscribed(self) -> None:
        if self._outage.end():
            self._telemetry.broker_reconnects.inc()
        self._inbox.put(Gap(self._channel, ""))

    def on_lost(self) -> None:
        self._inbox.put(Lost(self._channel, ""))

    def on_fault(self, fault: Fault) -> None:
        self._telemetry.broker_failures.inc()
        self._outage.note(fault)


class Outage:
    """Log lines about a service: one when it is lost, one when it is back, none for the attempts between.

    But for a reason that comes up meanwhile and that only a person can mend, such as a wrong password. `consequence`
    is a sentence on what it means that the service is away.
    """

    def __init__(self, service: str, consequence: str) -> None:
        self._service = service
        self._consequence = consequence
        self._since: float | None = None  # on the monotonic clock
        self._told = ""

    def note(self, fault: Fault) -> None:
        first = self._since is None
        if first:
            self._since = time.monotonic()
        if first or (fault.lasting and str(fault) != self._told):
            self._told = str(fault)
            logger.warning("%s %s %s", self._service, fault, self._consequence)

    def end(self) -> bool:
        """Note that the service is there. Returns whether it had been away."""
        was_away = self._since is not None
        if self._since is not None:
            logger.info("%s is back after %.1f s.", self._service, time.monotonic() - self._since)
        self._since, self._told = None, ""
        return was_away


def backoff(attempt: int, uniform: Callable[[float, float], float]) -> float:
    """Return the seconds to wait before an attempt: anything up to twice as much each time ("full jitter").

    So that the processes that lost a service in one moment do not come back in one moment.
    """
    return uniform(0, min(BACKOFF_CAP, BACKOFF_BASE * 2 ** min(attempt, 10)))


async def first_failure(*work: Coroutine[Any, Any, None]) -> None:
    """Run all until one of them fails or ends; cancel the others, and raise its error."""
    tasks = [asyncio.ensure_future(each) for each in work]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        task.result()
